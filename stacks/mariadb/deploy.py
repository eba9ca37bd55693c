"""Installs MariaDB and the watch on the databases' sizes."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

from pyinfra.api.host import Host
from pyinfra.operations import apt, files, systemd

from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Plan

FOLDER = Path(__file__).parent
SERVICE = load_module(FOLDER / "service.py").SERVICE


def render_volume() -> str:
    """/etc/socle/quota/volume: its size, which nothing on the host shows when a quota makes it."""
    return json.dumps({"bytes": int(SERVICE.data.size)}) + "\n"


def deploy(_host: Host, _plan: Plan, _workspace: Workspace) -> None:
    """The server, by its local socket; then what keeps each database within its quota."""
    apt.packages(name="MariaDB", packages=list(SERVICE.packages), no_recommends=True)
    settings = files.put(
        name="MariaDB's settings",
        src=str(FOLDER / "templates/60-socle.cnf"),
        dest="/etc/mysql/mariadb.conf.d/60-socle.cnf",
        mode="644",
    )
    systemd.service(
        name="MariaDB runs", service="mariadb.service", running=True, enabled=True, restarted=settings.did_change()
    )
    files.directory(name="Quotas of databases", path="/etc/socle/quota", mode="755")
    files.put(
        name="Size of the volume of databases",
        src=StringIO(render_volume()),
        dest="/etc/socle/quota/volume",
        mode="644",
    )
    program = files.put(
        name="Watch of databases",
        src=str(FOLDER / "host/database-quota"),
        dest="/usr/lib/socle/database-quota",
        mode="755",
    )
    unit = files.put(
        name="Watch of databases, unit",
        src=str(FOLDER / "templates/socle-database-quota.service"),
        dest="/etc/systemd/system/socle-database-quota.service",
        mode="644",
    )
    systemd.service(
        name="Watch of databases runs",
        service="socle-database-quota.service",
        running=True,
        enabled=True,
        restarted=program.did_change() or unit.did_change(),
        daemon_reload=unit.did_change(),
    )
