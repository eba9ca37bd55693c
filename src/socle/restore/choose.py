"""Which snapshot: the newest good one at or before a moment, by when it arrived at the vault. Pure.

What a host claims as the time of a snapshot decides nothing: its arrival does, which the vault's own disk knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from socle.errors import InvalidInput, Problem
from socle.model.plan import Site

SAFETY = "safety"
"""The tag of what a site was before a restore: chosen only by its id."""
STAGING = "/var/lib/socle/backups/staging"
_ID = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of a site. `arrival`: epoch seconds, by the vault's clock; `time`: what its host claims."""

    id: str
    time: str
    arrival: float
    paths: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def short(self) -> str:
        return self.id[:8]


@dataclass(frozen=True)
class At:
    """What was asked for: a snapshot by the beginning of its id, or the last one until a moment (epoch seconds)."""

    id: str = ""
    moment: float = float("inf")


def make_staging(site: str) -> str:
    """Where what goes with a site's files is in each of its snapshots."""
    return f"{STAGING}/{site}"


def parse_at(text: str, timezone: str) -> At:
    """`text`: a day (to its end), a day and time, both local, or a snapshot's id (six digits or more). Raises
    InvalidInput."""
    if not text:
        return At()
    if _ID.fullmatch(text):
        return At(id=text)
    zone = ZoneInfo(timezone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        expected = f"expected a day (2026-11-25), a day and time (2026-11-25T14:00), or a snapshot's id: {text}"
        raise InvalidInput([Problem("--at", 0, "", expected)]) from None
    if len(text) == len("2026-11-25"):
        moment = datetime.combine(moment.date(), time.max)
    return At(moment=(moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


def parse_arrivals(text: str) -> dict[str, float]:
    """Arrival of each snapshot, by id, from lines of `<id> <epoch seconds>`. Other names are none of ours."""
    lines = (line.split() for line in text.splitlines())
    return {words[0]: float(words[1]) for words in lines if len(words) == 2 and re.fullmatch("[0-9a-f]{64}", words[0])}


def parse_snapshots(data: Iterable[Mapping[str, Any]], arrivals: Mapping[str, float]) -> list[Snapshot]:
    """Snapshots that restic lists, with when they arrived. One that the vault does not hold any more is left out."""
    return [
        Snapshot(
            id=str(one["id"]),
            time=str(one["time"]),
            arrival=arrivals[one["id"]],
            paths=tuple(map(str, one.get("paths") or ())),
            tags=tuple(map(str, one.get("tags") or ())),
        )
        for one in data
        if one["id"] in arrivals
    ]


def find_candidates(snapshots: Iterable[Snapshot], site: Site, at: At) -> list[Snapshot]:
    """The snapshots of a site that may be meant, the best one first."""
    own = [one for one in snapshots if f"site={site.name}" in one.tags]
    if at.id:
        own = [one for one in own if one.id.startswith(at.id)]
    else:
        own = [one for one in own if one.arrival <= at.moment and SAFETY not in one.tags]
    return sorted(own, key=lambda one: (one.arrival, one.id), reverse=True)


def find_faults(snapshot: Snapshot, site: Site, manifest: Any) -> Iterator[str]:
    """Why a snapshot is not a good one of the site. `manifest`: what was read of it; None when nothing could be."""
    for path in (site.path, make_staging(site.name)):
        if path not in snapshot.paths:
            yield f"it does not hold {path}"
    if not isinstance(manifest, dict):
        yield "its manifest cannot be read"
        return
    for name, expected in (("site", site.name), ("association", site.association)):
        if manifest.get(name) != expected:
            yield f"its manifest is of the {name} {manifest.get(name)!r}"
    if site.database and not manifest.get("database"):
        yield "it holds no database"


def make_problem(site: Site, at: At, refused: Mapping[str, str]) -> Problem:
    """Nothing can be chosen. `refused`: why each that might have been meant is not good, by its id."""
    asked = f" {at.id}" if at.id else "" if at.moment == float("inf") else " that had arrived by then"
    seen = "; ".join(f"{one[:8]}: {why}" for one, why in refused.items())
    expected = f"expected a good snapshot{asked} of it{f': {seen}' if seen else ''}"
    return Problem(site.name, 0, "", expected, "see: socle backup status; another one with --at")


def render_moment(seconds: float, timezone: str) -> str:
    """A moment (epoch seconds) in local time, for people."""
    return datetime.fromtimestamp(seconds, ZoneInfo(timezone)).isoformat(sep=" ", timespec="seconds")
