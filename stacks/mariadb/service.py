"""MariaDB: one server per web host, one database per site, reached by its local socket only."""

from pydantic import ByteSize

from socle.model.service import Data, Kind, Service

SERVICE = Service(
    name="mariadb",
    title="Bases de données",
    purpose="A database per site, by local socket.",
    kind=Kind.HOST,
    role="web",
    packages=("mariadb-server",),
    paths=(
        "/etc/mysql/mariadb.conf.d/60-socle.cnf",
        "/etc/socle/quota",
        "/etc/systemd/system/socle-database-quota.service",
        "/usr/lib/socle/database-quota",
    ),
    units=("mariadb.service", "socle-database-quota.service"),
    users=("mysql",),
    data=Data(path="/var/lib/mysql", size=ByteSize(8 * 1024**3)),
    holds_databases=True,
    memory=ByteSize(512 * 1024**2),
)
