"""What an audit asks of MariaDB beside what every service is asked: no account or database that no site explains."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from socle.audit.check import check, expect, hosts_with
from socle.audit.scene import Scene
from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.names import make_database_name
from socle.model.plan import Host, Plan

FOLDER = Path(__file__).parent
_deploy = load_module(FOLDER / "deploy.py")
RUNNING = ("mariadb.service", "socle-database-quota.service")
_OWN_ACCOUNTS = ("root", "mysql", "mariadb.sys")
_OWN_DATABASES = ("information_schema", "mysql", "performance_schema", "sys")
_SQL = "mariadb --no-defaults --protocol=socket --batch --raw --skip-column-names"
_ACCOUNTS = """
SELECT JSON_ARRAY('account', User, Host, COALESCE(JSON_VALUE(Priv, '$.access'), 0) + 0) FROM mysql.global_priv;
SELECT JSON_ARRAY('right', User, Host, Db) FROM mysql.db;
SELECT JSON_ARRAY('right', User, Host, CONCAT(Db, '.', Table_name)) FROM mysql.tables_priv;
SELECT JSON_ARRAY('right', User, Host, CONCAT(Db, '.', Table_name)) FROM mysql.columns_priv;
SELECT JSON_ARRAY('right', User, Host, CONCAT(Db, '.', Routine_name)) FROM mysql.procs_priv;
SELECT JSON_ARRAY('right', User, Host, CONCAT('the role ', Role)) FROM mysql.roles_mapping;
SELECT JSON_ARRAY('database', SCHEMA_NAME, '', '') FROM information_schema.SCHEMATA;
"""


def make_files(_host: Host, _plan: Plan, _workspace: Workspace) -> dict[str, bytes]:
    """What deploy.py put there."""
    return {
        "/etc/mysql/mariadb.conf.d/60-socle.cnf": (FOLDER / "templates/60-socle.cnf").read_bytes(),
        "/etc/socle/quota/volume": _deploy.render_volume().encode(),
        "/etc/systemd/system/socle-database-quota.service": (
            FOLDER / "templates/socle-database-quota.service"
        ).read_bytes(),
        "/usr/lib/socle/database-quota": (FOLDER / "host/database-quota").read_bytes(),
    }


def find_unexplained(rows: Iterable[list[Any]], known: set[str]) -> Iterator[str]:
    """Accounts, rights and databases that no site explains. `known`: databases of sites, orphans included; each
    has the account of its name."""
    for kind, name, host, what in rows:
        if kind == "database":
            if name not in known and name not in _OWN_DATABASES:
                yield f"the database {name}"
        elif name in _OWN_ACCOUNTS and host == "localhost":
            continue
        elif kind == "account":
            if name not in known or host != "localhost":
                yield f"the account {name}@{host}"
            elif what:
                yield f"rights of {name} in all databases"
        elif str(what).replace("\\_", "_") != name:
            yield f"rights of {name}@{host} in {what}"


@check(
    "databases", each=hosts_with("mariadb"), remedy="DROP USER, REVOKE or DROP DATABASE, once it is known who made it"
)
def databases_are_those_of_sites(scene: Scene, host: Host) -> str:
    """Each database is a site's, and only its own account may use it."""
    result = scene.feed(host.name, _SQL, _ACCOUNTS)
    expect(result.rc == 0, f"not checked: {result.stderr.strip()[-300:]}")
    rows = [json.loads(line) for line in result.stdout.split("\n") if line]
    owners = (*scene.plan.sites, *scene.plan.orphans)
    known = {make_database_name(one.name) for one in owners if one.host == host.name}
    unexplained = list(find_unexplained(rows, known))
    expect(not unexplained, f"not explained by any site: {'; '.join(unexplained)}")
    accounts, databases = (sum(row[0] == kind for row in rows) for kind in ("account", "database"))
    return f"{accounts} accounts and {databases} databases, all explained"


CHECKS = (databases_are_those_of_sites,)
