"""A snapshot as one tar file, to hand to its association: its files, its database, and what proves them.

Each file is compared with the snapshot's own list as it is written. The file has its name only when all of it is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from socle.errors import SocleError
from socle.restore.choose import make_staging
from socle.restore.repository import Chosen, Restic

FILES = "files"
_LISTING = "files.jsonl"
_LISTING_BYTES = 2 * 1024**3
_SHOWN = 5


class ArchiveFailed(SocleError):
    """The archive could not be made as the snapshot describes it."""


@dataclass(frozen=True)
class Archived:
    """An archive that was made: where, bytes and SHA-256 of it, files of the site in it. `changed`: files that changed
    while they were saved, so that their hash is not the listed one."""

    path: str
    sha256: str
    bytes: int
    files: int
    changed: int


@dataclass
class _Wanted:
    """What is still to come, by its name in the archive: SHA-256 and time (nanoseconds). `folders`: times that are
    listed; `seen`: folders that came, and whether something came or went in them while they were saved."""

    hashes: dict[str, tuple[str, int | None]]
    folders: dict[str, int | None]
    seen: dict[str, bool] = field(default_factory=dict)
    changed: int = 0
    files: int = 0
    problems: list[str] = field(default_factory=list)

    def judge(self, name: str, digest: str, seconds: float) -> None:
        """Compare something that came. A file whose time is another one changed while it was saved."""
        wanted = self.hashes.pop(name, None)
        if wanted is None:
            self.changed += 1
        elif wanted[0] != digest:
            if _is_same(wanted[1], seconds):
                self.problems.append(f"{name} is not as listed")
            else:
                self.changed += 1

    def enter(self, name: str, seconds: float) -> None:
        """Note a folder that came."""
        self.seen[name] = name not in self.folders or not _is_same(self.folders[name], seconds)

    def is_gone(self, name: str) -> bool:
        """Whether a file that is missing was removed while the site was saved: its folder has another time then. The
        site's own folder is not listed."""
        while (name := name.rpartition("/")[0]) != FILES:
            if name in self.seen:
                return self.seen[name]
        return True


def _is_same(listed: int | None, seconds: float) -> bool:
    """Whether a time is the listed one, as far as tar tells it."""
    return listed is None or abs(seconds - listed / 1e9) <= 1.0


class _Tee:
    """A file that is written, and hashed as it is."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.digest, self.size = stream, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._stream.write(data)


class _Hashing:
    """A file that is read, and hashed as it is."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.digest = stream, hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        data = self._stream.read(count)
        self.digest.update(data)
        return data


def make_wanted(manifest: Mapping[str, Any], listing: bytes) -> _Wanted:
    """Everything whose content is known, and the folders of the list. Raises ArchiveFailed."""
    if hashlib.sha256(listing).hexdigest() != manifest["files"]["sha256"]:
        raise ArchiveFailed("the snapshot's list of files is not the one of its manifest")
    found: dict[str, tuple[str, int | None]] = {}
    folders: dict[str, int | None] = {}
    for line in listing.splitlines():
        entry = json.loads(line)
        if entry["type"] == "file":
            found[f"{FILES}/{entry['path']}"] = (entry["sha256"], entry.get("mtime"))
        elif entry["type"] == "directory":
            folders[f"{FILES}/{entry['path']}"] = entry.get("mtime")
    if manifest.get("database"):
        found["database.sql"] = (manifest["database"]["sha256"], None)
    for path, entry in (manifest.get("sqlite") or {}).items():
        found[f"sqlite/{path}"] = (entry["sha256"], None)
    return _Wanted(found, folders)


def make_name(name: str, folder: str, place: str) -> str | None:
    """The name in the archive of what restic calls `name`: `place` in the stead of `folder`. None: it is not below
    it, or is the folder itself."""
    inner = name.strip("/").removeprefix(folder.strip("/"))
    if inner == name.strip("/") or not inner.startswith("/"):
        return None
    return f"{place}{inner}".lstrip("/")


def run_archive(restic: Restic, chosen: Chosen, output: Path) -> Archived:
    """Write the archive to `output`, readable by its owner only. Raises ArchiveFailed, ResticFailed; then `output` is
    what it was before."""
    site, snapshot = chosen.site, chosen.snapshot.id
    staging = make_staging(site.name)
    listing = restic.read(snapshot, f"{staging}/{_LISTING}", _LISTING_BYTES)
    wanted = make_wanted(chosen.manifest, listing)
    with _written(output) as tee:
        with tarfile.open(fileobj=tee, mode="w|", format=tarfile.PAX_FORMAT) as target:  # type: ignore[call-overload]
            for folder, place in ((staging, ""), (site.path, FILES)):
                with restic.stream("dump", "--archive", "tar", snapshot, folder) as stream:
                    _copy(stream, target, wanted, folder, (site.name, place))
        _check(wanted)
        return Archived(str(output), tee.digest.hexdigest(), tee.size, wanted.files, wanted.changed)


@contextmanager
def _written(output: Path) -> Iterator[_Tee]:
    """Beside, then renamed."""
    part = output.with_name(f".{output.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield _Tee(stream)
            stream.flush()
            os.fsync(handle)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _copy(stream: IO[bytes], target: tarfile.TarFile, wanted: _Wanted, folder: str, names: tuple[str, str]) -> None:
    """Copy what restic gives of a folder. `names`: the archive's own folder, and the place in it."""
    top, place = names
    with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as source:
        for member in source:
            name = make_name(member.name, folder, place)
            if name is None:
                continue
            member.name, member.pax_headers = f"{top}/{name}", {}
            content = source.extractfile(member) if member.isreg() else None
            if content is None:
                target.addfile(member)
                if member.isdir():
                    wanted.enter(name, member.mtime)
                continue
            hashing = _Hashing(content)
            target.addfile(member, hashing)
            wanted.files += place == FILES
            wanted.judge(name, hashing.digest.hexdigest(), member.mtime)


def _check(wanted: _Wanted) -> None:
    """Raises ArchiveFailed when something is missing or is not as listed."""
    missing = [name for name in wanted.hashes if not (name.startswith(f"{FILES}/") and wanted.is_gone(name))]
    wanted.changed += len(wanted.hashes) - len(missing)
    problems = [*wanted.problems, *(f"{name} is missing" for name in missing)]
    if problems:
        more = ", ..." if len(problems) > _SHOWN else ""
        raise ArchiveFailed(f"the snapshot is not as it says: {', '.join(problems[:_SHOWN])}{more}")
