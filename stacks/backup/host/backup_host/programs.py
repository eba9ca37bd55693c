"""Programs that are run: each is bounded in time, ends with us, and is told to end when we are."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GRACE = 20.0
"""Seconds that a program gets to end by itself: restic takes its lock away."""
_KEPT = 50


class Failed(Exception):
    """A site cannot be saved; the reason is for people, and holds no secret."""


@dataclass
class Run:
    """A program at work. `ended_by`: why we ended it, or nothing."""

    process: subprocess.Popen[bytes]
    ended_by: str = ""

    def end(self, why: str) -> None:
        """Have it end, at the latest after GRACE."""
        if self.process.poll() is None:
            self.ended_by = self.ended_by or why
            self.process.terminate()
            _make_timer(GRACE, self.process.kill)


@dataclass
class Lines:
    """Lines that a program writes: the first ones and the last ones, so that millions of them fit in memory."""

    first: list[bytes] = field(default_factory=list)
    last: list[bytes] = field(default_factory=list)

    def add(self, line: bytes) -> None:
        """Keep a line, if it is among the first or the last."""
        kept = self.first if len(self.first) < _KEPT else self.last
        kept.append(line[:4096])
        del self.last[:-_KEPT]

    @property
    def text(self) -> str:
        """All that was kept. Bytes that are not UTF-8 stay what they are (case A2)."""
        return b"".join([*self.first, *self.last]).decode(errors="surrogateescape")


class _Running:
    """The programs at work, so that a signal ends them all and no new one starts."""

    def __init__(self) -> None:
        # Again by the same thread: a signal's handler runs in the midst of what it interrupts.
        self._lock = threading.RLock()
        self._runs: list[Run] = []
        self._stopped = ""

    def start(self, arguments: Sequence[str], **options: Any) -> Run:
        with self._lock:
            if self._stopped:
                raise Failed(self._stopped)
            run = Run(subprocess.Popen(arguments, **options))
            self._runs.append(run)
            return run

    def forget(self, run: Run) -> None:
        with self._lock:
            self._runs.remove(run)

    def stop(self, why: str) -> None:
        with self._lock:
            self._stopped = why
            for run in self._runs:
                run.end(why)


_running = _Running()
run_stop = _running.stop


@contextlib.contextmanager
def started(
    arguments: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, **options: Any
) -> Iterator[Run]:
    """A program at work, whose output the caller reads. It is waited for at the end, killed if the caller fails,
    and ends when we are killed (pdeathsig). Raises Failed when it is not there, or took longer than `timeout`
    seconds."""
    command = ["setpriv", "--pdeathsig", "TERM", "--", *arguments]
    options.setdefault("stdin", subprocess.DEVNULL)
    run = _running.start(command, env=dict(env or make_environment()), **options)
    timer = _make_timer(timeout, run.end, f"{arguments[0]} was ended: it took longer than {timeout:.0f} s")
    try:
        with run.process:
            try:
                yield run
            except BaseException:
                run.process.kill()
                raise
    finally:
        timer.cancel()
        _running.forget(run)
    if run.ended_by:
        raise Failed(run.ended_by)


def run_program(
    arguments: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a program whose answer is short; its output and errors. Raises Failed as `started`."""
    with started(arguments, timeout=timeout, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as run:
        output, errors = run.process.communicate()
    return subprocess.CompletedProcess(list(arguments), run.process.returncode, output, errors)


def make_environment(**more: str) -> dict[str, str]:
    """Nothing of ours but where programs are, and that they speak English."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **more}


def last_lines(text: bytes | str, count: int = 3) -> str:
    """The end of what a program said, on one line."""
    decoded = text.decode(errors="surrogateescape") if isinstance(text, bytes) else text
    return " | ".join(line.strip() for line in decoded.strip().splitlines()[-count:])


def _make_timer(seconds: float, function: Any, *arguments: Any) -> threading.Timer:
    timer = threading.Timer(seconds, function, arguments)
    timer.daemon = True
    timer.start()
    return timer
