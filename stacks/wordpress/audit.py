"""What an audit asks of WordPress sites: each answers as itself, its doors are shut, its tasks run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from socle.audit.check import check, expect, hosts_with, sites_of
from socle.audit.checks.baseline import TIMER, parse_timer
from socle.audit.checks.web import Page
from socle.audit.scene import Scene
from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Host, Plan, Site

FOLDER = Path(__file__).parent
_deploy = load_module(FOLDER / "deploy.py")
PATHS = ("/wp-json/?_fields=name,home",)
"""Read beside the home page."""
RUNNING = ("socle-wordpress-cron.timer",)
_TEMPLATES = {
    "90socle-wordpress": "/etc/apt/apt.conf.d/90socle-wordpress",
    "socle-sites.conf": "/etc/tmpfiles.d/socle-sites.conf",
    "socle-wordpress-cron.service": "/etc/systemd/system/socle-wordpress-cron.service",
    "socle-wordpress-cron.timer": "/etc/systemd/system/socle-wordpress-cron.timer",
}
_DOORS = (
    "/xmlrpc.php",
    "/wp-cron.php",
    "/wp-config.php",
    "/wp-admin/install.php",
    "/wp-content/uploads/a.php",
    "/.git/config",
)
_LATE_SECONDS = 3600


def make_files(_host: Host, _plan: Plan, _workspace: Workspace) -> dict[str, bytes]:
    """What deploy.py put there."""
    code = {f"/usr/share/socle/wordpress/{name}": (FOLDER / "php" / name).read_bytes() for name in _deploy._CODE}
    templates = {path: (FOLDER / "templates" / name).read_bytes() for name, path in _TEMPLATES.items()}
    return {**code, **templates, "/usr/lib/socle/wordpress": (FOLDER / "host/wordpress").read_bytes()}


def make_private(site: Site) -> dict[str, Any]:
    """What of a site no other may reach."""
    paths = [site.path, f"/etc/wordpress/config-{site.name}.php", f"/etc/socle/php/{site.name}.conf"]
    return {"paths": paths, "sockets": [f"/run/socle/{site.name}/php.sock"]}


def make_php(site: Site) -> dict[str, str]:
    """How PHP is run inside a site: its socket, a script that does nothing, and how it logs in to its database."""
    login = f"require '/etc/wordpress/config-{site.name}.php'; return [DB_USER, DB_PASSWORD];"
    socket = f"/run/socle/{site.name}/php.sock"
    return {"socket": socket, "script": "/usr/share/wordpress/wp-includes/version.php", "login": login}


def judge_pages(site: Site, pages: Sequence[Page]) -> str:
    """WordPress answers from the site's own database, under the site's own name."""
    (page,) = pages
    expect(page.status == 200, f"{PATHS[0]}: {page.error or f'HTTP {page.status}'}")
    said = json.loads(page.body)
    expect(said["home"] == f"https://{site.domain}", f"it calls itself {said['home']}, expected https://{site.domain}")
    return f"WordPress of {said['home']}"


def make_doors_command(site: Site) -> str:
    """Asks for what must not be served."""
    urls = [word for path in _DOORS for word in ("--output", "/dev/null", f"https://{site.domain}{path}")]
    form = "%{url} %{http_code}\\n"
    options = ["--silent", "--insecure", "--path-as-is", "--max-time", "15", "--write-out", form]
    return shlex.join(["curl", *options, *urls])


@check("doors", each=sites_of("wordpress"), remedy="socle apply --full writes the site's nginx file again")
def doors_are_shut(scene: Scene, site: Site) -> str:
    """What attackers try first is refused: installation, XML-RPC, programs among uploads."""
    lines = scene.outside.run(make_doors_command(site)).stdout.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines)
    # A site that is down serves nothing either: that is for `page` to say.
    opened = [f"{url}: HTTP {code}" for url, code in found.items() if not code.startswith(("403", "404", "5", "000"))]
    expect(not opened, "; ".join(opened))
    expect(len(found) == len(_DOORS), f"not checked: {len(found)} answers to {len(_DOORS)} questions")
    return f"{len(found)} addresses, none served (HTTP {', '.join(sorted(set(found.values())))})"


@check("tasks", each=hosts_with("wordpress"), remedy="systemctl list-timers; journalctl -u socle-wordpress-cron")
def tasks_run(scene: Scene, host: Host) -> str:
    """WordPress's own tasks (publications, updates) run."""
    remote = scene.on(host.name)
    last = parse_timer(remote.check_output(TIMER, "socle-wordpress-cron.timer"))
    up = float(remote.check_output("cat /proc/uptime").split()[0])
    if not last:
        expect(up < _LATE_SECONDS, f"never ran, and the host is up for {up / 3600:.0f} h")
        return "the host has just started"
    late = scene.now - last
    expect(late < _LATE_SECONDS, f"last run {late / 3600:.1f} h ago")
    return f"last run {late / 60:.0f} min ago"


CHECKS = (doors_are_shut, tasks_run)
