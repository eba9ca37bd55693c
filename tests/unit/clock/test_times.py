"""When things are due, across changes of the clocks; what was missed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from socle.clock.install import render_calendar
from socle.clock.times import Missed, Moment, Run, find_due, find_missed, find_next, find_odd_day, is_due

PARIS = ZoneInfo("Europe/Paris")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
ZONES = [
    PARIS,
    LORD_HOWE,
    *map(ZoneInfo, ("UTC", "America/St_Johns", "Africa/Casablanca", "Asia/Kathmandu", "Europe/Dublin")),
]
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def local(text: str, zone: ZoneInfo = PARIS, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


zones = st.sampled_from(ZONES)
nows = st.integers(0, 6 * 366 * 24 * 60).map(lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + minutes * MINUTE)
times_of_day = {"hour": st.integers(0, 23), "minute": st.integers(0, 59)}
moments = st.one_of(
    st.just(Moment("hourly")),
    st.builds(Moment, st.just("daily"), **times_of_day),
    st.builds(Moment, st.just("weekly"), **times_of_day, day=st.integers(0, 6)),
)


def find_by_looking(moment: Moment, now: datetime, zone: ZoneInfo) -> datetime:
    """The same as find_due, minute by minute: the newest at which the clock shows the moment for the first time."""
    at = now.replace(second=0, microsecond=0)
    while True:
        shown = at.astimezone(UTC if moment.every == "hourly" else zone)
        first = shown.fold == 0 or moment.every == "hourly"
        hit = shown.minute == moment.minute and (moment.every == "hourly" or shown.hour == moment.hour)
        if hit and first and (moment.every != "weekly" or shown.weekday() == moment.day):
            return at
        at -= MINUTE


@given(moments, nows, zones)
@example(Moment("daily", 2, 30), local("2027-03-28T12:00"), PARIS)
@example(Moment("daily", 2, 30), local("2026-10-25T02:30", fold=1), PARIS)
@example(Moment("hourly"), local("2026-10-25T02:10", fold=1), PARIS)
@example(Moment("hourly"), local("2026-04-05T01:40", LORD_HOWE, 1), LORD_HOWE)
@example(Moment("hourly"), local("2026-10-04T02:40", LORD_HOWE), LORD_HOWE)
@settings(max_examples=60, deadline=None)
def test_what_is_due_is_what_the_clock_showed(moment: Moment, now: datetime, zone: ZoneInfo) -> None:
    due = find_due(moment, now, zone)
    assert due == find_by_looking(moment, now, zone)
    assert due.tzinfo is UTC


@given(moments, nows, zones)
@example(Moment("daily", 2, 30), local("2027-03-27T12:00"), PARIS)
@example(Moment("hourly"), local("2026-10-04T01:59", LORD_HOWE), LORD_HOWE)
@settings(deadline=None)
def test_next_and_due_agree(moment: Moment, now: datetime, zone: ZoneInfo) -> None:
    due, following = find_due(moment, now, zone), find_next(moment, now, zone)
    assert due <= now < following
    assert find_next(moment, due, zone) == following
    assert find_due(moment, following, zone) == following
    assert find_due(moment, following - MINUTE / 60, zone) == due


def test_a_time_that_does_not_exist_is_due_on_no_hour_of_that_day() -> None:
    moment = Moment("daily", 2, 30)
    assert find_due(moment, local("2027-03-28T23:59"), PARIS) == local("2027-03-27T02:30")
    assert find_next(moment, local("2027-03-27T12:00"), PARIS) == local("2027-03-29T02:30")


def test_a_time_that_comes_twice_is_due_once_the_first_time() -> None:
    moment = Moment("daily", 2, 30)
    first, second = local("2026-10-25T02:30"), local("2026-10-25T02:30", fold=1)
    assert second - first == HOUR
    assert find_due(moment, second + HOUR, PARIS) == first
    assert find_next(moment, first, PARIS) == local("2026-10-26T02:30")


def test_days_have_23_24_and_25_hours() -> None:
    moment = Moment("daily", 6, 30)
    days = {"2027-03-27": 23, "2026-11-01": 24, "2026-10-24": 25}
    for day, hours in days.items():
        due = local(f"{day}T06:30")
        assert find_next(moment, due, PARIS) - due == hours * HOUR


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        (Moment("daily", 2, 30), PARIS, ("2027-03-28", False)),
        (Moment("daily", 1, 59), PARIS, None),
        (Moment("daily", 2, 0), PARIS, ("2027-03-28", False)),
        (Moment("daily", 3, 0), PARIS, None),
        (Moment("weekly", 2, 30, 0), PARIS, None),
        (Moment("weekly", 2, 30, 6), PARIS, ("2027-03-28", False)),
        (Moment("daily", 1, 45), LORD_HOWE, ("2027-04-04", True)),
        (Moment("hourly"), PARIS, None),
        (Moment("daily", 2, 30), ZoneInfo("UTC"), None),
    ],
)
def test_times_that_a_day_does_not_have_once(moment: Moment, zone: ZoneInfo, expected: tuple[str, bool] | None) -> None:
    found = find_odd_day(moment, zone, local("2026-11-27T00:00"))
    assert (found and (found.day.isoformat(), found.twice)) == expected


DAILY = Moment("daily", 6, 30)


@dataclass(frozen=True)
class Entry:
    name: str = "verdicts"
    at: Moment = DAILY
    grace: int = 3
    limit: int = 6


SINCE = local("2026-11-01T00:00")
DUE = local("2026-11-27T06:30")


def missed(now: datetime, run: Run | None = None) -> list[Missed]:
    return find_missed([Entry()], {"verdicts": run} if run else {}, now, PARIS)


def ended(began: datetime) -> Run:
    return Run(SINCE, began, began + MINUTE, 0)


def test_a_run_is_missed_once_its_grace_is_over() -> None:
    yesterday = ended(DUE - 24 * HOUR)
    assert missed(DUE + 3 * HOUR - MINUTE, yesterday) == []
    assert missed(DUE + 3 * HOUR, yesterday) == [Missed("verdicts", DUE, yesterday.began, installed=True)]
    assert missed(DUE + 300 * HOUR, yesterday)[0].due == local("2026-12-09T06:30")


def test_a_run_that_failed_was_not_missed() -> None:
    assert missed(DUE + 20 * HOUR, Run(SINCE, DUE, DUE + MINUTE, 5)) == []


def test_a_run_just_before_its_time_or_long_after_it_counts() -> None:
    assert missed(DUE + 20 * HOUR, ended(DUE - MINUTE)) == []
    assert missed(DUE + 20 * HOUR, ended(DUE + 10 * HOUR)) == []
    assert missed(DUE + 20 * HOUR, ended(DUE - 2 * MINUTE)) != []


def test_nothing_was_due_before_the_clock_knew_of_it() -> None:
    new = Run(since=DUE + MINUTE)
    assert missed(DUE + 20 * HOUR, new) == []
    assert missed(DUE + 28 * HOUR, new) == [Missed("verdicts", DUE + 24 * HOUR, None, installed=True)]


def test_what_the_clock_does_not_know_is_missed() -> None:
    assert missed(DUE + 3 * HOUR) == [Missed("verdicts", DUE, None, installed=False)]


def test_a_run_that_never_ended_counts_only_while_it_may_go_on() -> None:
    killed = Run(SINCE, DUE, None, None)
    assert missed(DUE + 6 * HOUR, killed) == []
    assert missed(DUE + 7 * HOUR, killed) != []


def test_a_run_from_the_future_does_not_count() -> None:
    wrong_clock = ended(DUE + 48 * HOUR)
    assert missed(DUE + 4 * HOUR, wrong_clock) != []


@given(moments, nows, zones, st.integers(1, 200))
@settings(deadline=None)
def test_without_any_run_everything_is_missed_and_with_one_since_nothing(
    moment: Moment, now: datetime, zone: ZoneInfo, grace: int
) -> None:
    entry = Entry(at=moment, grace=grace)
    old = datetime(2000, 1, 1, tzinfo=UTC)
    (found,) = find_missed([entry], {"verdicts": Run(since=old)}, now, zone)
    assert found.due <= now - grace * HOUR < find_next(moment, found.due, zone)
    run = Run(old, found.due, found.due + MINUTE, 0)
    assert find_missed([entry], {"verdicts": run}, now, zone) == []


def test_due_is_what_cron_runs_within_the_hour_and_once() -> None:
    entry, yesterday = Entry(), ended(DUE - 24 * HOUR)
    assert not is_due(entry, yesterday, DUE - MINUTE, PARIS)
    assert is_due(entry, yesterday, DUE, PARIS)
    assert is_due(entry, yesterday, DUE + 5 * HOUR, PARIS)
    assert not is_due(entry, ended(DUE), DUE + HOUR, PARIS)
    assert not is_due(entry, Run(since=DUE + HOUR), DUE + 2 * HOUR, PARIS)
    assert is_due(entry, None, DUE, PARIS)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not there to compare with")
@pytest.mark.parametrize("moment", [Moment("daily", 2, 30), Moment("weekly", 2, 30, 6), Moment("hourly")], ids=str)
@pytest.mark.parametrize("start", ["2026-10-24T22:10", "2027-03-27T22:10"])
def test_systemd_finds_the_same_times(moment: Moment, start: str) -> None:
    base = local(start)
    command = ["systemd-analyze", "calendar", "--iterations=6", f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC"]
    text = render_calendar(moment, "Europe/Paris")
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    done = subprocess.run([*command, text], capture_output=True, text=True, check=True, env=environment)
    shown = re.findall(r"(?:Next elapse|Iteration #\d|Iter\. #\d): \w+ ([\d-]+ [\d:]+) UTC", done.stdout)
    found = []
    for _ in range(6):
        base = find_next(moment, base, PARIS)
        found.append(f"{base:%Y-%m-%d %H:%M:%S}")
    assert shown == found, done.stdout
