"""Taking a lab away: its hosts, and its data too when that is asked for."""

from __future__ import annotations

import shutil

from socle.clock.install import run_remove
from socle.load.inputs import load_platform
from socle.load.workspace import Workspace
from socle.runs.talk import Talk
from socle.stages.hosts_destroy import run_destroy

_OF_OUTSIDE = ("outside.json", "acme-root.pem")
"""What the host `outside` left in the state folder: wrong as soon as it is gone."""
_WRITTEN = ("allocations.yml", "hosts.yml")


def run_down(workspace: Workspace, talk: Talk, everything: bool) -> list[str]:
    """Remove hosts, found by their marker; with `everything` also volumes, networks, secrets and what socle
    wrote. Returns what was removed. The caller holds the lock, and its file is the last to go."""
    changes = run_destroy(workspace, load_platform(workspace), talk, everything)
    removed = [f"{change.kind} {change.name}" for change in changes]
    for name in _OF_OUTSIDE:
        (workspace.state / name).unlink(missing_ok=True)
    if everything:
        removed += [f"schedule {path}" for path in run_remove(workspace)]
        for name in _WRITTEN:
            (workspace.inventory / name).unlink(missing_ok=True)
        for path in sorted(workspace.state.iterdir()):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()
        shutil.rmtree(workspace.state)
        removed.append(f"state {workspace.name}")
    return removed
