"""Running programs: argument lists, bounded in time, and never outliving us.

A child runs as the first process of its own PID namespace and is killed by the kernel when its parent
dies; the kernel then kills everything in the namespace. Without this a `pulumi` or `ansible-playbook`
goes on changing hosts after its controller was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from socle.errors import SocleError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(SocleError):
    """A program ended with an error. The message has its last lines, and where the rest is."""


def die_with_parent() -> None:
    """For `preexec_fn`: be killed when the parent dies (prctl(2), PR_SET_PDEATHSIG)."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def make_contained(arguments: Sequence[str]) -> list[str]:
    """The same command in a PID namespace of its own, killed whole with its first process (unshare(1))."""
    return ["unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--", *arguments]


def run(
    arguments: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, within `timeout` seconds; secrets go on `stdin`, never in `arguments`.

    Raises CommandFailed on a non-zero status (when `check`), on time-out, and when it cannot start.
    """
    try:
        result = subprocess.run(
            make_contained(arguments),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            check=False,
            preexec_fn=die_with_parent,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{arguments[0]} did not end within {timeout:.0f} s") from None
    except OSError as error:
        raise CommandFailed(f"{arguments[0]} cannot start: {error}") from None
    if check and result.returncode:
        raise CommandFailed(f"{arguments[0]} ended with status {result.returncode}: {_last_lines(result)}")
    return result


def _last_lines(result: subprocess.CompletedProcess[bytes], count: int = 8) -> str:
    text = (result.stderr or result.stdout).decode(errors="replace").strip()
    return "\n".join(text.splitlines()[-count:])
