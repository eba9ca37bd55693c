"""Running programs: argument lists, bounded in time, and never outliving us.

A child runs as the first process of its own PID namespace and is killed by the kernel when its parent
dies; the kernel then kills everything in the namespace. Without this a `pulumi` or `ansible-playbook`
goes on changing hosts after its controller was killed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from socle.errors import SocleError


class CommandFailed(SocleError):
    """A program ended with an error. The message has its last lines, and where the rest is."""


class TimedOut(CommandFailed):
    """A program did not end in the time it was given."""


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
