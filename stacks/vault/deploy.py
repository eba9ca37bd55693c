"""Installs the server of backups. Repositories and accounts are the repositories stage's."""

from __future__ import annotations

import hashlib
from io import BytesIO, StringIO
from pathlib import Path

from pyinfra.api.host import Host
from pyinfra.operations import apt, files, server, systemd

from socle.authority import load_certificate
from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Plan
from socle.planning.repositories import FOLDER as REPOSITORIES
from socle.planning.repositories import PORT
from socle.sites.render import render

FOLDER = Path(__file__).parent
SERVICE = load_module(FOLDER / "service.py").SERVICE
SETTINGS = "/etc/socle/vault"
USER = "socle-vault"


def load_inputs(workspace: Workspace) -> dict[str, str]:
    """Certificates of hosts: one that is renewed is installed."""
    paths = sorted((workspace.state / "authority").glob("*.pem"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def render_unit(plan: Plan, host: str) -> str:
    """The server's unit: it listens on the inner address only."""
    listen = f"{plan.host(host).address}:{PORT}"
    return render(
        FOLDER / "templates/socle-vault.service.j2", listen=listen, folder=REPOSITORIES, settings=SETTINGS, user=USER
    )


def deploy(host: Host, plan: Plan, workspace: Workspace) -> None:
    """The server with its certificate, and no account yet."""
    apt.packages(name="The vault's server", packages=list(SERVICE.packages), no_recommends=True)
    # Debian's own unit serves one folder to everyone who has an account.
    systemd.service(name="No common server", service="restic-rest-server.service", running=False, enabled=False)
    account = files.put(
        name="The vault's user",
        src=StringIO(f'u {USER} - "Vault of backups" {REPOSITORIES}\n'),
        dest="/etc/sysusers.d/socle-vault.conf",
        mode="644",
    )
    if account.did_change():
        server.shell(name="Make the vault's user", commands=["systemd-sysusers /etc/sysusers.d/socle-vault.conf"])
    for path, mode in ((REPOSITORIES, "755"), (SETTINGS, "755")):
        files.directory(name=f"Folder {path}", path=path, mode=mode, user="root", group="root")
    certificate, key = load_certificate(workspace, host.name)
    changed = False
    for name, content, mode in (("certificate.pem", certificate, "644"), ("key.pem", key, "640")):
        put = files.put(
            name=f"The vault's {name}",
            src=BytesIO(content),
            dest=f"{SETTINGS}/{name}",
            mode=mode,
            user="root",
            group=USER,
        )
        changed = put.did_change() or changed
    files.file(name="Accounts", path=f"{SETTINGS}/htpasswd", mode="640", user="root", group=USER)
    unit = files.put(
        name="The vault's unit",
        src=StringIO(render_unit(plan, host.name)),
        dest="/etc/systemd/system/socle-vault.service",
        mode="644",
    )
    systemd.service(
        name="The vault serves",
        service="socle-vault.service",
        running=True,
        enabled=True,
        restarted=changed or unit.did_change(),
        daemon_reload=unit.did_change(),
    )
