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

from socle.sites.agent.files import group_name, remove_path, user_name, write_file
from socle.sites.agent.programs import Failed

INDEX = "/var/lib/socle/sites"
LOCK_SECONDS = 300


def load_indexes() -> dict[str, dict[str, Any]]:
    """Every index, by site."""
    indexes = {}
    for path in sorted(Path(INDEX).glob("[!.]*.json")):
        indexes[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return indexes


def save_index(site: str, index: dict[str, Any]) -> None:
    path = f"{INDEX}/{site}.json"
    if index["keys"]:
        user, group = user_name(os.geteuid()), group_name(os.getegid())
        write_file(path, json.dumps(index, sort_keys=True).encode(), 0o600, user, group)
    else:
        remove_path(path)


def new_index() -> dict[str, Any]:
    return {"keys": [], "stamp": "", "units": {}, "pending": [], "shared": {}}


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
