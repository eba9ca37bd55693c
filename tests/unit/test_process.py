"""Programs end in time, never outlive us, and get secrets on their standard input only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from socle.runs.process import CommandFailed, run


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
