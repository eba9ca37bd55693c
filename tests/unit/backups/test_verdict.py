"""What a verdict says of each fault: only what nothing speaks against is complete."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from socle.backups.facts import (
    Attempt,
    Expected,
    Facts,
    Listed,
    Lock,
    Manifest,
    Observed,
    Snapshot,
    parse_attempt,
    parse_facts,
    parse_time,
    render_time,
)
from socle.backups.verdict import Verdict, is_good, make_verdict
from socle.model.policy import Policy

NOW = 1_800_000_000.0
HOUR = 3600.0
POLICY = Policy()
ZONE = "Europe/Paris"
FOLDER, STAGING = "/srv/sites/wp-a", "/var/lib/socle/backups/staging/wp-a"
EXPECTED = Expected(
    association="a",
    site="wp-a",
    service="wordpress",
    host="web1",
    repository="a",
    quota=10**9,
    folder=FOLDER,
    staging=STAGING,
    database=True,
)


def make_id(number: int) -> str:
    return f"{number:064x}"


def make_snapshot(number: int = 1, age: float = 2 * HOUR, **changes: Any) -> Snapshot:
    """A snapshot that arrived `age` seconds ago and claims to have begun a minute before."""
    values = {
        "id": make_id(number),
        "time": render_time(NOW - age - 60),
        "arrival": NOW - age,
        "site": "wp-a",
        "host": "web1",
        "paths": (FOLDER, STAGING),
    }
    return Snapshot.model_validate({**values, **changes})


def make_manifest(**changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "site": "wp-a",
        "association": "a",
        "service": "wordpress",
        "files": {"count": 200, "bytes": 10**6, "sha256": "x"},
        "database": {"name": "wp_a", "bytes": 5000, "sha256": "x", "tables": {"wp_posts": 40, "wp_users": 2}},
        "sqlite": {},
        **changes,
    }


def make_listed(**changes: Any) -> dict[str, Any]:
    parts = {"database.sql": 5000, "files.jsonl": 900, "manifest.json": 400}
    values = {"folder": True, "entries": 240, "files": 200, "bytes": 10**6, "dump": 5000, "parts": parts}
    return {**values, **changes}


def make_facts(number: int = 1, manifest: Any = None, **listed: Any) -> Facts:
    found = parse_facts(
        {"snapshot": make_id(number), "manifest": manifest or make_manifest(), "listed": make_listed(**listed)}
    )
    assert found
    return found


def make_observed(**changes: Any) -> Observed:
    values = {"used": 10**7, "snapshots": (make_snapshot(),), "facts": make_facts()}
    return Observed(**{**values, **changes})


def make_attempt(**changes: Any) -> Attempt:
    found = parse_attempt({"result": "complete", "snapshot": make_id(1), **changes})
    assert found
    return found


def judge(attempt: Attempt | None = None, expected: Expected = EXPECTED, **changes: Any) -> Verdict:
    return make_verdict(expected, make_observed(**changes), attempt, POLICY, ZONE, NOW)


def test_what_nothing_speaks_against_is_complete() -> None:
    verdict = judge(make_attempt())
    assert verdict == Verdict(
        association="a",
        site="wp-a",
        verdict="complete",
        snapshot=make_id(1),
        time=render_time(NOW - 2 * HOUR),
        bytes=10**6 + 5000 + 900 + 400,
        reason="",
    )


def older(**changes: Any) -> dict[str, Any]:
    return {"snapshots": (make_snapshot(age=31 * HOUR, **changes),)}


def judge_at(arrived: str, now: str, host: str = "web1", **policy: Any) -> str:
    """The verdict at a time of the clock in Paris on a site whose newest snapshot arrived at another."""
    times = [datetime.fromisoformat(one).replace(tzinfo=ZoneInfo(ZONE)).timestamp() for one in (arrived, now)]
    snapshot = make_snapshot(arrival=times[0], time=render_time(times[0] - 60))
    expected = EXPECTED.model_copy(update={"host": host})
    observed = make_observed(snapshots=(snapshot,))
    return make_verdict(expected, observed, None, Policy.model_validate(policy), ZONE, times[1]).verdict


@pytest.mark.parametrize(
    ("arrived", "now", "word"),
    [
        ("2027-01-14T03:20", "2027-01-15T06:30", "late"),  # 27 h: below the limit, and yet nothing of the night
        ("2027-01-15T01:31", "2027-01-15T06:30", "complete"),
        ("2027-01-15T01:25", "2027-01-15T06:30", "complete"),  # a host's clock may be some minutes ahead
        ("2027-01-15T01:00", "2027-01-15T06:30", "late"),
        ("2027-01-14T03:20", "2027-01-15T05:29", "complete"),  # the night is not over
        ("2027-01-14T03:20", "2027-01-15T05:31", "late"),
        ("2027-01-15T15:00", "2027-01-16T05:29", "complete"),  # by hand, or a site's first, in the day
        ("2027-01-15T15:00", "2027-01-16T06:30", "late"),
        # The nights on which the clocks change: 01:30 to 03:30 are one hour or three.
        ("2027-03-28T01:35", "2027-03-28T06:31", "complete"),
        ("2027-03-27T03:20", "2027-03-28T06:31", "late"),
        ("2027-10-31T01:35", "2027-10-31T06:30", "complete"),
        ("2027-10-30T03:20", "2027-10-31T04:29", "complete"),
        ("2027-10-30T03:20", "2027-10-31T04:31", "late"),
    ],
)
def test_a_missed_night_is_late_the_next_morning(arrived: str, now: str, word: str) -> None:
    assert judge_at(arrived, now) == word


def test_a_night_may_begin_before_midnight() -> None:
    assert judge_at("2027-01-13T23:50", "2027-01-15T03:29", night="23:30") == "complete"
    assert judge_at("2027-01-13T23:50", "2027-01-15T03:31", night="23:30") == "late"
    assert judge_at("2027-01-14T23:31", "2027-01-15T03:31", night="23:30") == "complete"


@pytest.mark.parametrize("clock", ["03:11", "01:00", "22:05", "05:29", "05:31"])
def test_the_platform_saves_itself_at_a_time_of_its_own(clock: str) -> None:
    """Whenever that is: a day without is late the morning after, and no other is."""
    day = "15" if clock < "06:30" else "14"
    assert judge_at(f"2027-01-{day}T{clock}", "2027-01-15T06:30", "") == "complete"
    assert judge_at(f"2027-01-{int(day) - 1}T{clock}", f"2027-01-{int(day)}T05:00", "") == "complete"
    before = judge_at(f"2027-01-{int(day) - 1}T{clock}", "2027-01-15T05:30", "")
    assert before == ("complete" if clock == "05:31" else "late")


ATTEMPT_FAILED = make_attempt(result="failed", reason="mariadb-dump: Access denied.", snapshot="")


def with_manifest(**changes: Any) -> dict[str, Any]:
    return {"facts": make_facts(manifest=make_manifest(**changes))}


def dated(time: str) -> dict[str, Any]:
    return {"snapshots": (make_snapshot(time=time),)}


LOCKED = {"locks": (Lock(id="f", arrival=NOW - 2 * HOUR, holder="pid 3 on web1"),)}
HALF_ROWS = with_manifest(database={"bytes": 5000, "tables": {"wp_posts": 20}}) | {"before": make_facts(0)}
HALF_FILES = {
    "facts": make_facts(files=99, manifest=make_manifest(files={"count": 99, "bytes": 1})),
    "before": make_facts(0),
}
HALF_BYTES = {
    "facts": make_facts(bytes=100, parts={"files.jsonl": 499899}),
    "before": make_facts(0, bytes=10**6, parts={}),
}
HALF_CLAIMED = {"snapshots": (make_snapshot(2, 26 * HOUR, bytes=9, files=2), make_snapshot(bytes=4, files=2))}
FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    # What the repository itself is.
    ("failed", "no repository of a: run socle apply", {"missing": True, "error": "x", "snapshots": (), "facts": None}),
    ("unknown", "cannot be read: wrong password", {"error": "wrong password"}),
    ("unknown", "the vault does not answer", {"error": "the vault does not answer: no route", "snapshots": ()}),
    ("partial", "2 files not ours or not readable (index/01234567, x)", {"foreign": ("index/" + "01234567" * 8, "x")}),
    ("partial", "left its lock (pid 3 on web1, 2 h ago): run", LOCKED),
    ("failed", "last verification of the repository found: pack 12 is damaged", {"damage": "pack 12 is damaged"}),
    # When.
    ("late", "arrived 31 h ago: 30 h is the limit", older()),
    ("late", "last night brought no snapshot: the newest arrived 26 h ago", {"snapshots": (make_snapshot(age=93600),)}),
    ("late", "Nothing of it was saved yet", {"snapshots": (), "facts": None}),
    ("partial", "claims to be of 2001-01-01T00:00:00+00:00", dated("2001-01-01T00:00:00Z")),
    ("partial", "the clock of web1 is wrong", dated(render_time(NOW + 22 * HOUR))),
    ("partial", "the clock of web1 is wrong", dated(render_time(NOW - 26 * HOUR))),
    ("partial", "claims to be of gibberish", dated("gibberish")),
    ("partial", "claims to be of 9999-12-31T23:59:59-12:00", dated("9999-12-31T23:59:59-12:00")),
    ("partial", "from now: a clock is wrong", {"snapshots": (make_snapshot(age=-2 * HOUR),)}),
    # What is in it.
    ("unknown", "cannot be read: restic ls: boom", {"facts": Facts(snapshot=make_id(1), error="restic ls: boom")}),
    ("unknown", "cannot be read: no reason given", {"facts": None}),
    ("failed", f"does not hold {FOLDER}.", {"snapshots": (make_snapshot(paths=(STAGING,)),)}),
    ("failed", f"does not hold {STAGING}.", {"snapshots": (make_snapshot(paths=(FOLDER,)),)}),
    ("failed", f"holds nothing of {FOLDER}", {"facts": make_facts(folder=False)}),
    ("failed", f"holds nothing of {FOLDER}", {"facts": make_facts(entries=0, files=0)}),
    ("partial", "has no manifest", {"facts": make_facts(manifest="no manifest")}),
    ("partial", "has no manifest", with_manifest(files={"count": -1, "bytes": 0})),
    ("partial", "has no manifest", with_manifest(files={"count": 10**400, "bytes": 0})),
    ("unknown", "what it lists are no files that can be counted", {"facts": make_facts(bytes=2**64)}),
    ("failed", "is of another site: wp-b", with_manifest(site="wp-b")),
    ("failed", "is of another site", with_manifest(association="b")),
    ("failed", "has no dump", {"facts": make_facts(dump=None)}),
    ("failed", "has no dump", {"facts": make_facts(manifest="no manifest", dump=None)}),
    ("failed", "dump of the database is empty", {"facts": make_facts(dump=0)}),
    ("failed", "has 4999 bytes; its manifest says 5000: it was cut", {"facts": make_facts(dump=4999)}),
    ("failed", "says nothing of the database", with_manifest(database=None)),
    ("failed", "holds no table", with_manifest(database={"bytes": 5000, "tables": {}})),
    ("partial", "has no list of files", {"facts": make_facts(parts={"database.sql": 5000})}),
    ("partial", "holds 150 of 200 files", {"facts": make_facts(files=150)}),
    ("failed", "copy of data/a.db has 0 bytes; its manifest says 7", with_manifest(sqlite={"data/a.db": {"bytes": 7}})),
    # Compared with the one before.
    ("partial", "499999 bytes of", HALF_BYTES),
    ("partial", "(99 files of 200)", HALF_FILES),
    ("partial", "(20 table rows of 42)", HALF_ROWS),
    ("partial", "4 bytes of 9", HALF_CLAIMED),
]


@pytest.mark.parametrize(("word", "said", "changes"), FAULTS, ids=range(len(FAULTS)))
def test_each_fault_is_named_and_nothing_is_green(word: str, said: str, changes: dict[str, Any]) -> None:
    verdict = judge(**changes)
    assert verdict.verdict == word, verdict.reason
    assert said in verdict.reason
    assert verdict.reason.endswith(".")


@pytest.mark.parametrize(
    ("word", "said", "attempt"),
    [
        ("failed", "last attempt failed: mariadb-dump: Access denied.", ATTEMPT_FAILED),
        ("failed", "last attempt failed: no reason given.", make_attempt(result="failed", reason="", snapshot=None)),
        ("partial", "a part only: 1 not read: caf.", make_attempt(result="partial", reason="1 not read: caf")),
        ("failed", "says that it saved ffffffff, which the vault does not have", make_attempt(snapshot="f" * 64)),
    ],
)  # fmt: skip
def test_the_last_attempt_counts(word: str, said: str, attempt: Attempt) -> None:
    verdict = judge(attempt)
    assert verdict.verdict == word
    assert said in verdict.reason
    assert verdict.snapshot == make_id(1), "the last good snapshot stays named"


def test_a_short_id_is_the_same_snapshot() -> None:
    snapshot = make_snapshot(id="ab" * 32)
    facts = make_facts().model_copy(update={"snapshot": "ab" * 32})
    assert judge(make_attempt(snapshot="abababab"), snapshots=(snapshot,), facts=facts).verdict == "complete"


def test_the_heaviest_fault_gives_the_verdict_and_all_are_told() -> None:
    verdict = judge(ATTEMPT_FAILED, **older())
    assert verdict.verdict == "failed"
    assert verdict.reason.index("failed") < verdict.reason.index("31 h")


def test_the_newest_is_what_arrived_last_whatever_it_claims() -> None:
    forged = make_snapshot(2, HOUR, time="2001-01-01T00:00:00Z")
    assert judge(snapshots=(forged, make_snapshot(3, 3 * HOUR, time=render_time(NOW)))).snapshot == make_id(2)


def test_a_full_repository_is_told_even_when_all_is_saved() -> None:
    assert judge(used=94 * 10**7).reason == ""
    verdict = judge(used=96 * 10**7)
    assert (verdict.verdict, "96% full" in verdict.reason) == ("complete", True)


def test_a_host_that_is_silent_is_told_only_where_it_matters() -> None:
    assert judge(silent="web1 did not answer").reason == ""
    assert "could not be asked: web1 did not answer" in judge(silent="web1 did not answer", **older()).reason


def test_without_a_vault_nothing_is_saved() -> None:
    verdict = judge(expected=EXPECTED.model_copy(update={"repository": ""}), snapshots=(), facts=None)
    assert (verdict.verdict, "declare a host with the role vault" in verdict.reason) == ("failed", True)


def test_a_young_lock_is_somebody_at_work() -> None:
    assert judge(locks=(Lock(id="f", arrival=NOW - 1700),)).verdict == "complete"


def test_what_lives_on_while_it_is_saved_is_no_fault() -> None:
    assert judge(facts=make_facts(files=195)).verdict == "complete"


def test_an_accepted_shrink_is_none_and_nothing_else_is_accepted() -> None:
    less = {
        "facts": make_facts(files=10, manifest=make_manifest(files={"count": 10, "bytes": 1})),
        "before": make_facts(0),
    }
    assert judge(**less).verdict == "partial"
    assert judge(**less, accepted=make_id(1)).verdict == "complete"
    assert judge(**less, accepted=make_id(2)).verdict == "partial"
    assert judge(**older(), accepted=make_id(1)).verdict == "late"


def test_a_declared_sqlite_database_must_be_there() -> None:
    expected = EXPECTED.model_copy(update={"sqlite": ("data/a.sqlite", "many/*.sqlite")})
    assert "has no copy of data/a.sqlite" in judge(expected=expected).reason
    good = make_facts(
        manifest=make_manifest(sqlite={"data/a.sqlite": {"bytes": 7, "tables": {"t": 1}}}),
        parts={"database.sql": 5000, "files.jsonl": 9, "sqlite/data/a.sqlite": 7},
    )
    assert judge(expected=expected, facts=good).verdict == "complete"


def test_a_site_without_database_needs_none() -> None:
    expected = EXPECTED.model_copy(update={"database": False})
    facts = make_facts(manifest=make_manifest(database=None), dump=None)
    assert judge(expected=expected, facts=facts).verdict == "complete"


def test_a_snapshot_is_good_in_itself_or_not() -> None:
    for changes in (older(), {"foreign": ("x",)}, {"error": "now unreadable"}, {"damage": "x"}):
        assert is_good(EXPECTED, make_observed(**changes), None, POLICY), changes
    assert is_good(EXPECTED, make_observed(), ATTEMPT_FAILED, POLICY)
    assert not is_good(EXPECTED, make_observed(), make_attempt(result="partial"), POLICY)
    for changes in ({"facts": make_facts(dump=1)}, {"facts": None}, {"snapshots": ()}):
        assert not is_good(EXPECTED, make_observed(**changes), None, POLICY), changes
    assert not is_good(EXPECTED, make_observed(snapshots=(make_snapshot(time="2001-01-01T00:00:00Z"),)), None, POLICY)


@pytest.mark.parametrize("data", [None, [], {"result": "great"}, {"result": "failed", "reason": 3}, "x"])
def test_no_record_of_an_attempt(data: Any) -> None:
    assert parse_attempt(data) is None


def test_what_a_host_says_stays_one_line() -> None:
    attempt = parse_attempt({"result": "failed", "reason": "a\nb\x00" + "c" * 9999, "extra": 1})
    assert attempt
    assert len(judge(attempt).reason) < 500
    assert "\n" not in judge(attempt).reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-27T00:49:41.062770958Z", 1795740581.06277),
        ("2026-11-27T01:49:41.062770958+01:00", 1795740581.06277),
        ("2026-11-27T00:49:41", 1795740581.0),
        ("0001-01-01T00:00:00+14:00", 0.0),
        ("", 0.0),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


def test_a_thousand_sites_are_judged_in_no_time() -> None:
    """The issue's limit is 10 s, reading what was recorded included."""
    record = make_observed(
        snapshots=tuple(make_snapshot(number, number * 24 * HOUR + HOUR, bytes=9, files=2) for number in range(40)),
        facts=make_facts(0),
        before=make_facts(2),
    ).model_dump_json()
    start = time.monotonic()
    words = set()
    for number in range(1000):
        site = EXPECTED.model_copy(update={"site": f"wp-{number}"})
        observed = Observed.model_validate_json(record)
        words.add(make_verdict(site, observed, make_attempt(snapshot=make_id(0)), POLICY, ZONE, NOW).verdict)
    seconds = time.monotonic() - start
    assert words == {"failed"}, "their manifests are another site's"
    assert seconds < 5, seconds


def test_a_manifest_that_lies_about_its_shape_is_none() -> None:
    assert Manifest.model_validate(make_manifest(more="x")).site == "wp-a"
    facts = parse_facts({"snapshot": make_id(1), "manifest": [1], "listed": make_listed()})
    assert facts
    assert facts.manifest is None
    assert Listed.model_validate(make_listed()).total == 10**6 + 6300
    assert parse_facts({"snapshot": make_id(1)}) is None
