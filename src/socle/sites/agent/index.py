"""What of each site is ours on this host: /var/lib/socle/sites/<site>.json. Keys only, no secrets."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from socle.sites.agent.files import SUFFIX, remove_path
from socle.sites.agent.programs import Failed

INDEX = "/var/lib/socle/sites"
LOCK_SECONDS = 300


def load_indexes() -> dict[str, dict[str, Any]]:
    """Every index, by site."""
    indexes = {}
    for path in sorted(Path(INDEX).glob("[!.]*.json")):
        indexes[path.stem] = load_index(path)
    return indexes


def load_index(path: Path) -> dict[str, Any]:
    """One index. One that a failing disk has spoilt must not stop all sites: it counts as new, and says so."""
    empty = new_index()
    try:
        data = {**empty, **json.loads(path.read_text(encoding="utf-8"))}
        if all(isinstance(data[name], type(value)) for name, value in empty.items()):
            return data
    except (OSError, ValueError, TypeError):
        pass
    return {**empty, "unreadable": f"{path} cannot be read: the site is taken for new"}


def save_indexes(indexes: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Record several sites at once: all new files reach the disk before any takes its place, so that no cut of
    power leaves an empty one. The sites that could not be, and why."""
    errors: dict[str, str] = {}
    ready: dict[str, str] = {}
    for site, index in indexes.items():
        path = f"{INDEX}/{site}.json"
        try:
            if index["keys"]:
                ready[path] = write_new(path, index)
            else:
                remove_path(path)
        except OSError as error:
            errors[site] = str(error.strerror)
    sync_disk()
    for path, new in ready.items():
        Path(new).rename(path)
    folder = os.open(INDEX, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return errors


def write_new(path: str, index: dict[str, Any]) -> str:
    """The path of the index to be, beside the one it will replace. The folder is root's alone."""
    folder, _, name = path.rpartition("/")
    new = f"{folder}/.{name}{SUFFIX}"
    kept = {key: value for key, value in index.items() if key != "unreadable"}
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(kept, stream, sort_keys=True)
    return new


def new_index() -> dict[str, Any]:
    return {"keys": [], "stamp": "", "units": {}, "pending": [], "shared": {}, "volumes": {}}


@contextlib.contextmanager
def locked(exclusive: bool) -> Iterator[None]:
    """One writer at a time: an agent whose controller was killed goes on to its end."""
    Path(INDEX).mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(f"{INDEX}/.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    kind = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
    try:
        while True:
            try:
                fcntl.flock(handle, kind)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Failed(f"another run has held {INDEX}/.lock for {LOCK_SECONDS} s") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def sync_disk() -> None:
    """What was written reaches the disk before a stamp says so (syncfs(2))."""
    handle = os.open(INDEX, os.O_RDONLY)
    ctypes.CDLL(None).syncfs(handle)
    os.close(handle)
