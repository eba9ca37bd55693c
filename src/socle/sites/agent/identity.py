"""Whether a site's volume and database are those its stamp was given for.

A stamp is on the host's own disk: it outlives a volume that was lost and made anew, empty. So each volume
carries a random number, in a file that only root may read, and the index remembers it.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from socle.sites.agent.files import group_name, lstat, read_bytes, user_name, write_file
from socle.sites.agent.programs import Failed
from socle.sites.agent.reading import read_databases

NAME = ".socle"


def read_identity(path: str) -> dict[str, str] | None:
    """The site and the number of the volume mounted at `path`; None when root has written none."""
    file = f"{path}/{NAME}"
    try:
        info = lstat(file)
        if info is None or not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            return None
        data = json.loads(read_bytes(file))
        return {"site": str(data["site"]), "id": str(data["id"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make_identity(path: str, site: str) -> str:
    """The number of a site's volume, given now when it has none."""
    if found := read_identity(path):
        return found["id"]
    number = secrets.token_hex(16)
    content = json.dumps({"id": number, "site": site}, sort_keys=True).encode() + b"\n"
    write_file(f"{path}/{NAME}", content, 0o400, user_name(os.geteuid()), group_name(os.getegid()))
    return number


def find_lost(indexes: dict[str, dict[str, Any]], keys: dict[str, list[str]]) -> dict[str, str]:
    """Of the sites of `keys`, those whose volume or database is not the one of their index, and why."""
    lost = {}
    for site, own in keys.items():
        known = indexes[site]["volumes"]
        for path in _names(own, "mount"):
            found = read_identity(path)
            if found is None or found != {"site": site, "id": known.get(path)}:
                # A site made before volumes had numbers is only looked at, once.
                lost[site] = f"{path} is not the volume it was made on" if path in known else ""
    wanted = {name: site for site, own in keys.items() for name in _names(own, "database")}
    try:
        there = read_databases(set(wanted)) if wanted else {}
    except Failed as error:
        return lost | dict.fromkeys(wanted.values(), str(error))
    return lost | {site: f"its database {name} is gone" for name, site in wanted.items() if name not in there}


def is_bare(index: dict[str, Any], site: str, keys: list[str]) -> bool:
    """Whether a volume of the site is not the one of its index, and holds no file but those that we make (links among
    them are ours): it was made anew, or was never filled. One that a person or a restore has filled is not bare."""
    ours = {f"{path}/{NAME}" for path in _names(keys, "mount")} | set(_names(keys, "file"))
    return any(
        read_identity(path) != {"site": site, "id": index["volumes"].get(path)} and not _has_files(path, ours)
        for path in _names(keys, "mount")
    )


def _has_files(path: str, besides: set[str]) -> bool:
    files = (f"{folder}/{name}" for folder, _, names in os.walk(path) for name in names)
    return any(file not in besides and not Path(file).is_symlink() for file in files)


def _names(keys: list[str], wanted: str) -> list[str]:
    return [name for kind, _, name in (key.partition(":") for key in keys) if kind == wanted]
