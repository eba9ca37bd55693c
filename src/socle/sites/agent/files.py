"""Files by path, never through a symbolic link, replaced in one rename."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator

SUFFIX = ".socle-new"
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextlib.contextmanager
def parent(path: str) -> Iterator[tuple[int, str]]:
    """The open folder of `path`, and its last part."""
    parts = path.strip("/").split("/")
    folder = os.open("/", FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder, parts[-1]
    finally:
        os.close(folder)


def lstat(path: str) -> os.stat_result | None:
    try:
        with parent(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def read_bytes(path: str) -> bytes:
    with parent(path) as (folder, name):
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with os.fdopen(handle, "rb") as stream:
            return stream.read()


def write_file(path: str, content: bytes, mode: int, owner: str, group: str) -> None:
    """Old content or new, never half; owner and mode are right before the name appears."""
    with parent(path) as (folder, name):
        temporary = f".{name}{SUFFIX}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        handle = os.open(temporary, flags, 0o600, dir_fd=folder)
        with os.fdopen(handle, "wb") as stream:
            os.fchown(handle, pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid)
            os.fchmod(handle, mode)
            stream.write(content)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def remove_path(path: str) -> None:
    """A file or link; a folder only when it is empty. What is not there is removed already."""
    with contextlib.suppress(FileNotFoundError), parent(path) as (folder, name):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def load_mounts() -> set[str]:
    """What is mounted, by path: also bind mounts, which os.path.ismount does not see."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        return {line.split()[4].encode().decode("unicode_escape") for line in stream}
