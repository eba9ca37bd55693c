"""Which snapshot a site is brought back from."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from socle.errors import InvalidInput
from socle.model.plan import Site
from socle.restore.choose import (
    At,
    Snapshot,
    find_candidates,
    find_faults,
    make_problem,
    parse_arrivals,
    parse_at,
    parse_snapshots,
)
from tests.unit.restore.samples import make_site

PARIS = "Europe/Paris"


def make_snapshot(number: int, arrival: float, **changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "id": f"{number:064x}",
        "time": "2026-11-25T01:30:00Z",
        "arrival": arrival,
        "paths": ("/srv/sites/wp-a", "/var/lib/socle/backups/staging/wp-a"),
        "tags": ("site=wp-a", "association=a", "format=1"),
    }
    return Snapshot(**{**values, **changes})


@pytest.fixture
def site() -> Site:
    return make_site()


def test_the_newest_is_the_one_that_arrived_last_whatever_hosts_claim(site: Site) -> None:
    old = make_snapshot(1, 100.0, time="2099-01-01T00:00:00Z")
    new = make_snapshot(2, 200.0, time="1999-01-01T00:00:00Z")
    assert find_candidates([new, old], site, At()) == [new, old]


def test_until_a_moment(site: Site) -> None:
    snapshots = [make_snapshot(number, 100.0 * number) for number in (1, 2, 3)]
    assert [one.arrival for one in find_candidates(snapshots, site, At(moment=200.0))] == [200.0, 100.0]


def test_what_a_site_was_before_a_restore_is_chosen_by_its_id_only(site: Site) -> None:
    safety = make_snapshot(0xABCDEF0000, 300.0, tags=("site=wp-a", "safety"))
    night = make_snapshot(1, 100.0)
    assert find_candidates([safety, night], site, At()) == [night]
    assert find_candidates([safety, night], site, At(id=safety.id[:60])) == [safety]


def test_another_sites_snapshot_is_never_chosen(site: Site) -> None:
    other = make_snapshot(1, 100.0, tags=("site=wp-b",))
    assert find_candidates([other], site, At(id=other.id)) == []


def test_a_day_is_until_its_end_in_local_time() -> None:
    end = parse_at("2026-11-25", PARIS).moment
    assert datetime.fromtimestamp(end, ZoneInfo(PARIS)).isoformat(timespec="seconds") == "2026-11-25T23:59:59+01:00"


@pytest.mark.parametrize("text", ["2026-11-25T14:00", "2026-11-25 14:00", "2026-11-25T13:00:00+00:00"])
def test_a_time_is_local_unless_it_says_so(text: str) -> None:
    assert parse_at(text, PARIS).moment == datetime(2026, 11, 25, 14, tzinfo=ZoneInfo(PARIS)).timestamp()


def test_an_id() -> None:
    assert parse_at("6a1f6dbf", PARIS) == At(id="6a1f6dbf")
    assert parse_at("", PARIS) == At()


@pytest.mark.parametrize("text", ["yesterday", "6a1f6", "25/11/2026"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected a day"):
        parse_at(text, PARIS)


def test_arrivals_come_from_the_vault_and_odd_names_are_not_snapshots() -> None:
    name = "a" * 64
    text = f"{name} 1795741510.5000\n../x 1.0\nnew line 2.0\n{'b' * 63} 3.0\n"
    assert parse_arrivals(text) == {name: 1795741510.5}


def test_what_the_vault_set_aside_is_not_there() -> None:
    data = [{"id": "a" * 64, "time": "t", "paths": None, "tags": None}, {"id": "b" * 64, "time": "t"}]
    assert [one.id[0] for one in parse_snapshots(data, {"b" * 64: 1.0})] == ["b"]


GOOD = {"site": "wp-a", "association": "a", "database": {"name": "wp_a"}}


def test_a_good_one_has_no_fault(site: Site) -> None:
    assert list(find_faults(make_snapshot(1, 1.0), site, GOOD)) == []


@pytest.mark.parametrize(
    ("changes", "manifest", "fault"),
    [
        ({"paths": ("/srv/sites/wp-a",)}, GOOD, "does not hold /var/lib/socle"),
        ({"paths": ("/var/lib/socle/backups/staging/wp-a",)}, GOOD, "does not hold /srv/sites/wp-a"),
        ({}, None, "manifest cannot be read"),
        ({}, {**GOOD, "site": "wp-b"}, "manifest is of the site 'wp-b'"),
        ({}, {**GOOD, "association": "b"}, "of the association 'b'"),
        ({}, {**GOOD, "database": None}, "holds no database"),
    ],
)
def test_faults(site: Site, changes: dict[str, Any], manifest: Any, fault: str) -> None:
    assert fault in "; ".join(find_faults(make_snapshot(1, 1.0, **changes), site, manifest))


def test_nothing_to_choose_says_why_each_is_not_good(site: Site) -> None:
    problem = str(make_problem(site, At(), {"c" * 64: "it holds no database"}))
    assert "cccccccc: it holds no database" in problem
    assert "wp-a" in problem
