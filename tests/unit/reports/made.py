"""What the tests of reports share: a plan, an audit, verdicts, a journal, all at one moment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from socle.model.plan import Plan
from socle.planning.make_plan import make_plan
from socle.reports.promises import CHECKS
from socle.reports.sources import Audit, Backups, Sources, make_runs, parse_audit, parse_backups
from socle.requests import make_accepted
from tests.make import make_inputs, make_request_text

NOW = datetime(2026, 11, 27, 6, 45, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REQUESTS = {
    "amis-du-lac": make_request_text(
        services={"page": {"domain": "amis-du-lac.example", "redirects": ["www.amis-du-lac.example"]}}
    ),
    "ecole-du-bourg": make_request_text(
        name="L’École <b>& Cœur</b>", services={"page": {"domain": "école-du-bourg.example"}}
    ),
}
RUNS = (
    {"run": "1", "event": "started", "at": "2026-11-26T10:00:00+00:00", "who": "awa", "command": "apply"},
    {"run": "1", "event": "ended", "at": "2026-11-26T10:01:00+00:00", "result": "done", "changes": 12},
    {"run": "2", "event": "started", "at": "2026-11-26T11:00:00+00:00", "who": "awa", "command": "restore x"},
    {"run": "2", "event": "ended", "at": "2026-11-26T11:02:00+00:00", "result": "done", "exit": 0, "restored": 1},
    {"run": "3", "event": "started", "at": "2026-11-26T12:00:00+00:00", "who": "awa", "command": "retire y"},
    {"run": "3", "event": "ended", "at": "2026-11-26T12:02:00+00:00", "result": "done", "changes": 1, "exit": 0},
)


def make_test_plan(waiting: Sequence[str] = (), gone: Sequence[str] = ()) -> Plan:
    """Two associations with a site each; `waiting` ones ask, `gone` ones were accepted and ask no more."""
    asked = {**REQUESTS, **{name: make_request_text(name=name) for name in gone}}
    accepted = make_accepted(make_inputs(asked), "1a2b", None).allocations
    requests = {**REQUESTS, **{name: make_request_text(name=name) for name in waiting}}
    return make_plan(make_inputs(requests, allocations=accepted))


PLAN = make_test_plan()


def finding(check: str, status: str = "passed", host: str = "web1", evidence: str = "seen") -> dict[str, str]:
    """One finding of an audit."""
    return {"host": host, "check": check, "status": status, "evidence": evidence, "remedy": "run: socle apply"}


GOOD = tuple(finding(check) for check in CHECKS)


def make_audit(*findings: Mapping[str, Any], time: datetime = NOW - HOUR) -> Audit:
    """An audit in which all is good, but for these findings."""
    changed = {one["check"].partition(":")[0] for one in findings}
    kept = [one for one in GOOD if one["check"] not in changed]
    return parse_audit(json.dumps({"findings": [*kept, *findings]}).encode(), time, f"{time:%Y-%m-%dT%H%M%SZ}.json")


def make_backups(*verdicts: str, time: datetime = NOW - 2 * HOUR, reason: str = "newest is old") -> Backups:
    """The verdicts of the plan's sites, in their order; complete where none is given."""
    words = [*verdicts, *["complete"] * len(PLAN.sites)]
    rows = [
        {
            "association": site.association,
            "site": site.name,
            "verdict": word,
            "snapshot": "1a2b",
            "time": (time - 5 * HOUR).isoformat(),
            "bytes": 123456789,
            "reason": "" if word == "complete" else reason,
        }
        for site, word in zip(PLAN.sites, words, strict=False)
    ]
    return parse_backups(json.dumps({"time": time.isoformat(), "sites": rows}).encode())


def make_sources(**changes: Any) -> Sources:
    """Everything read, and everything good, but for `changes`."""
    return Sources(**{"audit": make_audit(), "backups": make_backups(), "runs": make_runs(RUNS), **changes})
