"""What all sites of a run share, asked once: mounts, databases, versions of packages, room on the disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from backup_host.database import Facts, load_facts
from backup_host.programs import Failed, run_program

STATE = Path("/var/lib/socle/backups")


def load_mounts() -> frozenset[str]:
    """What is mounted, by path: bind mounts too, which os.path.ismount does not see."""
    with open("/proc/self/mountinfo", "rb") as stream:
        return frozenset(os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1")) for line in stream)


def load_versions(packages: Iterable[str]) -> dict[str, str]:
    """The version of each package that is installed."""
    names = sorted(set(packages))
    if not names:
        return {}
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package} ${Version}\\n", *names]
    # Its exit code speaks of those it does not know: they are left out.
    lines = run_program(query, timeout=60).stdout.decode().splitlines()
    return {name: version for status, name, version in (line.split(" ") for line in lines) if status == "installed"}


class Databases:
    """What the server says of all databases of a run. When it does not answer, each site with one fails, no other."""

    def __init__(self, names: Iterable[str]) -> None:
        self._problem, self._facts = "", {}
        try:
            self._facts = load_facts(names)
        except Failed as error:
            self._problem = str(error)

    def find(self, name: str) -> Facts:
        """Raises Failed when the database is not there."""
        if self._problem or name not in self._facts:
            raise Failed(self._problem or f"the database {name} is not there")
        return self._facts[name]


class Space:
    """Bytes free for staging, less what other sites have reserved. A quota above the disk is not seen here: a full
    disk is found when it is written to."""

    def __init__(self) -> None:
        self._lock, self._reserved = threading.Lock(), 0

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Have `size` bytes. Raises Failed when there are not that many."""
        with self._lock:
            system = os.statvfs(STATE)
            free = system.f_bavail * system.f_frsize - self._reserved
            if free < size:
                raise Failed(f"this host's disk has {free} bytes free, and the save needs {size}")
            self._reserved += size
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= size


@dataclass(frozen=True)
class Host:
    """What all sites of a run share."""

    name: str
    mounts: frozenset[str]
    databases: Databases
    versions: Mapping[str, str]
    space: Space = field(default_factory=Space)
