"""The status: what needs a human, and nothing that could not be read passes for good."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from socle.cli.status import render_status
from socle.clock.times import Missed as Late
from socle.reports.needs import render_age
from socle.reports.observe import make_missed
from socle.reports.sources import Sources
from socle.reports.status import find_trouble, make_status
from socle.reports.status_model import Missed, Need, Observed, Shown, Status, Unknown
from tests.unit.reports.made import (
    DAY,
    HOUR,
    NOW,
    PLAN,
    finding,
    make_audit,
    make_backups,
    make_sources,
    make_test_plan,
)

NAMES = [name for site in PLAN.sites for name in (site.domain, *site.redirects)]
FRESH = Shown(begins=NOW - 30 * DAY, end=NOW + 60 * DAY)


def observe(**changes: Any) -> Observed:
    """Everything read, and everything good, but for `changes`."""
    good = {
        "sources": make_sources(),
        "instances": {host.name: "running" for host in PLAN.hosts},
        "volumes": {volume.name: (10, 100) for volume in PLAN.volumes},
        "certificates": dict.fromkeys(NAMES, FRESH),
        "escrow": True,
    }
    return Observed(**{**good, **changes})


def needs(**changes: Any) -> list[tuple[str, str]]:
    return [(need.kind, need.subject) for need in make_status(PLAN, observe(**changes), NOW).needs]


def show(status: Status, every: bool = False) -> str:
    console = Console(file=io.StringIO(), width=200, markup=False, emoji=False, highlight=False)
    console.print(render_status(status, every))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_when_all_is_good_nobody_is_needed() -> None:
    status = make_status(PLAN, observe(), NOW)
    assert status.needs == ()
    assert find_trouble(status) == set()
    text = show(status)
    assert "2 associations, 2 sites, 3 domains; 2 hosts (2 running)" in text
    assert "backups read 2 h ago: 2 of 2 complete" in text
    assert "Nothing needs a human." in text
    assert "école-du-bourg.example" in text
    assert "60 days" in text
    assert "10% of 100 B" in text


@pytest.mark.parametrize(
    ("left", "life", "needed"),
    [
        (timedelta(days=10, minutes=1), 90 * DAY, False),
        (timedelta(days=10, minutes=-1), 90 * DAY, True),
        (-HOUR, 90 * DAY, True),
        (3 * HOUR, 12 * HOUR, False),
        (2 * HOUR, 12 * HOUR, True),
    ],
)
def test_certificates_that_should_have_been_renewed(left: timedelta, life: timedelta, needed: bool) -> None:
    shown = Shown(begins=NOW + left - life, end=NOW + left)
    found = needs(certificates={**dict.fromkeys(NAMES, FRESH), NAMES[0]: shown})
    assert found == ([("certificate", NAMES[0])] if needed else [])


def test_a_certificate_that_convinces_nobody() -> None:
    status = make_status(PLAN, observe(certificates=dict.fromkeys(NAMES, Shown(problem="not trusted: expired"))), NOW)
    assert [need.detail for need in status.needs] == ["not trusted: expired"] * len(NAMES)
    assert "wrong" in show(status)


def test_when_the_edge_is_silent_the_last_audit_speaks_and_it_is_said() -> None:
    audit = make_audit(
        finding(f"certificate:{NAMES[0]}"), finding(f"certificate:{NAMES[2]}", "failed", evidence="late")
    )
    changes = {"certificates": dict.fromkeys(NAMES, "no answer"), "sources": make_sources(audit=audit)}
    status = make_status(PLAN, observe(**changes), NOW)
    assert [(one.source, one.problem) for one in status.certificates] == [
        ("audit", ""),
        ("", "no answer"),
        ("audit", "late"),
    ]
    text = show(status)
    assert "wrong (last audit)" in text
    assert "unknown" in text, "of two names, one is unknown"
    assert needs(**changes) == [("certificate", NAMES[2])]
    both = make_audit(*(finding(f"certificate:{name}") for name in NAMES))
    changes["sources"] = make_sources(audit=both)
    assert "good (last audit)" in show(make_status(PLAN, observe(**changes), NOW))


@pytest.mark.parametrize(
    ("used", "level"),
    [(799, "good"), (800, "warning"), (949, "warning"), (950, "full"), (1000, "full")],
)
def test_volumes_are_told_at_80_and_95_percent(used: int, level: str) -> None:
    volumes = {volume.name: (10, 1000) for volume in PLAN.volumes}
    site = PLAN.sites[0].name
    status = make_status(PLAN, observe(volumes={**volumes, site: (used, 1000)}), NOW)
    assert next(one.level for one in status.quotas if one.volume == site) == level
    assert [need.subject for need in status.needs] == ([] if level == "good" else [site])
    assert (level.upper() in show(status)) == (level != "good")


def test_a_shared_volume_that_fills_up_is_told() -> None:
    volumes = {volume.name: (96, 100) if volume.name == "web1_httpd" else (1, 100) for volume in PLAN.volumes}
    assert needs(volumes=volumes) == [("quota", "web1_httpd")]
    assert "volume web1_httpd on web1: 96% of 100 B FULL" in show(make_status(PLAN, observe(volumes=volumes), NOW))


@pytest.mark.parametrize("verdict", ["late", "partial", "failed", "unknown"])
def test_backups_that_are_not_complete(verdict: str) -> None:
    assert needs(sources=make_sources(backups=make_backups(verdict))) == [("backup", PLAN.sites[0].name)]


def test_verdicts_that_are_old_or_were_never_read() -> None:
    assert needs(sources=make_sources(backups=make_backups(time=NOW - 37 * HOUR))) == [("backups", "all sites")]
    assert needs(sources=make_sources(backups=None)) == [("backups", "all sites")]


def test_checks_that_fail_and_audits_that_are_old() -> None:
    failed = make_audit(finding("page:x", "failed"), finding("backup:y", "failed"), time=NOW - 3 * DAY)
    assert needs(sources=make_sources(audit=failed)) == [("audit", "platform"), ("audit", "page:x on web1")]
    assert needs(sources=make_sources(audit=None)) == [("audit", "platform")]


def test_hosts_that_do_not_run() -> None:
    assert needs(instances={"web1": "stopped"}) == [("host", "edge1"), ("host", "web1")]
    assert "2 hosts (unknown)" in show(make_status(PLAN, observe(instances=None), NOW))


def test_orphans_requests_and_the_escrow_key() -> None:
    plan = make_test_plan(waiting=["nouvelle"], gone=["partie"])
    names = [name for site in plan.sites for name in (site.domain, *site.redirects)]
    observed = observe(escrow=False, certificates=dict.fromkeys(names, FRESH))
    found = [(need.kind, need.subject) for need in make_status(plan, observed, NOW).needs]
    assert found == [("orphan", "pg-partie"), ("request", "nouvelle"), ("escrow", "platform")]
    assert needs(escrow=False, lab=True) == [], "a lab has no safe"


def test_what_the_clock_missed() -> None:
    missed = (Missed(name="audit", detail="it was due", remedy="run: socle schedule run audit"),)
    assert needs(missed=missed) == [("clock", "audit")]


def late(name: str, installed: bool) -> Late:
    return Late(name, NOW, None, installed=installed)


def test_a_clock_that_runs_nothing_is_told_once() -> None:
    none = make_missed([late("audit", False), late("drift", False)], lab=False)
    assert [(one.name, one.remedy) for one in none] == [("schedule", "run: socle schedule install")]
    some = make_missed([late("audit", True), late("drift", False)], lab=True)
    assert [one.remedy for one in some] == ["run: socle schedule run audit", "run: socle schedule install"]
    assert make_missed([], lab=False) == ()
    assert make_missed([late("audit", False)], lab=True) == (), "a lab need not run by the clock"


def test_what_could_not_be_read_is_unknown_and_said() -> None:
    nothing = Observed(sources=Sources(), unknown=(Unknown(source="incus hosts", reason="no answer"),))
    status = make_status(PLAN, nothing, NOW)
    assert {one.level for one in status.quotas} == {"unknown"}
    assert {row.verdict for row in status.backups} == {"unknown"}
    assert find_trouble(status) == {site.name for site in PLAN.sites} | {volume.name for volume in PLAN.volumes}
    text = show(status)
    assert "Unknown: incus hosts: no answer" in text
    assert "good" not in text
    assert "days" not in text


def test_many_sites_fit_on_a_screen_and_all_are_there_when_asked() -> None:
    model = PLAN.sites[0]
    sites = tuple(model.model_copy(update={"name": f"pg-{n:04d}", "redirects": ()}) for n in range(300))
    plan = PLAN.model_copy(update={"sites": sites, "volumes": (), "repositories": ()})
    row = make_backups().sites[0]
    backups = make_backups().model_copy(
        update={"sites": tuple(row.model_copy(update={"site": site.name}) for site in sites)}
    )
    bad = backups.sites[7].model_copy(update={"verdict": "late", "reason": "40 h"})
    backups = backups.model_copy(update={"sites": (*backups.sites[:7], bad, *backups.sites[8:])})
    status = make_status(plan, observe(sources=make_sources(backups=backups)), NOW)
    text = show(status)
    assert len(text.splitlines()) < 25
    assert "pg-0007" in text
    assert "and 299 more sites (-v shows all)" in text
    assert len(show(status, every=True).splitlines()) > 300


def test_a_list_of_needs_is_cut_and_says_so() -> None:
    many = tuple(Need(kind="audit", subject=str(n), detail="two\nlines", remedy="") for n in range(60))
    status = make_status(PLAN, observe(), NOW).model_copy(update={"needs": many})
    text = show(status)
    assert "Needs a human (60):" in text
    assert "and 35 more (-v shows all)" in text
    assert "audit: 0: two lines" in text


def test_hostile_texts_move_no_cursor() -> None:
    audit = make_audit(finding("page:x", "failed", evidence="\x1b[2J\udce9"))
    text = show(make_status(PLAN, observe(sources=make_sources(audit=audit)), NOW))
    assert "\x1b" not in text
    text.encode()


def test_the_data_is_json_and_the_same_twice() -> None:
    first, second = (json.dumps(make_status(PLAN, observe(), NOW).model_dump(mode="json")) for _ in range(2))
    assert first == second
    data = json.loads(first)
    assert [site["site"] for site in data["sites"]] == [site.name for site in PLAN.sites]
    assert data["needs"] == []


@pytest.mark.parametrize(
    ("age", "said"),
    [(timedelta(minutes=5), "5 min ago"), (5 * HOUR, "5 h ago"), (9 * DAY, "9 days ago"), (-HOUR, "in the future")],
)
def test_ages(age: timedelta, said: str) -> None:
    assert render_age(NOW - age, NOW) == said
