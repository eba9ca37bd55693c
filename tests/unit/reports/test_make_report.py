"""The report as data: what is proven, what is old, what is missing, what is to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from socle.reports.make_report import make_report, make_state
from socle.reports.model import Fact, Kept, Report, State
from socle.reports.promises import CHECKS, PROMISES
from socle.reports.sources import Drill, Sources, make_runs, parse_drill
from tests.unit.reports.made import (
    DAY,
    HOUR,
    NOW,
    PLAN,
    RUNS,
    finding,
    make_audit,
    make_backups,
    make_sources,
    make_test_plan,
)


def find_promise(report: Report, key: str) -> Kept:
    return next(promise for promise in report.promises if promise.key == key)


def asks(report: Report) -> list[str]:
    return [action.because for action in report.actions]


def test_when_all_is_good_nothing_is_to_do() -> None:
    report = make_report(PLAN, make_sources(), NOW)
    assert report.headline == "Tout ce qui a été vérifié est en ordre"
    assert report.ordered
    assert report.actions == ()
    assert [(promise.key, promise.state) for promise in report.promises] == [
        (promise.key, State.PROVEN) for promise in PROMISES
    ]


@pytest.mark.parametrize("kind", sorted(set(CHECKS) - {"backup"}))
def test_each_check_that_fails_is_one_action_under_its_promise(kind: str) -> None:
    report = make_report(PLAN, make_sources(audit=make_audit(finding(f"{kind}:x", "failed"))), NOW)
    assert asks(report) == [CHECKS[kind].failed]
    assert [promise.key for promise in report.promises if promise.state is State.FAILED] == [CHECKS[kind].promise]
    assert report.actions[0].ask == CHECKS[kind].ask
    assert report.actions[0].details[0].place == "x (web1)"
    assert not report.ordered
    assert report.headline == "1\u00a0point demande une action"


def test_one_failure_is_not_hidden_by_those_that_passed() -> None:
    audit = make_audit(finding("page:a"), finding("page:b", "failed"), finding("page:c"))
    promise = find_promise(make_report(PLAN, make_sources(audit=audit), NOW), "answers")
    assert promise.state is State.FAILED
    assert promise.proven is None


def test_several_actions_are_counted() -> None:
    audit = make_audit(finding("page:a", "failed"), finding("page:b", "failed"), finding("isolation:a", "failed"))
    report = make_report(PLAN, make_sources(audit=audit, backups=make_backups("late")), NOW)
    assert report.headline == "3\u00a0points demandent une action"
    where = [detail.place for action in report.actions for detail in action.details]
    assert where == ["a (web1)", "b (web1)", "a (web1)", "pg-amis-du-lac"]


def test_an_action_names_the_associations_concerned() -> None:
    failed = [finding(f"certificate:{name}", "failed") for name in ("www.amis-du-lac.example", "amis-du-lac.example")]
    audit = make_audit(
        *failed, finding("certificate:xn--cole-du-bourg-9gb.example", "failed"), finding("disk", "failed")
    )
    actions = make_report(PLAN, make_sources(audit=audit), NOW).actions
    assert [action.associations for action in actions] == [("Les Amis du Lac", "L’École <b>& Cœur</b>"), ()]
    assert actions[0].details[-1].place == "école-du-bourg.example (web1)"
    odd = make_report(PLAN, make_sources(audit=make_audit(finding("dns:xn--\udce9", "failed"))), NOW)
    assert odd.actions[0].details[0].place == "xn--� (web1)"


def test_what_was_not_checked_makes_a_promise_proven_in_part_only() -> None:
    audit = make_audit(finding("clock", "not_checked"))
    report = make_report(PLAN, make_sources(audit=audit), NOW)
    promise = find_promise(report, "watch")
    assert promise.state is State.PARTLY
    assert report.headline == "Tout ce qui a été vérifié est en ordre"
    text = report.facts("not_checked")[0].text
    assert text.startswith("«\u00a0Chaque serveur est à l’heure\u00a0» : ")
    assert CHECKS["clock"].why in text


def test_a_promise_of_which_nothing_was_checked_is_not_proven() -> None:
    audit = make_audit(finding("certificate:x", "not_checked"))
    promise = find_promise(make_report(PLAN, make_sources(audit=audit), NOW), "certificates")
    assert (promise.state, promise.proven) == (State.UNKNOWN, None)


def test_without_anything_nothing_is_good() -> None:
    report = make_report(PLAN, Sources(), NOW)
    assert report.headline == "Rien n’a pu être vérifié"
    assert not report.ordered
    assert {promise.state for promise in report.promises} == {State.UNKNOWN}
    assert {row.verdict for row in report.backups} == {"unknown"}
    assert [row.site for row in report.backups] == [site.name for site in PLAN.sites]
    assert "Aucun audit n’a été trouvé" in asks(report)


def test_without_verdicts_backups_are_not_checked() -> None:
    report = make_report(PLAN, make_sources(backups=None), NOW)
    assert find_promise(report, "backups").state is State.PARTLY, "the audit has seen one"
    audit = make_audit(finding("backup:x", "not_checked"))
    report = make_report(PLAN, make_sources(backups=None, audit=audit), NOW)
    assert find_promise(report, "backups").state is State.UNKNOWN
    assert "Aucune lecture datée de l’état des sauvegardes n’a été trouvée" in asks(report)


def test_old_proof_is_said_to_be_old() -> None:
    report = make_report(PLAN, make_sources(audit=make_audit(time=NOW - 9 * DAY)), NOW)
    assert asks(report) == ["Le dernier audit a été fait il y a 9\u00a0jours"]
    kept = {promise.key: promise.state for promise in report.promises}
    assert kept["isolation"] is State.OLD
    assert kept["backups"] is State.PROVEN


def test_of_several_proofs_the_oldest_counts() -> None:
    proofs = [Fact(check="x", status="passed", text="x", time=NOW - age * DAY) for age in (1, 5, 3)]
    assert make_state(proofs, NOW, timedelta(days=6)) == (State.PROVEN, NOW - 5 * DAY)
    assert make_state(proofs, NOW, timedelta(days=4)) == (State.OLD, NOW - 5 * DAY)
    undated = Fact(check="x", status="passed", text="x")
    assert make_state([undated], NOW, timedelta(days=4)) == (State.UNKNOWN, None)


def test_verdicts_that_are_old_or_undated_prove_nothing() -> None:
    old = make_report(PLAN, make_sources(backups=make_backups(time=NOW - 3 * DAY)), NOW)
    assert find_promise(old, "backups").state is State.OLD
    assert len(old.actions) == 1
    undated = make_backups().model_copy(update={"time": None})
    report = make_report(PLAN, make_sources(backups=undated), NOW)
    assert find_promise(report, "backups").state is State.UNKNOWN
    assert len(report.actions) == 1


@pytest.mark.parametrize("verdict", ["late", "partial", "failed", "unknown"])
def test_only_complete_backups_are_good(verdict: str) -> None:
    report = make_report(PLAN, make_sources(backups=make_backups(verdict)), NOW)
    promise = find_promise(report, "backups")
    assert promise.state is (State.PARTLY if verdict == "unknown" else State.FAILED)
    assert [detail.place for detail in report.actions[0].details] == ["pg-amis-du-lac"]
    assert len(report.actions) == 1


def test_a_site_without_verdict_is_unknown() -> None:
    backups = make_backups()
    report = make_report(PLAN, make_sources(backups=backups.model_copy(update={"sites": backups.sites[:1]})), NOW)
    assert [row.verdict for row in report.backups] == ["complete", "unknown"]
    assert not report.ordered


def test_what_is_judged_beyond_the_plan_is_shown_too() -> None:
    backups = make_backups()
    own = backups.sites[0].model_copy(update={"association": "", "site": "_platform", "verdict": "late"})
    report = make_report(PLAN, make_sources(backups=backups.model_copy(update={"sites": (*backups.sites, own)})), NOW)
    assert (report.backups[-1].site, report.backups[-1].association) == ("_platform", "")
    assert not report.ordered


def test_the_audit_says_nothing_twice_of_backups() -> None:
    audit = make_audit(finding("backup:pg-amis-du-lac", "failed"))
    report = make_report(PLAN, make_sources(audit=audit, backups=make_backups("late")), NOW)
    assert len(report.actions) == 1


def test_unknown_checks_do_not_vanish() -> None:
    audit = make_audit(finding("brand-new:x", "failed"), finding("newer"))
    report = make_report(PLAN, make_sources(audit=audit), NOW)
    promise = find_promise(report, "other")
    assert promise.title == "Autres vérifications"
    assert [(fact.check, fact.status) for fact in promise.facts] == [("brand-new", "failed"), ("newer", "passed")]
    assert len(report.actions) == 1


def test_orphans_and_requests_wait_for_a_decision() -> None:
    plan = make_test_plan(waiting=["nouvelle"], gone=["partie"])
    report = make_report(plan, make_sources(), NOW)
    assert [(action.who, [d.place for d in action.details]) for action in report.actions] == [
        ("le service qui suit les demandes", ["nouvelle"]),
        ("les élus, avec le service qui suit les demandes", ["pg-partie"]),
    ]
    told = make_report(plan, make_sources(audit=make_audit(finding("orphans:pg-partie", "failed"))), NOW)
    assert len(told.actions) == 2, "told once, by the audit"
    other = make_report(plan, make_sources(audit=make_audit(finding("orphans:stranger", "failed"))), NOW)
    assert len(other.actions) == 3, "the audit told of another"


def test_a_restore_counts_when_it_ended_well() -> None:
    none = make_report(PLAN, make_sources(runs=()), NOW)
    assert find_promise(none, "restores").state is State.UNKNOWN
    for end, state in (
        ({"result": "failed: PartlyDone"}, State.FAILED),
        ({"result": "done", "exit": 3}, State.FAILED),
        ({"result": "done"}, State.PROVEN),
        ({"result": "done", "exit": 0, "restored": 0}, State.PROVEN),
        ({"result": "done", "exit": 0}, State.PROVEN),
        ({}, State.PROVEN),
    ):
        start = {"run": "9", "event": "started", "at": (NOW - HOUR).isoformat(), "command": "restore z", "who": "awa"}
        runs = make_runs([*RUNS, start, {"run": "9", "event": "ended", **end}])
        promise = find_promise(make_report(PLAN, make_sources(runs=runs), NOW), "restores")
        assert promise.state is state, end
        assert promise.proven in (None, datetime(2026, 11, 26, 11, tzinfo=UTC)), "the one before"
    late = make_report(PLAN, make_sources(), NOW + timedelta(days=120))
    assert find_promise(late, "restores").state is State.OLD


@pytest.mark.parametrize("end", [{}, {"restored": 0}, {"restored": None}, {"restored": True}])
def test_a_restore_of_nothing_proves_nothing(end: dict[str, object]) -> None:
    start = {"run": "9", "event": "started", "at": (NOW - HOUR).isoformat(), "command": "restore --into place"}
    runs = make_runs([start, {"run": "9", "event": "ended", "result": "done", "exit": 0, **end}])
    assert find_promise(make_report(PLAN, make_sources(runs=runs), NOW), "restores").state is State.UNKNOWN


def test_a_restore_of_nothing_does_not_hide_one_that_failed() -> None:
    events = [*RUNS]
    for run, end in (("8", {"result": "failed: PartlyDone"}), ("9", {"result": "done", "exit": 0, "restored": 0})):
        events += [{"run": run, "event": "started", "at": NOW.isoformat(), "command": "restore --into place"}]
        events += [{"run": run, "event": "ended", **end}]
    promise = find_promise(make_report(PLAN, make_sources(runs=make_runs(events)), NOW), "restores")
    assert promise.state is State.FAILED


def make_drill(site: int = 0, hours: int = 1, status: str = "passed", **changes: object) -> Drill:
    """A drill of one of the plan's sites, some hours ago."""
    data = {
        "site": PLAN.sites[site].name,
        "snapshot": "1a2b3c4d5e6f",
        "verdict": "restored" if status == "passed" else "failed",
        "reason": "" if status == "passed" else "the dump is cut",
        "time": (NOW - hours * HOUR).isoformat(),
        "checks": [{"name": "isolation", "status": "passed"}, {"name": "files", "status": status}],
        **changes,
    }
    return parse_drill(json.dumps(data).encode())


def test_a_drill_proves_with_what_was_compared() -> None:
    promise = find_promise(make_report(PLAN, make_sources(runs=(), drills=(make_drill(),)), NOW), "restores")
    assert (promise.state, promise.proven) == (State.PROVEN, NOW - HOUR)
    (fact,) = promise.facts
    assert fact.details[0].place == PLAN.sites[0].name
    assert fact.details[0].evidence == "restored from snapshot 1a2b3c4d: isolation passed, files passed"


def test_of_a_drill_and_a_restore_the_newest_is_the_proof() -> None:
    old = make_report(PLAN, make_sources(drills=(make_drill(hours=24 * 200),)), NOW)
    assert [fact.check for fact in find_promise(old, "restores").facts] == ["journal.restore"]
    new = make_report(PLAN, make_sources(drills=(make_drill(),)), NOW)
    assert [fact.check for fact in find_promise(new, "restores").facts] == ["drills"]


@pytest.mark.parametrize(
    "changes", [{"verdict": "failed"}, {"checks": []}, {"status": "failed", "verdict": "restored"}]
)
def test_a_drill_that_compared_nothing_or_found_a_difference_is_no_proof(changes: dict[str, Any]) -> None:
    drills = (make_drill(**changes),)
    promise = find_promise(make_report(PLAN, make_sources(runs=(), drills=drills), NOW), "restores")
    assert promise.state is State.FAILED
    assert {fact.status for fact in promise.facts} == {"not_checked", "failed"}


def test_a_site_whose_drill_failed_is_told_once_whatever_came_back_later() -> None:
    drills = (make_drill(0, hours=1), make_drill(1, hours=2, status="failed"))
    start = {"run": "9", "event": "started", "at": (NOW - 3 * HOUR).isoformat(), "command": "restore --into scratch"}
    runs = make_runs([start, {"run": "9", "event": "ended", "result": "failed: PartlyDone"}])
    report = make_report(PLAN, make_sources(runs=runs, drills=drills), NOW)
    promise = find_promise(report, "restores")
    assert promise.state is State.FAILED
    assert [(fact.check, fact.status) for fact in promise.facts] == [("drills", "passed"), ("drills", "failed")]
    assert report.actions[0].associations == (PLAN.sites[1].association_name,)
    gone = (make_drill(0), drills[1].model_copy(update={"site": "wp-gone"}))
    assert find_promise(make_report(PLAN, make_sources(drills=gone), NOW), "restores").state is State.PROVEN


def test_where_the_report_comes_from_can_be_checked() -> None:
    sources = make_sources()
    assert sources.audit is not None
    made = make_report(PLAN, sources, NOW).provenance
    assert (made.audit, made.audit_time) == (sources.audit.file, sources.audit.time)
    assert (made.audit_digest, made.plan) == (sources.audit.digest, PLAN.digest())


def test_a_size_is_known_with_a_snapshot_only() -> None:
    backups = make_backups()
    none = backups.sites[0].model_copy(update={"time": None, "size": 0})
    changed = backups.model_copy(update={"sites": (none, *backups.sites[1:])})
    report = make_report(PLAN, make_sources(backups=changed), NOW)
    assert [row.size for row in report.backups] == [None, 123456789]


def test_the_same_inputs_give_the_same_report() -> None:
    audit = make_audit(finding("b", "failed"), finding("a", "failed"))
    first, second = (make_report(PLAN, make_sources(audit=audit), NOW).model_dump_json() for _ in range(2))
    assert first == second
