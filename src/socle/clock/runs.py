"""One run by the clock: in its turn, in a child process, within its time, remembered and in the journal."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from socle.clock.schedule import Entry
from socle.clock.times import Run
from socle.errors import Exit, Problem, Refused, SocleError
from socle.files import run_write
from socle.load.workspace import Workspace
from socle.runs.journal import recorded
from socle.runs.lock import LENT, locked
from socle.runs.process import TimedOut, run

FOLDER = "clock"
"""In the state folder: one file per entry, and one of what was told by e-mail."""
PATIENCE = 1800
"""Seconds during which another run of the environment is waited for."""
_HOUR = 3600
_TAIL = 10_000
"""Bytes at the end of a log in which its last line is looked for."""
Result = Literal["", "done", "failed", "refused", "timed out"]


@dataclass(frozen=True)
class Record:
    """What is remembered of an entry: `<state>/clock/<name>.json`. Times are ISO 8601 in UTC, empty when unknown.

    While a run goes on, `began` is its own, and all else is of the run before.
    """

    name: str
    since: str
    """When the clock was told of the entry, or of another time for it."""
    at: str = ""
    """The time it was told; empty when it does not know the entry (now)."""
    began: str = ""
    ended: str = ""
    seconds: float = 0
    exit: int | None = None
    result: Result = ""
    reason: str = ""
    verb: str = ""
    succeeded: str = ""
    """When a run last ended as it should."""

    @property
    def is_going_on(self) -> bool:
        """Whether the last run did not end: it goes on, or was killed."""
        return bool(self.began) and self.ended < self.began

    def make_run(self) -> Run:
        """The same, as what is due is computed from."""
        since = parse_time(self.since) or datetime.min.replace(tzinfo=UTC)
        ended = None if self.is_going_on else parse_time(self.ended)
        return Run(since, parse_time(self.began), ended, self.exit)


def parse_time(text: Any) -> datetime | None:
    """An aware time from ISO 8601 or seconds since 1970; None when it is neither. Without a zone, it is UTC."""
    try:
        if isinstance(text, int | float) and not isinstance(text, bool):
            return datetime.fromtimestamp(text, UTC)
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def load_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def load_record(state: Path, name: str) -> Record | None:
    """What is remembered of an entry; None when there is nothing, or nothing that can be read."""
    try:
        data = json.loads((state / FOLDER / f"{name}.json").read_bytes())
        return Record(**data) if isinstance(data, dict) else None
    except (OSError, ValueError, TypeError):
        return None


def load_records(state: Path, entries: Iterable[Entry]) -> dict[str, Record]:
    """What is remembered of each entry, by name; those that nothing is known of are left out."""
    found = {entry.name: load_record(state, entry.name) for entry in entries}
    return {name: record for name, record in found.items() if record is not None}


def run_save(state: Path, record: Record) -> None:
    """Remember."""
    run_write(state / FOLDER / f"{record.name}.json", json.dumps(asdict(record), ensure_ascii=False).encode() + b"\n")


def make_command(workspace: Workspace, words: Iterable[str]) -> list[str]:
    """The whole command line of a verb, in this environment."""
    return [sys.executable, "-m", "socle", *words, "--env", workspace.environment, "--root", str(workspace.root)]


def run_entry(workspace: Workspace, entry: Entry, say: Callable[[str], None], patience: float = PATIENCE) -> Record:
    """Run an entry now, and remember how it ended: nothing is raised for what the verb did.

    Waits `patience` seconds for another run of the environment to end. Raises Refused when the entry runs already.
    """
    state = workspace.state
    with alone(state, entry.name):
        began = load_now()
        before = load_record(state, entry.name) or Record(entry.name, since=began.isoformat())
        started = replace(before, began=began.isoformat(), verb=" ".join(entry.run))
        run_save(state, started)
        with recorded(state, workspace.root, f"schedule run {entry.name}", "") as journal:
            code, result, reason = _run_in_turn(workspace, entry, say, patience)
            journal.extra.update(exit=code, result=result)
        ended = load_now()
        record = replace(
            started, ended=ended.isoformat(), seconds=round((ended - began).total_seconds(), 1), exit=code,
            result=result, reason=reason, succeeded=ended.isoformat() if result == "done" else before.succeeded,
        )  # fmt: skip
        run_save(state, record)
    return record


def _run_in_turn(
    workspace: Workspace, entry: Entry, say: Callable[[str], None], patience: float
) -> tuple[int, Result, str]:
    """Exit code, result, and why it is not done."""
    log = workspace.logs / f"clock-{entry.name}.log"
    try:
        with ExitStack() as stack:
            lent: dict[str, str] = {}
            if entry.lock:
                name = f"schedule run {entry.name}"
                lent[LENT] = str(stack.enter_context(locked(workspace.state, name, say, patience)))
            done = run(
                make_command(workspace, entry.run),
                timeout=entry.limit * _HOUR,
                environment={**lent, "NO_COLOR": "1"},
                check=False,
                log=log,
                lent=[int(handle) for handle in lent.values()],
            )
    except Refused as error:
        return Exit.REFUSED, "refused", str(error)
    except TimedOut:
        return Exit.UNEXPECTED, "timed out", f"it did not end within {entry.limit} h; what it said is in {log}"
    except SocleError as error:
        return Exit.UNEXPECTED, "failed", str(error)
    if done.returncode in (0, *entry.reported):
        return done.returncode, "done", ""
    said = find_last_words(log.read_bytes())
    return done.returncode, "failed", f"exit code {done.returncode}: {said} (all of it: {log})"


def find_last_words(output: bytes) -> str:
    """The last line that a verb said, but for the next command that it names; empty when it said nothing."""
    lines = [line.strip() for line in output[-_TAIL:].decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith("Next: ")), "")


@contextmanager
def alone(state: Path, name: str) -> Iterator[None]:
    """Refuse a second run of an entry: cron starts one while the one before still waits or works.

    Raises Refused.
    """
    folder = state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{name}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        expected = f"expected one run of {name} at a time: one is going on"
        raise Refused([Problem(str(path), 0, "", expected, "wait for it to end")]) from None
    finally:
        os.close(handle)
