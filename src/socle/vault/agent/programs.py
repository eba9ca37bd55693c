"""Running restic on the vault, bounded in time and in what it may say, with keys that stay in memory."""

from __future__ import annotations

import os
import subprocess
import threading
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
OUTPUT_BYTES = 128 * 1024**2
"""More than any answer of restic that is not read as a stream has: a few bytes in a repository may become any number
of them when they are unpacked."""


class Failed(Exception):
    """What went wrong, in words without secrets."""


def restic(
    path: str,
    key: str,
    arguments: Sequence[str],
    *,
    new_key: str = "",
    timeout: float = 600.0,
    limit: int = OUTPUT_BYTES,
) -> subprocess.CompletedProcess[bytes]:
    """Run restic on the repository at `path`, to its end, whatever its status. Raises Failed when it cannot
    start, does not end within `timeout` seconds, or says more than `limit` bytes. `new_key`: the key that `key add`
    adds."""
    handles = [make_secret(key)]
    command = make_command(path, handles[0], arguments)
    if new_key:
        handles.append(make_secret(new_key))
        command += ["--new-password-file", f"/proc/self/fd/{handles[1]}"]
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=handles,
            **RUN_AS,
        ) as process:
            return read_bounded(process, arguments[0], timeout, limit)
    except OSError as error:
        raise Failed(f"restic cannot start: {error.strerror}") from None
    finally:
        for handle in handles:
            os.close(handle)


def read_bounded(
    process: subprocess.Popen[bytes], name: str, timeout: float, limit: int
) -> subprocess.CompletedProcess[bytes]:
    """What a program says until its end, and the end of its errors. It is killed, and Failed raised, at more than
    `limit` bytes or after `timeout` seconds."""
    heard: list[bytes] = []
    listener = threading.Thread(target=lambda: heard.append(_read_end(process.stderr, limit)), daemon=True)
    listener.start()
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout, end)
    timer.start()
    try:
        output: bytes = process.stdout.read(limit + 1)  # type: ignore[union-attr]
        if len(output) > limit:
            raise Failed(f"restic {name} says more than {limit} bytes")
        process.wait()
    finally:
        timer.cancel()
        process.kill()
        listener.join(5)
    if late.is_set():
        raise Failed(f"restic {name} did not end within {timeout:.0f} s")
    return subprocess.CompletedProcess(process.args, process.returncode, output, b"".join(heard))


def _read_end(stream: Any, limit: int) -> bytes:
    """The last `limit` bytes of a stream, all of it being read."""
    said = bytearray()
    while piece := stream.read1(65536):
        said += piece
        if len(said) > 2 * limit:
            del said[:-limit]
    return bytes(said[-limit:])


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
