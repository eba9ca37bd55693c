"""A site's files once they are back: what must not stay, SQLite databases, and the comparison with the list."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import shutil
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backup_host.files import make_key, make_short, opened, walk
from backup_host.patterns import BESIDE_SQLITE, make_matcher
from backup_host.programs import Failed

from restore_host.manifest import check_digest

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
_AHEAD = 32
_SHOWN = 10
Line = Mapping[str, Any]


def has_content(folder: int, is_excluded: Callable[[str], bool]) -> bool:
    """Whether there is a file of the site's own."""
    return any(stat.S_ISREG(found.info.st_mode) for found in walk(folder, is_excluded))


def run_empty(folder: int, patterns: Sequence[str]) -> None:
    """Remove what is in the folders that saves leave out: caches of another day. The folders stay."""
    is_cache = make_matcher(pattern.strip("/") for pattern in patterns)
    caches: list[str] = []

    def is_below(path: str) -> bool:
        return any(path.startswith(f"{cache}/") for cache in caches[-1:])

    for found in walk(folder, is_below):
        if is_cache(found.path):
            caches.append(found.path)
    for path in caches:
        _empty(folder, path)


def _empty(folder: int, path: str) -> None:
    with _opened_parent(folder, path) as (parent, name):
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=parent)
            return
        handle = os.open(name, _FOLDER, dir_fd=parent)
        try:
            with os.scandir(handle) as found:
                names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in found}
            for inner, is_folder in names.items():
                if is_folder:
                    shutil.rmtree(inner, dir_fd=handle)
                else:
                    os.unlink(inner, dir_fd=handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _opened_parent(folder: int, path: str) -> Iterator[tuple[int, str]]:
    """The open folder that holds `path`, and its last part; never through a symbolic link."""
    parts = path.split("/")
    handle = os.dup(folder)
    try:
        for part in parts[:-1]:
            if part in ("", ".", ".."):
                raise Failed(f"expected a path below the site's folder: {path!r}")
            inner = os.open(part, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle, parts[-1]
    finally:
        os.close(handle)


def run_databases(folder: int, copies: Path, described: Mapping[str, Line]) -> None:
    """Put SQLite databases back, as the manifest describes them. Raises Failed."""
    for path, line in described.items():
        check_digest(copies / path, str(line["sha256"]), f"the database {path}")
        with _opened_parent(folder, path) as (parent, name):
            before = os.fstat(parent)
            for beside in BESIDE_SQLITE:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name + beside, dir_fd=parent)
            new = f".{name}.socle-new"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=parent)
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent)
            with os.fdopen(handle, "wb") as target, (copies / path).open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fchown(handle, int(line["uid"]), int(line["gid"]))
                os.fchmod(handle, int(line["mode"]) & 0o777)
                os.fsync(handle)
            os.rename(new, name, src_dir_fd=parent, dst_dir_fd=parent)
            os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))


def run_directories(folder: int, wanted: Iterable[Line]) -> None:
    """Make the folders that are missing. One that is there stays as it is."""
    for line in sorted(wanted, key=lambda one: make_key(str(one["path"]))):
        with _opened_parent(folder, str(line["path"])) as (parent, name):
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                continue
            handle = os.open(name, _FOLDER, dir_fd=parent)
            try:
                os.fchown(handle, pwd.getpwnam(line["owner"]).pw_uid, grp.getgrnam(line["group"]).gr_gid)
                os.fchmod(handle, int(line["mode"]))
            finally:
                os.close(handle)


@dataclass
class Comparison:
    """What was compared, and what differs. `changed`: not as listed, because it changed while it was saved."""

    files: int = 0
    bytes: int = 0
    changed: int = 0
    count: int = 0
    first: list[str] = field(default_factory=list)

    def note(self, path: str, what: str) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(f"{make_short(path)} {what}".encode(errors="backslashreplace").decode())

    @property
    def problem(self) -> str:
        more = ", ..." if self.count > len(self.first) else ""
        return f"{self.count} of its files differ from the list: {', '.join(self.first)}{more}" if self.count else ""


@dataclass(frozen=True)
class Seen:
    """Something that is there; `sha256` comes when it has been read."""

    path: str
    info: os.stat_result
    target: str
    sha256: Future[str] | None


def load_lines(path: Path) -> Iterator[Line]:
    """The list that goes with a snapshot, in its order."""
    with path.open("rb") as stream:
        for text in stream:
            yield json.loads(text)


def compare(folder: str, is_excluded: Callable[[str], bool], listing: Path, precision: int = 0) -> Comparison:
    """Compare everything below `folder` with a list: kinds, contents, owners, modes. `precision`: by how much
    (nanoseconds) times may be off. Raises Failed when the list cannot be read."""
    judge = Judge(precision)
    with opened(folder) as handle, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        try:
            for line, seen in pair(load_lines(listing), _read_ahead(walk(handle, is_excluded), pool)):
                judge.judge(line, seen)
        except (ValueError, KeyError, TypeError) as error:
            raise Failed(f"the snapshot's list of files cannot be read: {error!r}") from None
    return judge.result


def pair(lines: Iterable[Line], seen: Iterable[Seen]) -> Iterator[tuple[Line | None, Seen | None]]:
    """What is listed and what is there, side by side; both are sorted alike."""
    left, right = iter(lines), iter(seen)
    line, found = next(left, None), next(right, None)
    while line or found:
        order = _order(line, found)
        yield (line if order <= 0 else None), (found if order >= 0 else None)
        if order <= 0:
            line = next(left, None)
        if order >= 0:
            found = next(right, None)


def _order(line: Line | None, found: Seen | None) -> int:
    if line is None or found is None:
        return 1 if line is None else -1
    left, right = make_key(str(line["path"])), make_key(found.path)
    return (left > right) - (left < right)


class Judge:
    """Notes what differs. Something that changed while it was saved is not damaged: restic gives back the time with
    the content that it read, and a folder whose time is another one gained or lost something meanwhile."""

    def __init__(self, precision: int = 0) -> None:
        self.result, self._precision = Comparison(), precision
        self._moving = {""}  # the site's folder itself is not listed

    def judge(self, line: Line | None, seen: Seen | None) -> None:
        """One thing: listed, there, or both."""
        if line is None or seen is None:
            path = str(line["path"]) if line else seen.path if seen else ""
            if line and line["type"] == "other":
                return  # sockets are in no snapshot
            if path.rpartition("/")[0] in self._moving:
                self.result.changed += 1
                if seen and stat.S_ISDIR(seen.info.st_mode):
                    self._moving.add(path)
            else:
                self.result.note(path, "is missing" if seen is None else "was not listed")
            return
        kind = _KINDS.get(stat.S_IFMT(seen.info.st_mode), "other")
        if kind == "file":
            self.result.files += 1
            self.result.bytes += seen.info.st_size
        if problem := find_difference(line, seen, kind):
            if self._is_same(line, seen):
                self.result.note(seen.path, problem)
                return
            self.result.changed += 1
        if kind == "directory" and not self._is_same(line, seen):
            self._moving.add(seen.path)

    def _is_same(self, line: Line, seen: Seen) -> bool:
        """Whether the time is that of the list."""
        return abs(seen.info.st_mtime_ns - int(line["mtime"])) <= self._precision


def find_difference(line: Line, seen: Seen, kind: str) -> str:
    """How something differs from its line in the list; empty when it does not."""
    if kind != line["type"]:
        return f"is a {kind}, not a {line['type']}"
    if kind == "link":
        return "" if seen.target == line["target"] else "leads elsewhere"
    if kind == "file" and seen.sha256 and seen.sha256.result() != line["sha256"]:
        return "has another content"
    if (seen.info.st_uid, seen.info.st_gid) != (line["uid"], line["gid"]):
        return f"belongs to {seen.info.st_uid}:{seen.info.st_gid}, not {line['uid']}:{line['gid']}"
    mode = stat.S_IMODE(seen.info.st_mode)
    return "" if mode == line["mode"] else f"has the mode {mode:o}, not {line['mode']:o}"


def _read_ahead(found: Iterable[Any], pool: ThreadPoolExecutor) -> Iterator[Seen]:
    """What is there, in order, while a few files ahead are being read."""
    waiting: deque[Seen] = deque()
    for one in found:
        waiting.append(_see(one, pool))
        if len(waiting) > _AHEAD:
            yield waiting.popleft()
    yield from waiting


def _see(found: Any, pool: ThreadPoolExecutor) -> Seen:
    """Open now, while its folder is; read by the pool."""
    mode = found.info.st_mode
    target = os.readlink(found.name, dir_fd=found.folder) if stat.S_ISLNK(mode) else ""
    digest = None
    if stat.S_ISREG(mode):
        digest = pool.submit(_hash, os.open(found.name, _FILE, dir_fd=found.folder))
    return Seen(found.path, found.info, target, digest)


def _hash(handle: int) -> str:
    with os.fdopen(handle, "rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
