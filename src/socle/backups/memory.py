"""What this machine remembers of each repository, in state/backups/: facts of snapshots, which never change, and what
people and checks said. Losing it costs time and nothing else: facts are read again, and a site that shrank is
compared with the snapshot before it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from socle.backups.facts import Attempt, Facts, Snapshot
from socle.backups.verdict import Verdict
from socle.files import run_write
from socle.load.workspace import Workspace
from socle.model.base import Model

LOCK = "memory.lock"
"""In the folder of memories: who changes one has it."""


class Check(Model):
    """The last verification of a repository. `reason`: what was found, empty when nothing was. `part`: how many of the
    parts of the data were read in turn."""

    time: float
    reason: str = ""
    part: int = 0


class Memory(Model):
    """Of one repository. `stamp` and `hint` are the agent's: what it saw when `snapshots` and `foreign` were read, and
    which key opens it. `facts` by snapshot; `good`, the last complete snapshot, and `accepted`, one that may be smaller
    than it, by site; `bad`: snapshots judged not complete; `attempts`: the last one heard of, by site."""

    stamp: str = ""
    hint: str = ""
    used: int = 0
    snapshots: tuple[Snapshot, ...] = ()
    foreign: tuple[str, ...] = ()
    facts: dict[str, Facts] = Field(default_factory=dict)
    good: dict[str, str] = Field(default_factory=dict)
    bad: tuple[str, ...] = ()
    accepted: dict[str, str] = Field(default_factory=dict)
    attempts: dict[str, Attempt] = Field(default_factory=dict)
    check: Check | None = None


def find_path(workspace: Workspace, repository: str) -> Path:
    """Where the memory of a repository is."""
    return workspace.state / "backups" / f"{repository}.json"


def load_memory(workspace: Workspace, repository: str) -> Memory:
    """The memory of a repository; an empty one when there is none, or none that can be read."""
    try:
        return Memory.model_validate_json(find_path(workspace, repository).read_bytes())
    except (OSError, ValidationError):
        return Memory()


def run_remember(workspace: Workspace, repository: str, change: Callable[[Memory], Memory]) -> Memory:
    """Change what is remembered of a repository; what it is then. `change` is given what is written there now, since
    others remember things meanwhile: reading the vaults and verifying last minutes, or hours."""
    path = find_path(workspace, repository)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path.with_name(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # for as long as writing takes
        memory = change(load_memory(workspace, repository))
        data = memory.model_dump(mode="json", exclude_defaults=True)
        run_write(path, json.dumps(data, sort_keys=True, separators=(",", ":")).encode())
    finally:
        os.close(handle)
    return memory


VERDICTS = "verdicts.json"
"""In the state folder: {"time", "sites"}, what was last read, for reports, alerts and metrics."""


def run_publish(workspace: Workspace, verdicts: Iterable[Verdict], moment: float) -> None:
    """Write down the verdicts read at `moment` (UTC epoch seconds)."""
    said = datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    data = {"time": said, "sites": [one.model_dump() for one in verdicts]}
    run_write(workspace.state / VERDICTS, json.dumps(data, indent=1).encode())
