"""Installs the program that saves sites, and the timer that starts it. What it saves is the sites stage's."""

from __future__ import annotations

import hashlib
from io import BytesIO, StringIO
from pathlib import Path

from pyinfra.api.host import Host
from pyinfra.operations import files, systemd

from socle.authority import load_authority
from socle.errors import Refused
from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Plan
from socle.sites.render import render

FOLDER = Path(__file__).parent
SERVICE = load_module(FOLDER / "service.py").SERVICE
LIBRARY = "/usr/lib/socle"
PROGRAMS = (("backup", "backup_host", "saves sites"), ("restore", "restore_host", "brings sites back"))
CERTIFICATE = "/etc/socle/vault.pem"


def load_inputs(workspace: Workspace) -> dict[str, str]:
    """The authority that hosts trust: another one is a change."""
    try:
        return {"authority": hashlib.sha256(load_authority(workspace)).hexdigest()}
    except Refused:  # a platform without a vault, or before its first apply
        return {}


def render_units(plan: Plan) -> dict[str, str]:
    """The service and its timer, by name."""
    units = {
        "socle-backup.service": {},
        "socle-backup.timer": {"night": plan.policy.night, "spread": plan.policy.spread},
    }
    return {name: render(FOLDER / f"templates/{name}.j2", **values) for name, values in units.items()}


def deploy(_host: Host, plan: Plan, workspace: Workspace) -> None:
    """The program, its units, and whom it trusts."""
    files.directory(name="Folder of saves", path="/etc/socle/backups", mode="700")
    # restic's cache and lists of files can be made again; both are root's alone.
    files.directory(name="Cache of saves", path="/var/cache/socle-backup", mode="700")
    for program, parts, name in PROGRAMS:
        files.sync(
            name=f"Program that {name}, its parts",
            src=str(FOLDER / f"host/{parts}"),
            dest=f"{LIBRARY}/{parts}",
            mode="644",
            dir_mode="755",
            exclude_dir="*__pycache__",
            delete=True,
        )
        files.put(
            name=f"Program that {name}",
            src=str(FOLDER / f"host/{program}"),
            dest=f"{LIBRARY}/{program}",
            mode="755",
        )
    if plan.repositories:
        files.put(name="Authority of vaults", src=BytesIO(load_authority(workspace)), dest=CERTIFICATE, mode="644")
    changed = False
    for name, text in render_units(plan).items():
        unit = files.put(name=f"Saves, {name}", src=StringIO(text), dest=f"/etc/systemd/system/{name}", mode="644")
        changed = unit.did_change() or changed
    systemd.service(
        name="Saves run every night",
        service="socle-backup.timer",
        running=True,
        enabled=True,
        restarted=changed,
        daemon_reload=changed,
    )
