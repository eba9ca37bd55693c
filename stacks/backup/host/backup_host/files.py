"""The list of a site's files, with hashes: what was there when it was saved.

Files belong to somebody who may be hostile: they are opened below folders that are open, never through a symbolic
link. What has not changed since the last list (size, times, number of the file) is not read again. The list is
sorted by the parts of paths, as the walk goes, so that it is compared with the last one line by line, and no number
of files fills the memory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from backup_host.programs import Failed

DEEPEST = 200  # folders within folders: each is one open file here
SECONDS = 4 * 3600.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENOTDIR, errno.EISDIR)
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
_RACY = 2 * 10**9  # nanoseconds: a file may change twice within one tick of its times
_SHOWN = 20
_LONGEST = 200
"""Characters of a name that are told: a path may have thousands, and who reads a result reads so much and no more."""


class Found(NamedTuple):
    """Something in the site's folder: `name` in the open `folder`, `path` from the site's folder."""

    folder: int
    name: str
    path: str
    info: os.stat_result


class Known(NamedTuple):
    """What a list remembers of something: enough to see that it did not change."""

    path: str
    size: int
    mtime: int
    ctime: int
    inode: int
    sha256: str


@dataclass
class Changes:
    """Things that changed while they were saved: how many, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, path: str) -> None:
        """Note one, its name cut when it is long."""
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(make_short(path))


def make_short(path: str) -> str:
    """A name as it is told."""
    return path if len(path) <= _LONGEST else f"{path[:_LONGEST]}..."


@contextlib.contextmanager
def opened(folder: str) -> Iterator[int]:
    """The site's folder, open: what is done below it stays below it."""
    handle = os.open(folder, _FOLDER)
    try:
        yield handle
    finally:
        os.close(handle)


def walk(folder: int, is_excluded: Callable[[str], bool], before: str = "", depth: int = 0) -> Iterator[Found]:
    """Everything below an open folder, each folder before what is in it, names sorted by their bytes. What vanishes
    meanwhile is left out. Raises Failed for folders without end."""
    if depth > DEEPEST:
        raise Failed(f"more than {DEEPEST} folders within each other: {before[:100]!r}")
    for name in sorted(os.listdir(folder), key=os.fsencode):
        path = before + name
        if is_excluded(path):
            continue
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            yield Found(folder, name, path, info)
            if stat.S_ISDIR(info.st_mode):
                inner = os.open(name, _FOLDER, dir_fd=folder)
            else:
                continue
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            yield from walk(inner, is_excluded, f"{path}/", depth + 1)
        finally:
            os.close(inner)


def read_hash(found: Found) -> tuple[str, os.stat_result] | None:
    """SHA-256 of a file and its state then; None when it is gone, or is no file any more. A file that changes as it
    is read is read a second time, and then taken as it was. Raises OSError when it cannot be read."""
    try:
        handle = os.open(found.name, _FILE, dir_fd=found.folder)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    with os.fdopen(handle, "rb", buffering=0) as stream:
        for _ in range(2):
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode):
                return None
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if make_known("", before) == make_known("", os.fstat(handle)):
                break
        return digest, before


def make_key(path: str) -> list[bytes]:
    """What lists are sorted by."""
    return os.fsencode(path).split(b"/")


def make_known(path: str, info: os.stat_result, sha256: str = "") -> Known:
    """What the cache remembers."""
    return Known(path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, sha256)


def make_line(path: str, info: os.stat_result, sha256: str, target: str) -> dict[str, object]:
    """A line of files.jsonl. `mtime` (nanoseconds) tells a file that changed between this list and restic's reading
    from one that is damaged: restic restores the time with the content it read."""
    kind = _KINDS.get(stat.S_IFMT(info.st_mode), "other")
    return {
        "path": path,
        "type": kind,
        "size": info.st_size if kind == "file" else 0,
        "sha256": sha256,
        "mode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "target": target,
        "mtime": info.st_mtime_ns,
    }


def load_known(path: Path) -> Iterator[Known]:
    """What a cache remembers, in order; nothing more from the line that cannot be read."""
    try:
        with path.open(encoding="ascii") as stream:
            for line in stream:
                yield Known(*json.loads(line))
    except (OSError, ValueError, TypeError):
        return


class Cache:
    """The hashes of the last list, asked for in the order of the list."""

    def __init__(self, path: Path) -> None:
        self._known = load_known(path)
        # The first line is when the list began: a file that changed around then may have changed again unseen.
        first = next(self._known, None)
        self._before = first.ctime - _RACY if first and not first.path else 0
        self._next = next(self._known, None)

    def find(self, found: Found) -> str:
        """The hash of a file that did not change since; nothing when it must be read."""
        key = make_key(found.path)
        while self._next and make_key(self._next.path) < key:
            self._next = next(self._known, None)
        known = self._next
        if known is None or known != make_known(found.path, found.info, known.sha256):
            return ""
        return known.sha256 if known.ctime < self._before else ""


@dataclass
class Listing:
    """What a list holds: how many files and bytes, and those that could not be read."""

    count: int = 0
    bytes: int = 0
    sha256: str = ""
    unread: Changes = field(default_factory=Changes)


class _Writer:
    """Writes a list, and the cache for the next one."""

    def __init__(self, lines: IO[bytes], cache: IO[bytes]) -> None:
        self._lines, self._cache = lines, cache
        self._digest = hashlib.sha256()
        self._cache.write(_dump(Known("", 0, 0, time.time_ns(), 0, "")))
        self.listing = Listing()

    def add(self, path: str, info: os.stat_result, sha256: str = "", target: str = "") -> None:
        line = _dump(make_line(path, info, sha256, target))
        self._digest.update(line)
        self._lines.write(line)
        self._cache.write(_dump(make_known(path, info, sha256)))
        if stat.S_ISREG(info.st_mode):
            self.listing.count += 1
            self.listing.bytes += info.st_size

    def end(self) -> Listing:
        self.listing.sha256 = self._digest.hexdigest()
        return self.listing


def _dump(value: object) -> bytes:
    """JSON in ASCII: a byte of a name that is not UTF-8 is a lone surrogate, escaped."""
    return json.dumps(value).encode() + b"\n"


def run_list(folder: int, is_excluded: Callable[[str], bool], target: Path, cache: Path) -> Listing:
    """Write the list of what is below `folder` to `target`, and replace the cache. Raises Failed."""
    old, new, deadline = Cache(cache), cache.with_name(f"{cache.name}.new"), time.monotonic() + SECONDS
    system = os.fstatvfs(folder)
    largest = system.f_blocks * system.f_frsize
    with target.open("wb") as lines, new.open("wb") as remembered:
        writer = _Writer(lines, remembered)
        for found in walk(folder, is_excluded):
            if time.monotonic() > deadline:
                raise Failed(f"reading the site's files was ended: it took longer than {SECONDS:.0f} s")
            if found.info.st_size > largest > 0:
                raise Failed(f"{found.path!r} says that it has {found.info.st_size} bytes: more than the disk holds")
            _run_add(writer, old, found)
    new.replace(cache)
    return writer.end()


def _run_add(writer: _Writer, old: Cache, found: Found) -> None:
    if stat.S_ISLNK(found.info.st_mode):
        with contextlib.suppress(FileNotFoundError):
            writer.add(found.path, found.info, target=os.readlink(found.name, dir_fd=found.folder))
    elif not stat.S_ISREG(found.info.st_mode):
        writer.add(found.path, found.info)
    elif known := old.find(found):
        writer.add(found.path, found.info, known)
    else:
        try:
            if read := read_hash(found):
                writer.add(found.path, read[1], read[0])
        except OSError:
            writer.listing.unread.add(found.path)
            writer.add(found.path, found.info)


def find_changes(folder: int, is_excluded: Callable[[str], bool], cache: Path) -> Changes:
    """What is no longer as the list that wrote `cache` says."""
    known = load_known(cache)
    next(known, None)
    changes, old = Changes(), next(known, None)
    for found in walk(folder, is_excluded):
        key = make_key(found.path)
        while old and make_key(old.path) < key:
            changes.add(old.path)
            old = next(known, None)
        if old is None or old.path != found.path:
            changes.add(found.path)
            continue
        if old != make_known(found.path, found.info, old.sha256):
            changes.add(found.path)
        old = next(known, None)
    while old:
        changes.add(old.path)
        old = next(known, None)
    return changes
