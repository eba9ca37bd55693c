"""One run at a time; the lock of a dead run is cleared, that of another boot is a person's decision."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from socle.errors import Exit, Refused
from socle.runs.lock import load_boot_id, locked


def hold(state: Path) -> None:
    with locked(state, "apply", print):
        (state / "held").touch()
        time.sleep(60)


def start_holder(state: Path) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=hold, args=(state,))
    process.start()
    deadline = time.monotonic() + 10
    while not (state / "held").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def test_a_living_holder_is_named(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    try:
        with pytest.raises(Refused, match=f"apply by .*, pid {holder.pid}") as error, locked(tmp_path, "plan", print):
            pass
        assert error.value.exit is Exit.REFUSED
    finally:
        os.kill(holder.pid or 0, signal.SIGKILL)
        holder.join()


def test_a_killed_holder_is_cleared_with_a_message(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    said: list[str] = []
    with locked(tmp_path, "apply", said.append):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == str(os.getpid())
    assert len(said) == 1
    assert f"pid {holder.pid}" in said[0]


def test_a_lock_of_another_boot_stops(tmp_path: Path) -> None:
    note = {"boot": "another", "command": "apply", "who": "awa", "pid": "1", "since": "yesterday"}
    (tmp_path / "lock").write_text(json.dumps(note))
    with pytest.raises(Refused, match=r"apply by awa.*delete"), locked(tmp_path, "apply", print):
        pass
    assert json.loads((tmp_path / "lock").read_text()) == note


@pytest.mark.parametrize("content", ["", '{"boot": "', "nonsense"])
def test_a_note_cut_by_a_kill_does_not_block(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    with locked(tmp_path, "apply", print):
        pass


def test_a_failing_run_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), locked(tmp_path, "apply", print):
        raise ValueError("boom")
    said: list[str] = []
    with locked(tmp_path, "apply", said.append):
        pass
    assert said == []
    assert load_boot_id()
