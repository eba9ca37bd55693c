"""The journal: who changed what, when, from which commit and plan, and how it ended. One JSON object per line."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from socle.runs.who import load_who


@dataclass
class Entry:
    """A run being recorded. Set `changes` before it ends, and in `extra` what else its end must say."""

    run: str
    changes: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(state: Path, root: Path, command: str, plan_digest: str) -> Iterator[Entry]:
    """Record a run that changes something: a line when it starts, a line when it ends. A start without an
    end is a run that was killed."""
    entry = Entry(run=uuid.uuid4().hex[:12])
    commit, dirty = load_commit(root)
    start = {"who": load_who(), "command": command, "commit": commit, "dirty": dirty, "plan": plan_digest}
    _run_append(state, {"run": entry.run, "event": "started", **start})
    result = "failed"
    try:
        yield entry
        result = "done"
    except BaseException as error:
        result = f"failed: {type(error).__name__}"
        raise
    finally:
        if state.is_dir():  # `lab down --all` takes the journal away with the rest.
            ended = {"run": entry.run, "event": "ended", "result": result, "changes": entry.changes}
            _run_append(state, {**ended, **entry.extra})


def load_commit(root: Path) -> tuple[str, bool]:
    """The commit of the control repository, and whether files differ from it. ("", True) outside git."""
    try:
        commit = _git(root, "rev-parse", "HEAD").strip()
        return commit, bool(_git(root, "status", "--porcelain").strip())
    except (OSError, subprocess.SubprocessError):
        return "", True


def load_journal(state: Path) -> Iterator[dict[str, Any]]:
    """The lines of the journal, oldest first. A line cut by a kill is passed over."""
    path = state / "journal.jsonl"
    if not path.exists():
        return
    for line in path.read_text(errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _run_append(state: Path, event: dict[str, Any]) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    handle = os.open(state / "journal.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(handle).st_size
        cut = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        line = ("\n" if cut else "") + json.dumps({"at": at, **event}, ensure_ascii=False) + "\n"
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def _git(root: Path, *arguments: str) -> str:
    # Root reads the clone of another user, which git refuses unless it is named.
    command = ["git", "-c", f"safe.directory={root}", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
