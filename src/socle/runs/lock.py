"""One run at a time in an environment.

The kernel releases the lock with its process; the note in the file says who has it, or had it. A holder
that died under this boot is cleared with a message; a note of another boot (a crash of the machine, or a
state folder shared by two machines) stops the run: a person decides.

A run may lend its lock to a child (`LENT` in its environment): the child inherits the open file, and so is no
stranger to the kernel.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from socle.errors import Problem, Refused
from socle.runs.who import load_who

LENT = "SOCLE_LOCK"
"""Environment variable: the number of the file descriptor that a parent lends, with the lock it holds."""
_PAUSE_SECONDS = 0.5
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def load_boot_id() -> str:
    """The kernel's identifier of this boot."""
    return _BOOT_ID.read_text().strip()


@contextmanager
def locked(state: Path, command: str, say: Callable[[str], None], patience: float = 0) -> Iterator[int]:
    """Hold the environment's lock; its file descriptor, to be lent to a child. Somebody else who has it is waited
    for during `patience` (seconds); then raises Refused, naming the holder."""
    path = state / "lock"
    if (lent := _find_lent(path)) is not None:
        yield lent
        return
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _run_take(handle, path, patience)
        _clear_stale(path, _load_note(handle), say)
        _run_note(handle, _make_note(command))
        try:
            yield handle
        finally:
            _run_note(handle, {})
    finally:
        os.close(handle)


def _run_take(handle: int, path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _make_refusal(path, _load_note(handle), "wait for it to end") from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _find_lent(path: Path) -> int | None:
    """The descriptor that our parent lends us, if it is of this very lock and does hold it."""
    try:
        handle = int(os.environ.get(LENT, ""))
        if not os.path.samestat(os.fstat(handle), path.stat()):
            return None
        # Of the parent's own open file this succeeds; of any other, the kernel refuses it while the parent is there.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ValueError, OSError):
        return None
    return handle


def _clear_stale(path: Path, note: dict[str, str], say: Callable[[str], None]) -> None:
    if not note:
        return
    if note.get("boot") != load_boot_id():
        remedy = f"if the machine restarted since, delete {path} and run again"
        raise _make_refusal(path, note, remedy)
    say(f"The lock of a run that was killed is cleared ({_describe(note)}); this run completes its work.")


def _make_note(command: str) -> dict[str, str]:
    return {
        "who": load_who(),
        "machine": socket.gethostname(),
        "pid": str(os.getpid()),
        "boot": load_boot_id(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def _load_note(handle: int) -> dict[str, str]:
    try:
        return dict(json.loads(os.pread(handle, 4096, 0) or b"{}"))
    except ValueError:
        return {}  # Killed while writing the note: it held the lock for an instant and did nothing.


def _run_note(handle: int, note: dict[str, str]) -> None:
    os.ftruncate(handle, 0)
    if note:
        os.pwrite(handle, json.dumps(note).encode(), 0)


def _describe(note: dict[str, str]) -> str:
    who, command = note.get("who", "?"), note.get("command", "?")
    return f"{command} by {who}, pid {note.get('pid', '?')}, since {note.get('since', '?')}"


def _make_refusal(path: Path, note: dict[str, str], remedy: str) -> Refused:
    return Refused([Problem(str(path), 0, "", f"expected nobody else at work: {_describe(note)}", remedy)])
