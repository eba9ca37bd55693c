"""Programs end in time, never outlive us, and get secrets on their standard input only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from socle.load.workspace import Workspace
from socle.remote import run_ssh
from socle.runs.process import CommandFailed, TimedOut, run


def test_output_and_input_are_bytes() -> None:
    assert run(["cat"], timeout=10, stdin=b"caf\xe9\x00").stdout == b"caf\xe9\x00"


def test_failure_shows_the_last_lines() -> None:
    with pytest.raises(CommandFailed, match="status 3: why"):
        run(["sh", "-c", "echo why >&2; exit 3"], timeout=10)


def test_time_is_bounded() -> None:
    start = time.monotonic()
    with pytest.raises(CommandFailed, match="within 1 s"):
        run(["sleep", "30"], timeout=1)
    assert time.monotonic() - start < 10


def test_a_missing_program_is_said() -> None:
    with pytest.raises(CommandFailed, match="no-such-program"):
        run(["no-such-program"], timeout=10)


def test_grandchildren_die_with_a_killed_parent(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    loop = f"(while :; do date +%s.%N > {beat}; sleep 0.05; done) & wait"
    code = f"from socle.runs.process import run; run(['sh', '-c', {loop!r}], timeout=60)"
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    deadline = time.monotonic() + 20
    while not beat.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert beat.exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    time.sleep(0.3)
    last = beat.read_text()
    time.sleep(0.5)
    assert beat.read_text() == last


def test_what_a_program_said_is_in_its_log_even_when_it_was_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(TimedOut):
        run(["sh", "-c", "echo one; echo two >&2; sleep 30"], timeout=1, log=log)
    assert log.read_text() == "one\ntwo\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_no_python_runs_between_fork_and_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could wait for ever for a lock of a thread of gRPC."""
    seen: list[tuple[list[str], dict[str, object]]] = []

    def start(arguments: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        seen.append((arguments, options))
        return subprocess.CompletedProcess(arguments, 0, b"", b"")

    begin = subprocess.Popen

    def listen(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
        seen.append((arguments, options))
        return begin(["true"], **options)

    monkeypatch.setattr(subprocess, "run", start)
    monkeypatch.setattr(subprocess, "Popen", listen)
    run(["true"], timeout=10)
    run_ssh(Workspace(root=Path("/clone"), environment="lab", state=Path("/state")), "edge1", ["true"])
    assert [arguments[:3] for arguments, _ in seen] == [["setpriv", "--pdeathsig", "KILL"]] * 2
    assert not any("preexec_fn" in options for _, options in seen)
