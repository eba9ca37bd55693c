"""Which snapshots stay: by the policy, in local days, for each site. Pure.

A snapshot counts for the day, week, month and year in which it arrived, by the clock on the wall; so the day on
which the clock is put back is one day of 25 hours. Nothing is forgotten of a site whose last night was not good, and
what cannot be believed neither counts nor takes the place of what can. What a site was before a restore stays as many
days as the nights do, and takes the place of none: it is a state that somebody wanted to leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from socle.backups.facts import Snapshot
from socle.backups.verdict import is_dated
from socle.model.base import Model
from socle.model.policy import Keep, Policy


class Candidate(Model):
    """A snapshot that may be forgotten. `good`: whether it was judged complete; None when it never was judged."""

    snapshot: Snapshot
    good: bool | None = None


Kept = dict[str, str]
"""Why each snapshot that stays does, by its id."""
_Bucket = Callable[[date], Any]
_BUCKETS: tuple[tuple[str, _Bucket], ...] = (
    ("daily", lambda day: day),
    ("weekly", lambda day: day.isocalendar()[:2]),
    ("monthly", lambda day: (day.year, day.month)),
    ("yearly", lambda day: day.year),
)


def make_kept(snapshots: Iterable[Candidate], policy: Policy, timezone: str, now: float) -> Kept:
    """The snapshots that stay, and why, of all sites together; `now` in epoch seconds. All others may go."""
    sites: dict[str, list[Candidate]] = {}
    for one in snapshots:
        sites.setdefault(one.snapshot.site, []).append(one)
    kept: Kept = {}
    for own in sites.values():
        kept.update(_make_kept(own, policy, ZoneInfo(timezone), now))
    return kept


def _make_kept(own: Sequence[Candidate], policy: Policy, zone: ZoneInfo, now: float) -> Kept:
    kept = {one.snapshot.id: "dated otherwise than it arrived" for one in own if not is_dated(one.snapshot)}
    counted = sorted(
        (one for one in own if is_dated(one.snapshot) and not one.snapshot.safety),
        key=lambda one: (one.snapshot.arrival, one.snapshot.id),
        reverse=True,
    )
    newest = counted[0] if counted else None
    if newest is None or not newest.good or now - newest.snapshot.arrival > policy.late_after * 3600:
        return {one.snapshot.id: "the last night was not good" for one in own} | kept
    today = _find_day(now, zone)
    recent = today - timedelta(days=policy.keep.daily)
    for one in own:
        if one.snapshot.safety and _find_day(one.snapshot.arrival, zone) > recent:
            kept[one.snapshot.id] = "before a restore"
    for one in counted:
        if one.good is False and _find_day(one.snapshot.arrival, zone) > recent:
            kept[one.snapshot.id] = "incomplete"
    good = [one.snapshot for one in counted if one.good is not False]
    for name, bucket in _BUCKETS:
        for identity in _find_last(good, bucket, getattr(policy.keep, name), zone):
            kept.setdefault(identity, name)
    kept[newest.snapshot.id] = "last good"
    return kept


def _find_last(snapshots: Sequence[Snapshot], bucket: _Bucket, count: int, zone: ZoneInfo) -> list[str]:
    """The newest snapshot of each of the last `count` buckets that have one. Newest first in `snapshots`."""
    found: dict[Any, str] = {}
    for one in snapshots:
        found.setdefault(bucket(_find_day(one.arrival, zone)), one.id)
    return list(found.values())[:count]


def _find_day(seconds: float, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone).date()


def make_most(keep: Keep) -> int:
    """How many good snapshots of a site stay at most."""
    return keep.daily + keep.weekly + keep.monthly + keep.yearly
