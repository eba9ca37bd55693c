"""What people and machines are shown, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from socle.audit.finding import Finding, Findings, Status, make_findings
from socle.audit.junit import render_junit
from socle.audit.store import KEPT, load_latest, run_keep
from socle.cli.audit import render_findings

FINDINGS = make_findings(
    [
        Finding(host="web1", check="page:a", status=Status.PASSED, evidence="HTTP/2 200", remedy=""),
        Finding(
            host="web1",
            check="running:nginx",
            status=Status.FAILED,
            evidence="<inactive> \ufffe",
            remedy="start it",
        ),
        Finding(host="edge1", check="clock", status=Status.NOT_CHECKED, evidence="a container", remedy="look"),
    ]
)


def test_findings_are_counted_and_ordered() -> None:
    data = json.loads(FINDINGS.model_dump_json())
    assert list(data) == ["findings", "passed", "failed", "not_checked"]
    assert list(data["findings"][0]) == ["host", "check", "status", "evidence", "remedy"]
    assert [one["check"] for one in data["findings"]] == ["clock", "running:nginx", "page:a"]
    assert (data["passed"], data["failed"], data["not_checked"]) == (1, 1, 1)


def test_a_person_sees_failures_first_and_what_to_do() -> None:
    assert render_findings(FINDINGS, every=False).plain == (
        "edge1\n  not checked  clock: a container\n"
        "web1\n  FAILED       running:nginx: <inactive> \ufffe\n               start it\n"
        "  passed       1: page\n"
        "1 passed, 1 failed, 1 not checked"
    )
    assert "  passed       page:a: HTTP/2 200\n" in render_findings(FINDINGS).plain


def test_junit_has_a_case_per_finding() -> None:
    root = ElementTree.fromstring(render_junit(FINDINGS))  # noqa: S314 (our own)
    assert root.attrib == {"name": "socle audit", "tests": "3", "failures": "1", "skipped": "1"}
    failures = {case.get("name"): case.find("failure") for case in root.iter("testcase")}
    assert {name for name, failure in failures.items() if failure is not None} == {"running:nginx"}
    failure = failures["running:nginx"]
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("<inactive> \ufffd", "start it")
    assert root.find(".//skipped") is not None


def test_the_newest_result_that_can_be_read_is_found(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None
    path = run_keep(tmp_path, FINDINGS, 1_800_000_000)
    assert (path.name, path.stat().st_mode & 0o777) == ("20270115T080000Z.json", 0o600)
    (tmp_path / "audit/20280101T000000Z.json").write_text("{")
    (tmp_path / "audit/notes.json").write_text("{}")
    found = load_latest(tmp_path)
    assert found
    assert (found[0].isoformat(), found[1]) == ("2027-01-15T08:00:00+00:00", FINDINGS)
    assert Findings.model_validate_json(path.read_bytes()) == FINDINGS


def test_results_do_not_pile_up(tmp_path: Path) -> None:
    for day in range(KEPT + 3):
        run_keep(tmp_path, FINDINGS, 86400 * day)
    names = sorted(path.name for path in (tmp_path / "audit").iterdir())
    assert (len(names), names[0]) == (KEPT, "19700104T000000Z.json")


@pytest.mark.parametrize("status", list(Status))
def test_statuses_are_the_contract(status: Status) -> None:
    assert status.value in ("passed", "failed", "not_checked")
