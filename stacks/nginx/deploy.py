"""Installs nginx, deaf to everything but the names of sites."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from pyinfra.api.host import Host
from pyinfra.operations import apt, files, systemd

from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Plan
from socle.sites.render import render

FOLDER = Path(__file__).parent
SERVICE = load_module(FOLDER / "service.py").SERVICE
UNIT = "/etc/systemd/system/nginx.service.d"


def render_settings(plan: Plan, host: str) -> str:
    """conf.d/socle.conf of a host: it listens on its inner address only, and believes the edges only."""
    edges = [str(edge.address) for edge in plan.role("edge")]
    return render(FOLDER / "templates/socle.conf.j2", address=plan.host(host).address, edges=edges)


def deploy(host: Host, plan: Plan, _workspace: Workspace) -> None:
    """The server, without Debian's welcome page."""
    files.directory(name="nginx's sites", path="/etc/socle/nginx/sites", mode="755")
    apt.packages(name="nginx", packages=list(SERVICE.packages), no_recommends=True)
    welcome = files.link(name="No welcome page", path="/etc/nginx/sites-enabled/default", present=False)
    php = files.put(
        name="How PHP is called",
        src=str(FOLDER / "templates/php.conf"),
        dest="/etc/socle/nginx/php.conf",
        mode="644",
    )
    settings = files.put(
        name="nginx's settings",
        src=StringIO(render_settings(plan, host.name)),
        dest="/etc/nginx/conf.d/socle.conf",
        mode="644",
    )
    unit = files.put(
        name="nginx's unit",
        src=str(FOLDER / "templates/unit.conf"),
        dest=f"{UNIT}/socle.conf",
        mode="644",
    )
    changed = welcome.did_change() or php.did_change() or settings.did_change() or unit.did_change()
    systemd.service(
        name="nginx runs",
        service="nginx.service",
        running=True,
        enabled=True,
        restarted=changed,
        daemon_reload=True,  # a run may have been killed since the unit changed
    )
