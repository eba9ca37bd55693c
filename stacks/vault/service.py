"""The vault: where backups go. An append-only server that gives each association one repository, and no other."""

from pydantic import ByteSize

from socle.model.service import Flow, Kind, Service
from socle.planning.repositories import FOLDER, PORT

SERVICE = Service(
    name="vault",
    title="Coffre",
    purpose="Keeps the backups of sites, which their hosts can add to and nothing else.",
    kind=Kind.HOST,
    role="vault",
    packages=("restic-rest-server",),
    paths=(
        "/etc/default/restic-rest-server",
        "/etc/restic-rest-server",
        "/etc/socle/vault",
        "/etc/systemd/system/socle-vault.service",
        "/etc/sysusers.d/socle-vault.conf",
        "/var/lib/socle/vault",
        FOLDER,
    ),
    units=("restic-rest-server.service", "socle-vault.service"),
    users=("socle-vault",),
    flows=(Flow(ports=(PORT,), source="saved"), Flow(ports=(PORT,), source="controller")),
    memory=ByteSize(384 * 1024**2),
)
