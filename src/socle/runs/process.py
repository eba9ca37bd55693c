"""Running programs: argument lists, bounded in time, and never outliving us.

A child runs as the first process of its own PID namespace and is killed by the kernel when its parent
dies; the kernel then kills everything in the namespace. Without this a `pulumi` or `ansible-playbook`
goes on changing hosts after its controller was killed.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from socle.errors import SocleError

_PIECE = 65536
_PATIENCE = 5.0
"""Seconds for the last words of a program that has ended."""


class CommandFailed(SocleError):
    """A program ended with an error. The message has its last lines, and where the rest is."""


class TimedOut(CommandFailed):
    """A program did not end in the time it was given."""


class SaidTooMuch(CommandFailed):
    """A program said more than anybody wants to hear, and was killed."""


def make_mortal(arguments: Sequence[str]) -> list[str]:
    """The same command, killed when its parent dies (setpriv(1)). Not by a preexec function: Python code between
    fork and exec can deadlock on a lock that one of gRPC's threads held. Nor is there a `--`: Pulumi's Automation
    API looks for it to find Pulumi's own options."""
    return ["setpriv", "--pdeathsig", "KILL", *arguments]


def make_contained(arguments: Sequence[str]) -> list[str]:
    """The same command in a PID namespace of its own, killed whole when its parent dies (unshare(1))."""
    return make_mortal(["unshare", "--pid", "--fork", "--kill-child=SIGKILL", *arguments])


def run(
    arguments: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    check: bool = True,
    log: Path | None = None,
    lent: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, within `timeout` seconds; secrets go on `stdin`, never in `arguments`.

    With `log`, what it says goes to that file (0600) as it comes, and not into the result. `lent`: file descriptors
    that it inherits.

    Raises CommandFailed on a non-zero status (when `check`) and when it cannot start, TimedOut.
    """
    try:
        with _output(log) as (output, errors):
            result = subprocess.run(
                make_contained(arguments),
                input=stdin,
                stdout=output,
                stderr=errors,
                timeout=timeout,
                env={**os.environ, **(environment or {})},
                cwd=folder,
                check=False,
                pass_fds=lent,
            )
    except subprocess.TimeoutExpired:
        raise TimedOut(f"{arguments[0]} did not end within {timeout:.0f} s") from None
    except OSError as error:
        raise CommandFailed(f"{arguments[0]} cannot start: {error}") from None
    if check and result.returncode:
        raise CommandFailed(f"{arguments[0]} ended with status {result.returncode}: {_last_lines(result)}")
    return result


def run_bounded(
    arguments: Sequence[str], *, stdin: bytes, timeout: float, limit: int
) -> subprocess.CompletedProcess[bytes]:
    """Run a program whose answer is somebody else's: of it at most `limit` bytes are taken, of its errors the end.
    Its status is not judged. Raises TimedOut, SaidTooMuch; OSError when it cannot start."""
    pipe = subprocess.PIPE
    # Without buffers, so that closing a pipe never waits for who reads it.
    with subprocess.Popen(make_mortal(arguments), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        assert process.stdin  # noqa: S101 (it is a pipe, as asked; and so are both others)
        assert process.stdout  # noqa: S101
        assert process.stderr  # noqa: S101
        heard = bytearray()
        helpers = [
            threading.Thread(target=_run_feed, args=(process.stdin, stdin), daemon=True),
            threading.Thread(target=_run_listen, args=(process.stderr, heard), daemon=True),
        ]
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(timeout, end)
        for one in (*helpers, timer):
            one.start()
        try:
            output = _read_all(process.stdout, limit)
            process.wait()
        finally:
            timer.cancel()
            process.kill()
            for one in helpers:
                one.join(_PATIENCE)
    if late.is_set():
        raise TimedOut(f"{arguments[0]} did not end within {timeout:.0f} s")
    return subprocess.CompletedProcess(arguments, process.returncode, output, bytes(heard))


def _read_all(stream: IO[bytes], limit: int) -> bytes:
    """All that a stream says. Raises SaidTooMuch."""
    output = bytearray()
    while piece := stream.read(_PIECE):
        output += piece
        if len(output) > limit:
            raise SaidTooMuch(f"more than {limit} bytes were said")
    return bytes(output)


def _run_feed(stream: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    with suppress(OSError, ValueError):  # it ended without reading all
        while rest:
            rest = rest[stream.write(rest) :]
        stream.close()


def _run_listen(stream: IO[bytes], heard: bytearray) -> None:
    with suppress(OSError, ValueError):  # it ended, and what it started holds the pipe
        while piece := stream.read(_PIECE):
            heard += piece
            if len(heard) > 2 * _PIECE:
                del heard[:-_PIECE]


@contextmanager
def _output(log: Path | None) -> Iterator[tuple[int, int]]:
    if log is None:
        yield subprocess.PIPE, subprocess.PIPE
        return
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        yield handle, subprocess.STDOUT
    finally:
        os.close(handle)


def _last_lines(result: subprocess.CompletedProcess[bytes], count: int = 8) -> str:
    text = (result.stderr or result.stdout or b"").decode(errors="replace").strip()
    return "\n".join(text.splitlines()[-count:])
