"""What an audit asks of nginx beside what every service is asked: see socle.audit."""

from __future__ import annotations

from pathlib import Path

from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Host, Plan

FOLDER = Path(__file__).parent
_deploy = load_module(FOLDER / "deploy.py")
RUNNING = ("nginx.service",)


def make_files(host: Host, plan: Plan, _workspace: Workspace) -> dict[str, bytes]:
    """What deploy.py put there."""
    settings: str = _deploy.render_settings(plan, host.name)
    return {
        "/etc/nginx/conf.d/socle.conf": settings.encode(),
        "/etc/socle/nginx/php.conf": (FOLDER / "templates/php.conf").read_bytes(),
    }
