"""Missed runs as findings of an audit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from socle.clock.times import Missed
from socle.clock.watch import make_missed_findings

DUE = datetime(2026, 11, 27, 5, 30, tzinfo=UTC)


def test_a_missed_run_is_a_failed_finding() -> None:
    missed = [Missed("drift", DUE, None, True), Missed("new", DUE, None, False)]
    found = make_missed_findings(["drift", "audit", "new"], missed, lab=True)
    assert [(one["check"], one["status"], one["remedy"]) for one in found] == [
        ("schedule:drift", "failed", "socle schedule run drift"),
        ("schedule:audit", "passed", ""),
        ("schedule:new", "failed", "socle schedule install"),
    ]
    assert "2026-11-27T05:30:00+00:00" in found[0]["evidence"]


@pytest.mark.parametrize(("lab", "status"), [(True, "not_checked"), (False, "failed")])
def test_a_machine_that_was_never_told_is_one_finding(lab: bool, status: str) -> None:
    missed = [Missed(name, DUE, None, False) for name in ("drift", "audit")]
    (found,) = make_missed_findings(["drift", "audit"], missed, lab)
    assert (found["check"], found["status"]) == ("schedule", status)
