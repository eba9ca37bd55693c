"""Installs Caddy on an edge host. Operations run at once, in this order."""

from __future__ import annotations

import hashlib
from io import StringIO
from pathlib import Path

from pyinfra.operations import apt, files, server, systemd

from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Host, Plan

_FOLDER = Path(__file__).parent
_render = load_module(_FOLDER / "render.py")
SERVICE = load_module(_FOLDER / "service.py").SERVICE
_AUTHORITY = "acme-root.pem"


def load_inputs(workspace: Workspace) -> dict[str, str]:
    """The authority's root certificate, where it is not one of the system's."""
    path = workspace.state / _AUTHORITY
    return {"root": hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else {}


def render_files(plan: Plan, root: str) -> dict[str, str]:
    """The service's files by path. `root`: PEM of the authority's root; empty: the system's are trusted."""
    return {
        **({_render.ROOT: root} if root else {}),
        "/etc/caddy/Caddyfile": _render.render_caddyfile(plan.acme_directory, bool(root)),
        "/etc/systemd/system/caddy.service.d/socle.conf": _render.render("caddy.conf"),
    }


def make_forget(root: bytes) -> str:
    """The command that drops certificates and accounts when the authority is not the one they are of: a lab
    made again has the same address, and Caddy asks for ever with an account that is unknown there. It runs
    before the new root is written, so that a cut run comes back to it."""
    digest = hashlib.sha256(root).hexdigest()
    stale = " ".join(f"/var/lib/caddy/.local/share/caddy/{name}" for name in ("acme", "certificates"))
    return f"echo '{digest}  {_render.ROOT}' | sha256sum --check --status || rm -rf {stale}"


def deploy(host: Host, plan: Plan, workspace: Workspace) -> None:  # noqa: ARG001 - the same for all services
    """Everything of the edge but the sites, from a bare host or from what a killed run left."""
    authority = workspace.state / _AUTHORITY
    apt.packages(
        name="caddy",
        packages=list(SERVICE.packages),
        no_recommends=True,
        _retries=2,
        _retry_delay=5,
    )
    files.directory(name="sites", path="/etc/caddy/sites", mode="755", user="root", group="root")
    if authority.is_file():
        server.shell(name="forget another authority", commands=[make_forget(authority.read_bytes())])
    for path, content in render_files(plan, authority.read_text() if authority.is_file() else "").items():
        files.put(name=path, src=StringIO(content), dest=path, mode="644", user="root", group="root")
    server.shell(name="check", commands=[" ".join(_render.VALIDATE)])
    systemd.daemon_reload(name="units")
    # Restarted, not reloaded: the unit itself may have changed, and certificates are kept on disk.
    systemd.service(name="caddy.service", service="caddy", restarted=True, enabled=True)


def remove(host: Host, plan: Plan, workspace: Workspace) -> None:  # noqa: ARG001 - the same for all services
    """Stop serving. Certificates and keys stay in /var/lib/caddy until the host goes."""
    systemd.service(name="caddy.service", service="caddy", running=False, enabled=False)
    apt.packages(name="caddy", packages=list(SERVICE.packages), present=False)
    files.directory(name="configuration", path="/etc/caddy", present=False)
    files.directory(name="unit", path="/etc/systemd/system/caddy.service.d", present=False)
