"""Running restic on the vault, bounded in time, with keys that stay in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

USER = "socle-vault"
RUN_AS: dict[str, Any] = {
    "user": USER,
    "group": USER,
    "extra_groups": [],
    "cwd": "/",
    "env": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"},
}
"""As whom and where restic runs."""


class Failed(Exception):
    """What went wrong, in words without secrets."""


def restic(
    path: str,
    key: str,
    arguments: Sequence[str],
    *,
    new_key: str = "",
    stdin: bytes = b"",
    timeout: float = 600.0,
) -> subprocess.CompletedProcess[bytes]:
    """Run restic on the repository at `path`, to its end, whatever its status. Raises Failed when it cannot
    start, or does not end within `timeout` seconds. `new_key`: the key that `key add` adds."""
    handles = [make_secret(key)]
    command = make_command(path, handles[0], arguments)
    if new_key:
        handles.append(make_secret(new_key))
        command += ["--new-password-file", f"/proc/self/fd/{handles[1]}"]
    try:
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            pass_fds=handles,
            **RUN_AS,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"restic {arguments[0]} did not end within {timeout:.0f} s") from None
    except OSError as error:
        raise Failed(f"restic cannot start: {error.strerror}") from None
    finally:
        for handle in handles:
            os.close(handle)


def must(path: str, key: str, arguments: Sequence[str], *, new_key: str = "", timeout: float = 600.0) -> bytes:
    """Run restic, which must succeed; its output."""
    result = restic(path, key, arguments, new_key=new_key, timeout=timeout)
    if result.returncode:
        raise Failed(f"restic {arguments[0]}: {last_lines(result.stderr or result.stdout)}")
    return result.stdout


def make_command(path: str, handle: int, arguments: Sequence[str]) -> list[str]:
    """restic on the repository at `path`, whose key is read from the file `handle`."""
    return ["restic", "--repo", path, "--no-cache", "--password-file", f"/proc/self/fd/{handle}", *arguments]


def make_secret(text: str) -> int:
    """A file without a name, in memory, that a child may read."""
    handle = os.memfd_create("key")
    os.write(handle, text.encode())
    return handle


def last_lines(output: bytes, count: int = 4) -> str:
    """The end of what a program said, on one line."""
    lines = output.decode(errors="replace").strip().splitlines()[-count:]
    return " | ".join(line.strip() for line in lines) or "no reason given"
