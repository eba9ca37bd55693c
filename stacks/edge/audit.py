"""What an audit asks of the edge beside what every service is asked: see socle.audit."""

from __future__ import annotations

from pathlib import Path

from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Host, Plan

_AUTHORITY = "acme-root.pem"
_deploy = load_module(Path(__file__).parent / "deploy.py")
RUNNING = ("caddy.service",)


def make_files(_host: Host, plan: Plan, workspace: Workspace) -> dict[str, bytes]:
    """What deploy.py put there."""
    root = workspace.state / _AUTHORITY
    files: dict[str, str] = _deploy.render_files(plan, root.read_text() if root.is_file() else "")
    return {path: content.encode() for path, content in files.items()}
