"""An audit of a good lab fails nothing; one thing broken on purpose is named, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from socle.audit.finding import Finding, Findings, Status
from socle.audit.prove import Choice, run_audit
from socle.audit.store import load_latest
from tests.live.audit_breaks import BREAKS, Break, describe, fill, kept, sh
from tests.live.environment import Lab

pytestmark = pytest.mark.acceptance

WHOLE_SECONDS = 60
"""On a machine with nothing else to do it takes half of it, or less."""


def audit(lab: Lab, *hosts: str) -> Findings:
    return run_audit(lab.context(), Choice(hosts=frozenset(hosts)))


def failed(findings: Findings) -> dict[str, Finding]:
    return {f"{one.host} {one.check}": one for one in findings.findings if one.status is Status.FAILED}


@pytest.fixture(scope="module", autouse=True)
def good(built: Lab) -> Iterator[None]:
    """Before and after all that is broken here, nothing is."""
    assert failed(audit(built)) == {}
    yield
    assert failed(audit(built)) == {}


def test_a_good_lab_fails_nothing_and_is_told_in_every_form(lab: Lab, tmp_path: Path) -> None:
    start = time.monotonic()
    result = lab.socle("audit", "--json", "--junit", str(tmp_path / "audit.xml"))
    assert time.monotonic() - start < WHOLE_SECONDS
    data = json.loads(result.stdout)
    assert data["failed"] == 0
    assert data["passed"] == sum(one["status"] == "passed" for one in data["findings"]) > 100
    suites = ElementTree.parse(tmp_path / "audit.xml").getroot()  # noqa: S314 (our own)
    assert int(suites.attrib["tests"]) == len(data["findings"])
    latest = load_latest(lab.workspace.state)
    assert latest
    assert latest[1].model_dump(mode="json") == data
    journal = json.loads(lab.socle("journal", "--json", "--last", "2").stdout)
    assert [(one["event"], one.get("command")) for one in journal] == [("started", "audit"), ("ended", None)]


def test_every_site_is_looked_at_from_inside_and_outside(lab: Lab) -> None:
    found = {f"{one.host} {one.check}": one for one in audit(lab).findings}
    for site in lab.context().plan.sites:
        assert "none reached" in found[f"{site.host} isolation:{site.name}"].evidence
        assert "HTTP/2 200" in found[f"{site.host} page:{site.name}"].evidence


def test_no_worker_without_open_basedir_is_left(lab: Lab) -> None:
    """The probe lifts it in one worker, which must have ended."""
    site = lab.context().plan.sites[0]
    run_audit(lab.context(), Choice(kinds=frozenset({"isolation"})))
    pid = lab.ssh(site.host, ["systemctl", "show", "-P", "MainPID", site.unit]).strip()
    deadline = time.monotonic() + 10
    while (children := lab.ssh(site.host, ["pgrep", "-P", pid], check=False)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert children == ""
    log = lab.ssh(site.host, ["journalctl", "-u", site.unit, "--since", "-1min", "-o", "cat", "-p", "warning"])
    assert "exited" not in log


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.name)
def test_what_is_broken_is_named_and_nothing_else(lab: Lab, broken: Break) -> None:
    plan = lab.context().plan
    wanted = fill(broken.expected | broken.follows, plan)
    with broken.broken(lab, plan):
        found = failed(audit(lab, *broken.hosts))
    assert set(found) == wanted, describe(set(found))
    for name in fill(broken.expected, plan):
        assert found[name].remedy
        assert not found[name].evidence.startswith("not checked"), found[name]


def test_updates_by_an_old_list_are_not_green(lab: Lab) -> None:
    """A mirror that stopped: nothing is pending by what it said last."""
    path = sh(lab, "edge1", "ls /var/lib/apt/lists/*security*InRelease").split()[0]
    with kept(lab, "edge1", path):
        end = "Valid-Until: Wed, 01 Jan 2020 00:00:00 UTC"
        sh(lab, "edge1", f"sed -i '/^Valid-Until:/d; s/^Date: .*/&\\n{end}/' {path}")
        findings = run_audit(lab.context(), Choice(frozenset({"edge1"}), frozenset({"updates"}))).findings
    assert [(one.status, "valid until 2020-01-01" in one.evidence) for one in findings] == [(Status.NOT_CHECKED, True)]


def test_a_request_that_is_gone_is_named(scratch: Lab) -> None:
    name = scratch.context().plan.sites[0].association
    path = scratch.root / "associations" / f"{name}.yml"
    assert yaml.safe_load(path.read_text())
    scratch.remove_request(name)
    scratch.apply()
    assert set(failed(audit(scratch))) == {f"web1 orphans:wp-{name}"}


def test_a_host_that_is_down_is_not_green(scratch: Lab) -> None:
    with scratch.client() as client:
        client.set_state("web1", "stop", force=True)
    found = audit(scratch, "web1").findings
    on_host = [one for one in found if one.kind in ("sshd", "accounts", "isolation", "mounted", "databases")]
    assert on_host
    assert {one.status for one in on_host} == {Status.FAILED}
    assert all(one.evidence.startswith("not checked: cannot ask web1") for one in on_host)
