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
    """What the server says of all databases of a run, asked at once. When that fails, each site with one asks for its
    own: what is wrong with a database costs its site, and no other."""

    def __init__(self, names: Iterable[str]) -> None:
        self._facts: Mapping[str, Facts] | None
        try:
            self._facts = load_facts(names)
        except Failed:
            self._facts = None

    def find(self, name: str) -> Facts:
        """Raises Failed when the database is not there, or the server does not say."""
        facts = load_facts([name]) if self._facts is None else self._facts
        if name not in facts:
            raise Failed(f"the database {name} is not there")
        return facts[name]


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
