"""One site: what is checked, prepared and saved, in this order. Whatever happens, there is a result that says so,
and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backup_host import vault
from backup_host.database import FULL, Facts, run_dump
from backup_host.files import Changes, Listing, find_changes, opened, run_list
from backup_host.host import STATE, Host, load_mounts
from backup_host.patterns import make_excluded, make_matcher
from backup_host.programs import Failed
from backup_host.results import make_printable, make_time
from backup_host.sqlite import find_databases, run_copies

MARGIN = 64 * 1024**2
DUMP_FACTOR = 2
"""A dump against the server's data: bytes in hexadecimal, a statement for each row."""
FIELDS = {
    *("site", "association", "service", "folder", "exclude", "sqlite", "database", "packages"),
    *("url", "user", "credential", "key"),
}


@dataclass
class Result:
    """What came of a site."""

    site: str
    result: str = "failed"
    reason: str = ""
    snapshot: str = ""
    began: float = field(default_factory=time.time)
    ended: float = 0.0
    changed: Changes = field(default_factory=Changes)
    """Changed as it was saved: the snapshot has it as restic read it, which may not be as the manifest says."""
    unread: Changes = field(default_factory=Changes)

    def make_record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **{name: getattr(self, name) for name in ("site", "result", "reason", "snapshot")},
            **{name: make_time(getattr(self, name)) for name in ("began", "ended")},
            **{name: asdict(getattr(self, name)) for name in ("changed", "unread")},
        }


def run_save(site: str, config: Mapping[str, Any], host: Host) -> Result:
    """Save a site; the result says how it went. Never raises."""
    result = Result(site)
    try:
        _run_save(config, host, result)
    except Failed as error:
        result.reason = str(error)
    except OSError as error:
        full = "this host's disk was full: " if error.errno in FULL else ""
        result.reason = f"{full}{error}"
    except Exception as error:
        # A fault of ours: it must not stop the other sites, nor pass for success.
        result.reason = f"unexpected: {type(error).__name__}: {error}"
    finally:
        run_clear(site)
    result.reason, result.ended = make_printable(result.reason), time.time()
    return result


def run_clear(site: str) -> None:
    """Remove what was prepared for a site."""
    for folder in (STATE / "staging" / site, STATE / "copies" / site):
        shutil.rmtree(folder, ignore_errors=True)


def check_config(config: Mapping[str, Any]) -> None:
    """Raises Failed when something is missing."""
    if missing := sorted(FIELDS - config.keys()):
        raise Failed(f"the site's configuration lacks {', '.join(missing)}: run socle apply")


def check_whole(site: str) -> None:
    """A site whose restore did not end is not saved: it would pass for its newest copy."""
    if (STATE / "restoring" / site).exists():
        raise Failed("a restore of it has not ended well: run socle restore again")


def check_folder(folder: str, mounts: frozenset[str]) -> None:
    """The site's own volume must be there: restic itself calls a save without it a success (case A2)."""
    try:
        info = os.lstat(folder)
    except OSError as error:
        raise Failed(f"the site's folder {folder} cannot be saved: {error.strerror}") from None
    if not stat.S_ISDIR(info.st_mode):
        raise Failed(f"the site's folder {folder} is no folder")
    if folder not in mounts:
        raise Failed(f"the site's volume is not mounted at {folder}")


def _run_save(config: Mapping[str, Any], host: Host, result: Result) -> None:
    check_config(config)
    check_whole(result.site)
    check_folder(config["folder"], host.mounts)
    vault.run_probe(config["url"], config["user"], config["credential"])
    staging, cache = STATE / "staging" / result.site, STATE / "cache" / f"{result.site}.jsonl"
    with opened(config["folder"]) as folder:
        sqlite = find_databases(folder, config["sqlite"])
        patterns = make_excluded(config["exclude"], sqlite)
        facts = host.databases.find(config["database"]) if config["database"] else None
        with host.space.reserve(make_need(facts, sqlite, cache)):
            staging.mkdir(mode=0o700)
            # Before the files: what rows speak of is then in the files too.
            dump = run_dump(config["database"], facts, staging / "database.sql") if facts else None
            copies = run_copies(config["folder"], sqlite, STATE / "copies" / result.site, staging / "sqlite")
            listing = run_list(folder, make_matcher(patterns), staging / "files.jsonl", cache)
            manifest = make_manifest(config, host, result.began, listing) | {"database": dump, "sqlite": copies}
            (staging / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
            outcome = vault.run_backup(config, host.name, str(staging), patterns)
        if outcome.problem:
            raise Failed(outcome.problem)
        result.snapshot = outcome.snapshot
        result.changed = find_changes(folder, make_matcher(patterns), cache)
    # Once more: a volume may have gone away meanwhile.
    check_folder(config["folder"], load_mounts())
    result.unread = outcome.unread if outcome.unread.count else listing.unread
    result.result = "partial" if result.unread.count else "complete"
    result.reason = make_incomplete(result.unread)


def make_manifest(config: Mapping[str, Any], host: Host, began: float, listing: Listing) -> dict[str, Any]:
    """What is saved, but for databases."""
    return {
        "format": 1,
        **{name: config[name] for name in ("site", "association", "service")},
        "host": host.name,
        "began": make_time(began),
        "ended": make_time(time.time()),
        "versions": {name: host.versions[name] for name in config["packages"] if name in host.versions},
        "files": {"count": listing.count, "bytes": listing.bytes, "sha256": listing.sha256},
    }


def make_incomplete(unread: Changes) -> str:
    """What a partial save lacks; nothing when it lacks nothing."""
    more = ", ..." if unread.count > len(unread.first) else ""
    return f"{unread.count} not read: {', '.join(unread.first)}{more}" if unread.count else ""


def make_need(facts: Facts | None, sqlite: Mapping[str, int], cache: Path) -> int:
    """Bytes that staging takes, at most; the list of files is about as long as last time."""
    try:
        listing = cache.stat().st_size * 2
    except OSError:
        listing = 0
    return (facts.bytes * DUMP_FACTOR if facts else 0) + sum(sqlite.values()) + listing + MARGIN
