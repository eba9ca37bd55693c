"""A run by the clock: in its turn, its lock lent to its child, remembered, in the journal, never twice at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from socle.clock import runs
from socle.clock.runs import Record, alone, find_last_words, load_record, make_command, parse_time, run_entry, run_save
from socle.clock.schedule import Entry
from socle.errors import Refused
from socle.load.workspace import Workspace
from socle.runs.journal import load_journal
from socle.runs.lock import locked

ENTRY = Entry.model_validate({"name": "verdicts", "at": "daily 06:30", "run": "backup status", "grace": 3})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path, "lab", tmp_path / "state")
    made.run_prepare()
    return made


def play(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let a piece of Python be the verb."""
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))

    def make(workspace: Workspace, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-c", code]

    monkeypatch.setattr(runs, "make_command", make)


def run(workspace: Workspace, patience: float = 0, **changes: Any) -> Record:
    return run_entry(workspace, ENTRY.model_copy(update=changes), lambda _: None, patience)


def test_the_command_is_the_verb_in_this_environment(workspace: Workspace) -> None:
    assert make_command(workspace, ENTRY.run) == [
        *(sys.executable, "-m", "socle", "backup", "status"),
        *("--env", "lab", "--root", str(workspace.root)),
    ]


@pytest.mark.parametrize(
    ("code", "reported", "exit_code", "result"),
    [
        ("print('fine')", (), 0, "done"),
        ("raise SystemExit(3)", (), 3, "failed"),
        ("raise SystemExit(3)", (3,), 3, "done"),
        ("raise SystemExit(10)", (3,), 10, "failed"),
        ("raise ValueError('defect')", (), 1, "failed"),
    ],
)
def test_how_it_ended_is_remembered_and_in_the_journal(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    reported: tuple[int, ...],
    exit_code: int,
    result: str,
) -> None:
    play(monkeypatch, code)
    before = datetime.now(UTC)
    record = run(workspace, reported=reported)
    assert (record.exit, record.result) == (exit_code, result)
    assert record == load_record(workspace.state, "verdicts")
    began, ended = parse_time(record.began), parse_time(record.ended)
    assert began
    assert ended
    assert before <= began <= ended
    assert bool(record.succeeded) == (result == "done")
    assert ("exit code" in record.reason) == (result == "failed")
    assert ("ValueError: defect" in record.reason) == (exit_code == 1)
    started, end = load_journal(workspace.state)
    assert (started["command"], started["event"]) == ("schedule run verdicts", "started")
    assert (end["event"], end["result"], end["exit"]) == ("ended", result, exit_code)
    log = workspace.logs / "clock-verdicts.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert ("defect" in log.read_text()) == (exit_code == 1)


def test_the_child_works_under_the_lock_that_it_is_lent(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    state = f"__import__('pathlib').Path({str(workspace.state)!r})"
    other = f"from socle.runs.lock import locked\nwith locked({state}, 'x', print): "
    stranger = f"import os; os.environ.pop('SOCLE_LOCK')\n{other}print('in')"
    play(
        monkeypatch,
        f"import subprocess, sys\n{other}print('in')\n"
        f"done = subprocess.run([sys.executable, '-c', {stranger!r}], capture_output=True, text=True)\n"
        "sys.exit(0 if done.returncode and 'schedule run verdicts' in done.stderr else 7)",
    )
    assert run(workspace).result == "done", (workspace.logs / "clock-verdicts.log").read_text()
    assert (workspace.state / "lock").read_text() == ""


def test_without_the_lock_it_runs_beside_others(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, "import os, sys; sys.exit('SOCLE_LOCK' in os.environ)")
    with locked(workspace.state, "apply", print):
        assert run(workspace, lock=False).result == "done"


def test_it_waits_for_another_run_and_no_longer_than_it_was_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, "")
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(workspace.state, "apply", print):
            held.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    try:
        start = time.monotonic()
        refused = run(workspace, patience=1)
        assert 1 <= time.monotonic() - start < 5
        assert (refused.exit, refused.result) == (4, "refused")
        assert "apply by" in refused.reason
        threading.Timer(0.7, release.set).start()
        assert run(workspace, patience=15).result == "done"
    finally:
        release.set()
        holder.join()


def test_a_run_that_does_not_end_is_ended(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, "import time; print('still here', flush=True); time.sleep(60)")
    monkeypatch.setattr(runs, "_HOUR", 0.4)
    record = run(workspace, limit=1)
    assert (record.exit, record.result) == (1, "timed out")
    assert "still here" in (workspace.logs / "clock-verdicts.log").read_text()


def test_the_verb_dies_with_a_killed_run(workspace: Workspace, tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    verb = (
        f"import time, pathlib\nwhile True: pathlib.Path({str(beat)!r}).write_text(str(time.time())); time.sleep(0.05)"
    )
    code = (
        "from tests.programs.test_clock_runs import *\n"
        f"runs.make_command = lambda *_: [sys.executable, '-c', {verb!r}]\n"
        f"run_entry(Workspace(Path({str(tmp_path)!r}), 'lab', Path({str(workspace.state)!r})), ENTRY, print)"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": ":".join([str(root), *sys.path])}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=root)
    deadline = time.monotonic() + 20
    while not beat.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert beat.exists()
    parent.kill()
    parent.wait()
    time.sleep(0.3)
    last = beat.read_text()
    time.sleep(0.4)
    assert beat.read_text() == last
    record = load_record(workspace.state, "verdicts")
    assert record
    assert record.is_going_on
    assert record.make_run().ended is None
    said: list[str] = []
    with locked(workspace.state, "apply", said.append):
        assert "schedule run verdicts" in said[0]


def test_while_it_runs_what_was_before_is_still_known(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workspace.state / "clock/verdicts.json"
    play(monkeypatch, "raise SystemExit(5)")
    first = run(workspace)
    play(monkeypatch, f"print(open({str(path)!r}).read())")
    run(workspace)
    seen = json.loads((workspace.logs / "clock-verdicts.log").read_text())
    assert (seen["result"], seen["ended"]) == ("failed", first.ended)
    assert seen["began"] > first.began
    assert Record(**seen).is_going_on


def test_an_entry_runs_once_at_a_time(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, "")
    with alone(workspace.state, "verdicts"), pytest.raises(Refused, match="one is going on"):
        run(workspace)
    assert load_record(workspace.state, "verdicts") is None
    assert run(workspace).result == "done"


def test_what_the_clock_was_told_survives_a_run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    since = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    run_save(workspace.state, Record("verdicts", since=since, at="daily 06:30"))
    play(monkeypatch, "")
    record = run(workspace)
    assert (record.since, record.at, record.verb) == (since, "daily 06:30", "backup status")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"", ""),
        (b"\n\n", ""),
        (b"one\n  two caf\xe9 \n\nNext: socle apply\n", "two caf\ufffd"),
        (b"x" * 20_000 + b"\nlast", "last"),
    ],
)
def test_the_last_words_of_a_verb(output: bytes, expected: str) -> None:
    assert find_last_words(output) == expected


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "x"}', '{"name": "x", "since": "", "odd": 1}'])
def test_a_record_that_cannot_be_read_is_none(workspace: Workspace, content: str) -> None:
    (workspace.state / "clock").mkdir()
    (workspace.state / "clock/x.json").write_text(content)
    assert load_record(workspace.state, "x") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-27T06:30:00+01:00", 1795757400),
        ("2026-11-27T05:30:00", 1795757400),
        ("2026-11-27T05:30:00Z", 1795757400),
        (1795757400, 1795757400),
        (1795757400.5, 1795757400.5),
        ("", None),
        ("soon", None),
        (None, None),
        (True, None),
        (float("nan"), None),
        (1e30, None),
        ([], None),
    ],
)
def test_times_are_read_as_they_come(text: Any, expected: float | None) -> None:
    found = parse_time(text)
    assert (found and found.timestamp()) == expected
