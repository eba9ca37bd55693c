"""What a snapshot says of itself, and whether this site, on this host, can be brought back from it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backup_host.programs import Failed

LARGEST = 64 * 1024**2
FORMAT = 1
_SERIES = re.compile(r"(?:\d+:)?(\d+)\.(\d+)\.")
_DISK_FACTOR, _DISK_TABLE = 1.5, 256 * 1024
"""Disk that a dump takes once it is loaded, at most: InnoDB's pages are not full, and each table has its own."""


@dataclass(frozen=True)
class Manifest:
    """What a snapshot holds."""

    site: str
    association: str
    files: Mapping[str, Any]
    database: Mapping[str, Any] | None
    sqlite: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, int]:
        """Rows of each table of the dump."""
        return dict(self.database["tables"]) if self.database else {}


def load_manifest(path: Path) -> Manifest:
    """Raises Failed when it is not there or is none of ours."""
    try:
        if path.stat().st_size > LARGEST:
            raise Failed("the snapshot's manifest is too large to be one")
        data = json.loads(path.read_bytes())
        if data["format"] != FORMAT:
            raise Failed(f"the snapshot's manifest is of format {data['format']!r}: this host reads {FORMAT}")
        database = data["database"]
        if database is not None:
            database = {
                **{name: str(database[name]) for name in ("name", "sha256")},
                "bytes": int(database["bytes"]),
                "tables": {str(name): int(rows) for name, rows in database["tables"].items()},
            }
        return Manifest(
            site=str(data["site"]),
            association=str(data["association"]),
            files={"sha256": str(data["files"]["sha256"]), **_numbers(data["files"], "count", "bytes")},
            database=database,
            sqlite={str(name): dict(value) for name, value in (data.get("sqlite") or {}).items()},
            versions={str(name): str(value) for name, value in (data.get("versions") or {}).items()},
        )
    except OSError as error:
        raise Failed(f"the snapshot has no manifest: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed(f"the snapshot's manifest cannot be read: {error!r}") from None


def _numbers(data: Mapping[str, Any], *names: str) -> dict[str, int]:
    return {name: int(data[name]) for name in names}


def find_problems(manifest: Manifest, config: Mapping[str, Any], room: Mapping[str, int]) -> Iterator[str]:
    """Why a site cannot be brought back from a snapshot that says this of itself."""
    for name in ("site", "association"):
        if getattr(manifest, name) != config[name]:
            yield f"the snapshot is of the {name} {getattr(manifest, name)!r}, not of {config[name]!r}"
    if bool(manifest.database) != bool(config["database"]):
        has, wants = ("a", "none") if manifest.database else ("no", "one")
        yield f"the snapshot holds {has} database, and the site has {wants}"
    if manifest.database and manifest.database["name"] != config["database"]:
        yield f"the snapshot holds the database {manifest.database['name']!r}, not {config['database']!r}"
    need = manifest.files["bytes"] + sum(int(one["bytes"]) for one in manifest.sqlite.values())
    if "files" in room and need > room["files"]:
        yield f"its files are {need} bytes, and its volume holds {room['files']}: raise its quota"
    if manifest.database and "database" in room:
        need = int(manifest.database["bytes"] * _DISK_FACTOR) + len(manifest.tables) * _DISK_TABLE
        if need > room["database"]:
            yield f"its database may take {need} bytes, and the volume of databases has {room['database']} free"


def parse_series(version: str) -> tuple[int, int]:
    """The series of a version of MariaDB, as the server or its package gives it. Raises Failed."""
    found = _SERIES.match(version)
    if not found:
        raise Failed(f"this is no version of MariaDB: {version!r}")
    return int(found[1]), int(found[2])


def find_newer(made: str, here: str) -> str:
    """Why a dump that MariaDB `made` wrote must not be loaded into the server `here`: a newer series may write what an
    older one reads otherwise. Empty when it may."""
    if parse_series(made) <= parse_series(here):
        return ""
    return f"the dump was made by MariaDB {made}, and the server here is {here}: bring the host to that version first"


def make_version_notes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between the packages that made the snapshot and those here."""
    return [
        f"{name}: {version} then, {now.get(name, 'not installed')} here"
        for name, version in sorted(then.items())
        if now.get(name) != version
    ]


def check_digest(path: Path, wanted: str, what: str) -> None:
    """Raises Failed when a file is not as the manifest says."""
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise Failed(f"the snapshot lacks {what}: {error.strerror}") from None
    if found != wanted:
        raise Failed(f"{what} is not as the manifest says (SHA-256 {found[:12]}, expected {wanted[:12]})")
