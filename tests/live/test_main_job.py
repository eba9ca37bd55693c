"""The main job through the command line: up, up again, plan; a request added, removed, put back."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from tests.live.environment import Lab

AGAIN_SECONDS = 15
PROVEN_SECONDS = 60


def test_up_again_changes_nothing_and_is_quick(lab: Lab) -> None:
    assert lab.plan() == []
    start = time.monotonic()
    again = json.loads(lab.socle("lab", "up", "--no-audit", "--json").stdout)
    seconds = time.monotonic() - start
    assert again["summary"] == {"total": 0}
    assert seconds < AGAIN_SECONDS, seconds


def test_up_ends_with_backups_an_audit_and_the_report(lab: Lab) -> None:
    """Again, all is audited anew, and nothing is saved anew."""
    before = lab.socle("backup", "status", "--json").stdout
    assert {site["verdict"] for site in json.loads(before)["sites"]} == {"complete"}
    start = time.monotonic()
    again = lab.socle("lab", "up")
    seconds = time.monotonic() - start
    assert "no new snapshot: all were made within a day" in again.stderr
    assert re.search(r"Audit, made just now: \d{3} passed, 0 failed", again.stderr)
    assert Path(re.findall(r"Report: (\S+\.pdf)", again.stderr)[0]).read_bytes().startswith(b"%PDF-")
    assert lab.socle("backup", "status", "--json").stdout == before
    assert seconds < PROVEN_SECONDS, seconds


def test_full_finds_nothing_after_a_first_run(lab: Lab) -> None:
    assert lab.plan("--full") == []


def test_a_request_added_removed_and_put_back(scratch: Lab) -> None:
    scratch.write_request("nouvelle")
    assert scratch.plan() == []
    scratch.socle("request", "accept", "nouvelle")
    changes = scratch.plan()
    assert {change["association"] for change in changes if change["stage"] == "sites"} == {"nouvelle"}
    assert {change["stage"] for change in changes} == {"hosts", "repositories", "sites"}
    scratch.apply()
    assert scratch.plan() == []
    page = scratch.get("https://nouvelle.asso.example/")
    assert page is not None
    assert page.status == 200

    before = scratch.ssh("web1", ["mariadb", "-N", "-e", "SELECT * FROM wp_nouvelle.wp_posts"])
    scratch.remove_request("nouvelle")
    scratch.apply()
    assert scratch.get("https://nouvelle.asso.example/", check=False) is None
    shown = scratch.socle("plan", check=False)
    assert shown.returncode == 0
    assert "wp-nouvelle: orphan of nouvelle" in shown.stderr
    assert scratch.ssh("web1", ["mariadb", "-N", "-e", "SELECT * FROM wp_nouvelle.wp_posts"]) == before

    scratch.write_request("nouvelle")
    scratch.apply()
    page = scratch.get("https://nouvelle.asso.example/")
    assert page is not None
    assert page.status == 200
    assert scratch.ssh("web1", ["mariadb", "-N", "-e", "SELECT * FROM wp_nouvelle.wp_posts"]) == before
