"""SQLite databases in a site's folder: found by their patterns, copied as the site's user, brought to safety."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backup_host import sqlite_copy
from backup_host.patterns import find_matching, has_wildcard
from backup_host.programs import Failed, last_lines, run_program

COPY_SECONDS = 2 * 3600.0


def find_databases(folder: int, patterns: Iterable[str]) -> dict[str, int]:
    """Bytes of each database a service declares, by its path from the site's folder. Raises Failed when one that is
    named is not there; a pattern may match nothing."""
    found: dict[str, int] = {}
    for pattern in patterns:
        paths = find_matching(folder, pattern)
        if not paths and not has_wildcard(pattern):
            raise Failed(f"the database {pattern} is not there, or is no file")
        for path in paths:
            found[path] = sum(_size(folder, path + beside) for beside in ("", "-wal"))
    return found


def _size(folder: int, path: str) -> int:
    try:
        return os.stat(path, dir_fd=folder, follow_symlinks=False).st_size
    except OSError:
        return 0


def run_copies(folder: str, paths: Iterable[str], work: Path, target: Path) -> dict[str, dict[str, object]]:
    """Copy each database to the same path below `target`; what the manifest says of them. `work` is a folder for the
    site's user, on the same disk as `target`, which that user has no way to. Raises Failed."""
    owner = Path(folder).stat().st_uid
    work.mkdir(mode=0o700)
    os.chown(work, owner, -1)
    found = {}
    for path in paths:
        copy = work / "copy"
        rows = _run_copy(f"{folder}/{path}", copy, owner)
        final = target / path
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy.rename(final)
        found[path] = _take(final, f"{folder}/{path}") | {"tables": rows}
    shutil.rmtree(work)
    return found


def _run_copy(source: str, copy: Path, uid: int) -> dict[str, int]:
    """Copy as the user `uid`; rows of each table. Nobody but root is told to be somebody else."""
    identity: dict[str, Any] = {"user": uid, "group": _find_group(uid), "extra_groups": []} if os.geteuid() == 0 else {}
    arguments = [sys.executable, "-I", "-B", sqlite_copy.__file__, source, str(copy)]
    result = run_program(arguments, timeout=COPY_SECONDS, cwd="/", **identity)
    if result.returncode:
        raise Failed(f"the database {source} could not be copied: {last_lines(result.stderr)}")
    try:
        return dict(json.loads(result.stdout))
    except ValueError:
        raise Failed(f"the database {source} could not be copied: no answer") from None


def _find_group(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def _take(copy: Path, source: str) -> dict[str, object]:
    """Make a copy ours, and describe it: its hash, and what the original's owner and mode are. The user may have put
    anything in its place."""
    handle = os.open(copy, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb", buffering=0) as stream:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise Failed(f"the copy of {source} is no file")
        os.fchown(handle, os.geteuid(), os.getegid())
        os.fchmod(handle, 0o600)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    original = os.lstat(source)
    return {
        "bytes": info.st_size,
        "sha256": digest,
        "mode": stat.S_IMODE(original.st_mode),
        "uid": original.st_uid,
        "gid": original.st_gid,
    }
