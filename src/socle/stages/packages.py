"""Runs on a host, before packages are installed there: waits for other package managers, and finishes what
a killed one left half done. Only the standard library: `run_mend_packages` ships this file on stdin."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
LISTS = Path("/var/lib/apt/lists")
FRESH = 3600.0
"""Seconds during which lists of packages need not be read again."""
PATIENCE = 300.0
"""Seconds. A killed run's apt goes on by itself for a while, and so do unattended upgrades."""


def find_held(paths: tuple[str, ...] = LOCKS) -> str | None:
    """The first of the lock files that another process holds."""
    for path in paths:
        try:
            with open(path, "rb+") as stream:
                fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue
        except OSError:
            return path
    return None


def is_stale(folder: Path = LISTS, now: float | None = None) -> bool:
    """Whether the lists of packages are missing, or were last asked for more than FRESH ago."""
    if not any(folder.glob("*_Packages*")):
        return True
    return (time.time() if now is None else now) - folder.stat().st_mtime > FRESH


def main() -> int:
    """The exit status of what failed, or 0; 75 (EX_TEMPFAIL) when a lock was not given up in time."""
    deadline = time.monotonic() + PATIENCE
    while held := find_held():
        if time.monotonic() > deadline:
            sys.stderr.write(f"{held} has been held by another program for {PATIENCE:.0f} s\n")
            return 75
        time.sleep(0.5)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = [["dpkg", "--force-confold", "--configure", "-a"]]
    if is_stale():
        commands.append(["apt-get", "update", "-qq", "-o", "Acquire::Retries=3"])
    for command in commands:
        status = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
