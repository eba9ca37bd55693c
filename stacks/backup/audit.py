"""What an audit asks of the nightly save beside what every service is asked: that it runs. What it saved is judged by
what is in the repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from socle.audit.check import check, expect, hosts_with
from socle.audit.checks.baseline import TIMER, parse_timer
from socle.audit.scene import Scene
from socle.authority import load_authority
from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Host, Plan

FOLDER = Path(__file__).parent
_deploy = load_module(FOLDER / "deploy.py")
RUNNING = ("socle-backup.timer",)
_LATE_SECONDS = 2 * 86400


def _find_programs() -> Iterator[tuple[str, Path]]:
    for program, parts, _ in _deploy.PROGRAMS:
        yield f"{_deploy.LIBRARY}/{program}", FOLDER / "host" / program
        for path in sorted((FOLDER / "host" / parts).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{_deploy.LIBRARY}/{path.relative_to(FOLDER / 'host')}", path


def make_files(_host: Host, plan: Plan, workspace: Workspace) -> dict[str, bytes]:
    """What deploy.py put there."""
    files = {path: source.read_bytes() for path, source in _find_programs()}
    units: dict[str, str] = _deploy.render_units(plan)
    files |= {f"/etc/systemd/system/{name}": text.encode() for name, text in units.items()}
    return {**files, _deploy.CERTIFICATE: load_authority(workspace)} if plan.repositories else files


@check(
    "nights", each=hosts_with("backup"), remedy="systemctl list-timers socle-backup.timer; journalctl -u socle-backup"
)
def saves_run_every_night(scene: Scene, host: Host) -> str:
    """Hosts save their sites every night without anybody."""
    remote = scene.on(host.name)
    last = parse_timer(remote.check_output(TIMER, "socle-backup.timer"))
    up = float(remote.check_output("cat /proc/uptime").split()[0])
    if not last:
        expect(up < _LATE_SECONDS, f"never ran, and the host is up for {up / 86400:.0f} days")
        return f"not run yet: the host is up for {up / 3600:.1f} h"
    late = scene.now - last
    expect(late < _LATE_SECONDS, f"last run {late / 86400:.1f} days ago")
    return f"last run {late / 3600:.1f} h ago"


CHECKS = (saves_run_every_night,)
