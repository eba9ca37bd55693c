"""What stays: by local days, never the last good one, nothing at all after a night that was not good."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from socle.backups.facts import Snapshot, render_time
from socle.backups.retention import Candidate, make_kept, make_most
from socle.model.policy import Keep, Policy

PARIS = "Europe/Paris"
ZONE = ZoneInfo(PARIS)
NOW = datetime(2026, 11, 27, 9, tzinfo=ZONE).timestamp()
DAY = 86400.0


def make_candidate(
    number: int, arrival: float, good: bool | None = True, dated: bool = True, site: str = "a"
) -> Candidate:
    claimed = arrival - 60 if dated else arrival - 3 * DAY
    snapshot = Snapshot(id=f"{number:064x}", time=render_time(claimed), arrival=arrival, site=site)
    return Candidate(snapshot=snapshot, good=good)


def make_night(day: date, hour: int = 2) -> float:
    return datetime(day.year, day.month, day.day, hour, 30, tzinfo=ZONE).timestamp()


def make_nights(count: int, last: date = date(2026, 11, 27)) -> list[Candidate]:
    return [make_candidate(number, make_night(last - timedelta(days=number))) for number in range(count)]


def make_policy(daily: int = 7, weekly: int = 4, monthly: int = 6, yearly: int = 2) -> Policy:
    return Policy(keep=Keep(daily=daily, weekly=weekly, monthly=monthly, yearly=yearly))


def find_days(kept: dict[str, str], own: list[Candidate]) -> list[str]:
    return sorted(
        datetime.fromtimestamp(one.snapshot.arrival, ZONE).date().isoformat() for one in own if one.snapshot.id in kept
    )


def test_by_days_weeks_months_and_years() -> None:
    own = make_nights(800)
    kept = make_kept(own, make_policy(), PARIS, NOW)
    assert find_days(kept, own) == [
        "2025-12-31",
        "2026-06-30",
        "2026-07-31",
        "2026-08-31",
        "2026-09-30",
        "2026-10-31",
        "2026-11-08",
        "2026-11-15",
        *(f"2026-11-{day}" for day in range(21, 28)),
    ]


def test_a_day_is_a_day_on_the_wall_also_when_clocks_change() -> None:
    """25 October 2026 has 25 hours in Paris, 29 March 23: two snapshots of one such day are one day, and two of two
    days that are 23 hours apart are two."""
    autumn = date(2026, 10, 25)
    first = datetime(2026, 10, 24, 22, 15, tzinfo=UTC).timestamp()  # 00:15 on the wall
    last = datetime(2026, 10, 25, 22, 45, tzinfo=UTC).timestamp()  # 23:45 on the wall, 24.5 h later
    own = [make_candidate(0, last), make_candidate(1, first), make_candidate(2, make_night(autumn - timedelta(days=1)))]
    kept = make_kept(own, make_policy(2, 0, 0, 0), PARIS, last + 3600)
    assert set(kept) == {own[0].snapshot.id, own[2].snapshot.id}
    evening = datetime(2026, 3, 28, 23, 30, tzinfo=ZONE).timestamp()
    later = datetime(2026, 3, 29, 23, 15, tzinfo=ZONE).timestamp()
    assert later - evening < DAY - 3600
    spring = [make_candidate(0, later), make_candidate(1, evening)]
    assert len(make_kept(spring, make_policy(2, 0, 0, 0), PARIS, later + 3600)) == 2


def test_after_a_bad_night_nothing_goes() -> None:
    nights = make_nights(100)
    failed = [make_candidate(1000, NOW - 3600, good=False), *nights]
    assert len(make_kept(failed, make_policy(), PARIS, NOW)) == 101
    unknown = [make_candidate(1000, NOW - 3600, good=None), *nights]
    assert len(make_kept(unknown, make_policy(), PARIS, NOW)) == 101
    assert len(make_kept(nights, make_policy(), PARIS, NOW + 2 * DAY)) == 100, "no night at all is a bad one"


def test_one_sites_bad_night_is_its_own() -> None:
    bad = [make_candidate(1000 + one, NOW - 3600 - one * DAY, good=one > 0, site="b") for one in range(50)]
    kept = make_kept([*make_nights(100), *bad], make_policy(), PARIS, NOW)
    assert {one.snapshot.id for one in bad} <= set(kept)
    assert len(kept) < 80


def test_what_is_incomplete_stays_for_a_while_and_takes_no_place() -> None:
    own = make_nights(30)
    bad = [
        make_candidate(1000 + number, make_night(date(2026, 11, 26 - number), 5), good=False) for number in range(20)
    ]
    kept = make_kept([*own, *bad], make_policy(), PARIS, NOW)
    assert {one for one in kept if int(one, 16) < 1000} == set(make_kept(own, make_policy(), PARIS, NOW))
    assert [one.snapshot.id in kept for one in bad] == [True] * 6 + [False] * 14


def test_missed_nights_make_history_longer_not_shorter() -> None:
    own = [make_candidate(number, make_night(date(2026, 11, 27) - timedelta(days=3 * number))) for number in range(20)]
    assert len(make_kept(own, make_policy(7, 0, 0, 0), PARIS, NOW)) == 7


candidates = st.lists(
    st.tuples(st.integers(0, 900 * 24), st.sampled_from([True, True, True, False, None]), st.booleans()), max_size=60
).map(
    lambda rows: [
        make_candidate(number, NOW - hours * 3600.0, good, dated) for number, (hours, good, dated) in enumerate(rows)
    ]
)
policies = st.builds(make_policy, st.integers(1, 20), st.integers(0, 9), st.integers(0, 9), st.integers(0, 4))


@settings(max_examples=60, deadline=None)
@given(candidates, policies)
def test_the_last_good_one_always_stays(own: list[Candidate], policy: Policy) -> None:
    kept = make_kept(own, policy, PARIS, NOW)
    assert set(kept) <= {one.snapshot.id for one in own}
    good = [one.snapshot for one in own if one.good and one.snapshot.arrival - 60 <= NOW]
    if good:
        last = max(good, key=lambda one: (one.arrival, one.id))
        trusted = [one.snapshot for one in own if one.good and one.snapshot.id in kept]
        assert last.id in kept or any(one.arrival >= last.arrival for one in trusted)


@settings(max_examples=60, deadline=None)
@given(candidates, policies)
def test_what_cannot_be_believed_pushes_out_nothing(own: list[Candidate], policy: Policy) -> None:
    aside = [make_candidate(9000 + one, NOW - 60 * one, dated=False) for one in range(50)]
    without = make_kept(own, policy, PARIS, NOW)
    with_them = make_kept([*own, *aside], policy, PARIS, NOW)
    assert {name: why for name, why in with_them.items() if int(name, 16) < 9000} == without
    assert len(with_them) == len(without) + 50


@settings(max_examples=60, deadline=None)
@given(candidates, policies)
def test_doing_it_twice_is_doing_it_once(own: list[Candidate], policy: Policy) -> None:
    kept = make_kept(own, policy, PARIS, NOW)
    left = [one for one in own if one.snapshot.id in kept]
    assert make_kept(left, policy, PARIS, NOW) == kept


@settings(max_examples=60, deadline=None)
@given(candidates, policies)
def test_a_longer_policy_keeps_no_less(own: list[Candidate], policy: Policy) -> None:
    longer = Policy(keep=Keep(**{name: value + 1 for name, value in policy.keep.model_dump().items()}))
    assert set(make_kept(own, policy, PARIS, NOW)) <= set(make_kept(own, longer, PARIS, NOW))


@settings(max_examples=10, deadline=None)
@given(policies, st.lists(st.integers(0, 499), max_size=60))
def test_night_after_night(policy: Policy, missed: list[int]) -> None:
    """Retained every night for 500 days: never more than the policy says, and always the last days that there were."""
    own: list[Candidate] = []
    first = date(2025, 2, 1)
    for number in range(500):
        day = first + timedelta(days=number)
        now = datetime(day.year, day.month, day.day, 9, tzinfo=ZONE).timestamp()
        if number not in missed:
            own.append(make_candidate(number, make_night(day, 1)))
        kept = make_kept(own, policy, PARIS, now)
        all_days = [one.snapshot.id for one in own]
        own = [one for one in own if one.snapshot.id in kept]
        assert all_days[-policy.keep.daily :] == [one.snapshot.id for one in own][-policy.keep.daily :]
        if number not in missed and number - 1 not in missed:
            assert len(own) <= make_most(policy.keep)


def make_safety(number: int, arrival: float) -> Candidate:
    one = make_candidate(number, arrival, good=None)
    return Candidate(snapshot=one.snapshot.model_copy(update={"safety": True}))


def test_what_was_there_before_a_restore_stays_and_takes_no_nights_place() -> None:
    own = make_nights(30)
    last = date(2026, 11, 27)
    late = [make_safety(900 + days, make_night(last - timedelta(days=days), 23)) for days in range(30)]
    kept = make_kept([*own, *late], make_policy(), PARIS, NOW)
    nights = make_kept(own, make_policy(), PARIS, NOW)
    assert {identity: why for identity, why in kept.items() if why != "before a restore"} == nights
    assert find_days({one: why for one, why in kept.items() if why == "before a restore"}, late) == [
        f"2026-11-{day}" for day in range(21, 28)
    ]


def test_with_nothing_but_that_nothing_goes() -> None:
    own = [make_safety(1, NOW - 90 * DAY), make_safety(2, NOW - 60)]
    assert len(make_kept(own, make_policy(), PARIS, NOW)) == 2
