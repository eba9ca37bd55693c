"""What an audit says: findings, each with what was read and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from socle.model.base import Model


class Status(StrEnum):
    """`not_checked` is only for what the committed list names; anything else not checked has failed."""

    FAILED = "failed"
    NOT_CHECKED = "not_checked"
    PASSED = "passed"


class Finding(Model):
    """One thing that was looked at. `check` is `kind`, or `kind:thing`."""

    host: str
    """Where it is: a host, `outside`, or `controller`."""
    check: str
    status: Status
    evidence: str
    """What was read."""
    remedy: str
    """What to do; empty when nothing is."""

    @property
    def kind(self) -> str:
        """The kind of the check."""
        return self.check.partition(":")[0]


class Findings(Model):
    """All findings of an audit, and how many there are of each status."""

    findings: tuple[Finding, ...]
    passed: int
    failed: int
    not_checked: int


_ORDER = list(Status)


def make_findings(findings: Iterable[Finding]) -> Findings:
    """Findings with their counts: by host, failures first."""
    ordered = sorted(findings, key=lambda one: (one.host, _ORDER.index(one.status), one.check))
    counts = {status.value: sum(one.status is status for one in ordered) for status in Status}
    return Findings(findings=tuple(ordered), **counts)
