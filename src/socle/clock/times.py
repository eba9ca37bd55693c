"""When things are due: pure, in local time, across changes of the clocks.

A moment is a time of the wall clock. On the day when the clocks go forward it may not exist: then nothing is due
that day. On the day when they go back it may come twice: then it is due the first time. systemd's calendar does the
same (seen with systemd-analyze); schedule.yml may hold neither all the same, since a day without its run is not what
anybody wants (see `find_odd_day`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EARLY = timedelta(minutes=1)
"""A timer may fire this long before the moment, by a clock that was set meanwhile."""
_LOOK_AHEAD = 800
"""Days: two changes of the clocks and more."""


@dataclass(frozen=True)
class Moment:
    """`daily` at a time, `weekly` at a time on a day (0 is Monday), in local time; or `hourly`, at minute 0 of UTC: an
    hour that the local clock shows twice has two of them."""

    every: Literal["hourly", "daily", "weekly"]
    hour: int = 0
    minute: int = 0
    day: int = 0

    @property
    def clock(self) -> str:
        return f"{self.hour:02}:{self.minute:02}"

    def __str__(self) -> str:
        words = {"hourly": "hourly", "daily": f"daily {self.clock}", "weekly": f"weekly {DAYS[self.day]} {self.clock}"}
        return words[self.every]


@dataclass(frozen=True)
class OddDay:
    """A day on which a time of the clock does not exist, or comes `twice`."""

    day: date
    twice: bool


@dataclass(frozen=True)
class Run:
    """What is remembered of an entry: since when the clock knows it, and its last run.

    `ended` None: the run goes on, or was killed. Times are aware.
    """

    since: datetime
    began: datetime | None = None
    ended: datetime | None = None
    exit: int | None = None


@dataclass(frozen=True)
class Missed:
    """A run that did not happen: `due` then (aware), the `last` one that did began then."""

    name: str
    due: datetime
    last: datetime | None
    installed: bool
    """Whether the clock knows the entry at all."""


class Timed(Protocol):
    """What is needed of an entry of the schedule."""

    @property
    def name(self) -> str: ...
    @property
    def at(self) -> Moment: ...
    @property
    def grace(self) -> int: ...
    @property
    def limit(self) -> int: ...


def find_due(moment: Moment, now: datetime, timezone: tzinfo) -> datetime:
    """The newest time at or before `now` (aware) at which `moment` was due, in UTC."""
    if moment.every == "hourly":
        return _find_hour(now)
    day = now.astimezone(timezone).date() + timedelta(days=1)
    while True:
        found = _make_instant(moment, day, timezone)
        if found is not None and found <= now:
            return found
        day -= timedelta(days=1)


def find_next(moment: Moment, now: datetime, timezone: tzinfo) -> datetime:
    """The first time after `now` (aware) at which `moment` is due, in UTC."""
    if moment.every == "hourly":
        return _find_hour(now) + timedelta(hours=1)
    day = now.astimezone(timezone).date() - timedelta(days=1)
    while True:
        found = _make_instant(moment, day, timezone)
        if found is not None and found > now:
            return found
        day += timedelta(days=1)


def _find_hour(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _make_instant(moment: Moment, day: date, timezone: tzinfo) -> datetime | None:
    """When `moment` is due on a local day, in UTC: None on another weekday, and when that time does not exist."""
    if moment.every == "weekly" and day.weekday() != moment.day:
        return None
    instants = _find_instants(datetime.combine(day, time(moment.hour, moment.minute)), timezone)
    return instants[0] if instants else None


def _find_instants(local: datetime, timezone: tzinfo) -> list[datetime]:
    """The instants at which clocks show `local` (naive): none, one, or two; in UTC, in order."""
    found = {local.replace(tzinfo=timezone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(instant for instant in found if instant.astimezone(timezone).replace(tzinfo=None) == local)


def find_odd_day(moment: Moment, timezone: ZoneInfo, now: datetime) -> OddDay | None:
    """The first day from `now` on, within two years, that does not have `moment`'s time exactly once."""
    if moment.every == "hourly":
        return None
    start = now.astimezone(timezone).date()
    for offset in range(_LOOK_AHEAD):
        day = start + timedelta(days=offset)
        if moment.every == "weekly" and day.weekday() != moment.day:
            continue
        count = len(_find_instants(datetime.combine(day, time(moment.hour, moment.minute)), timezone))
        if count != 1:
            return OddDay(day, twice=count > 1)
    return None


def describe_odd_day(moment: Moment, timezone: ZoneInfo, now: datetime) -> str:
    """What is wrong with a time that the timezone does not have once on each day; empty when it has."""
    odd = find_odd_day(moment, timezone, now)
    if odd is None:
        return ""
    word = "comes twice" if odd.twice else "does not exist"
    return (
        f"expected a time that each day has once: {moment.clock} {word} on {odd.day} "
        f"in {timezone.key}, where the clocks change"
    )


def is_due(entry: Timed, run: Run | None, now: datetime, timezone: tzinfo) -> bool:
    """Whether the entry must run now: its last moment passed since it is known, and no run came after it."""
    due = find_due(entry.at, now, timezone)
    return run is None or (due >= run.since and not _covers(run, due, now, entry.limit))


def find_missed(entries: Iterable[Timed], runs: Mapping[str, Run], now: datetime, timezone: tzinfo) -> list[Missed]:
    """The entries whose run is missed at `now`: due more than their grace ago, and not run since.

    The wall clock counts, so also while the machine was down. An entry that the clock does not know is missed.
    """
    missed = []
    for entry in entries:
        run = runs.get(entry.name)
        due = find_due(entry.at, now - timedelta(hours=entry.grace), timezone)
        if run is not None and (due < run.since or _covers(run, due, now, entry.limit)):
            continue
        missed.append(Missed(entry.name, due, run.began if run else None, installed=run is not None))
    return missed


def _covers(run: Run, due: datetime, now: datetime, limit: int) -> bool:
    """Whether the run is the one that was due. One that never ended counts while it may still be going on; one
    from the future, by a clock that was wrong then, does not count."""
    if run.began is None or run.began < due - EARLY or run.began > now + EARLY:
        return False
    return run.ended is not None or now < run.began + timedelta(hours=limit + 1)
