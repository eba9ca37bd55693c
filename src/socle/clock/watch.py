"""The state of all that runs by the clock, read together: for the verbs, the e-mails and the metrics."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from socle.backups.memory import VERDICTS
from socle.clock.alerts import load_alerted
from socle.clock.certificates import FILE as CERTIFICATES
from socle.clock.certificates import Certificate, parse_certificates
from socle.clock.metrics import Facts, load_json, run_write_metrics
from socle.clock.runs import Record, load_records
from socle.clock.schedule import Schedule
from socle.clock.times import Missed, find_missed, find_next
from socle.clock.troubles import AUDITS, Observed, load_audits, load_observed, make_findings
from socle.errors import SocleError
from socle.load.workspace import Workspace


@dataclass(frozen=True)
class Watch:
    """A schedule, and what is remembered of its runs, at `now` (aware)."""

    workspace: Workspace
    schedule: Schedule
    timezone: ZoneInfo
    now: datetime
    records: dict[str, Record]

    def missed(self) -> list[Missed]:
        """The runs that did not happen."""
        runs = {name: record.make_run() for name, record in self.records.items() if record.at}
        return find_missed(self.schedule.entries, runs, self.now, self.timezone)

    def observed(self, hosts: Collection[str]) -> Observed:
        """What a human must act on. `hosts`: those of platform.yml."""
        return load_observed(self.workspace, self.schedule.entries, self.records, self.missed(), self.now, hosts)

    def data(self) -> list[dict[str, Any]]:
        """A row for each entry: when it runs, and how it last did."""
        late = {one.name for one in self.missed()}
        rows = []
        for entry in self.schedule.entries:
            record = self.records.get(entry.name)
            rows.append(
                {
                    "name": entry.name,
                    "at": str(entry.at),
                    "run": " ".join(entry.run),
                    "next": find_next(entry.at, self.now, self.timezone).astimezone(self.timezone).isoformat(),
                    "began": record.began if record else "",
                    "ended": record.ended if record else "",
                    "result": ("running" if record.is_going_on else record.result) if record else "",
                    "exit": record.exit if record else None,
                    "reason": record.reason if record else "",
                    "missed": entry.name in late,
                }
            )
        return rows


def make_missed_findings(names: Iterable[str], missed: Iterable[Missed], lab: bool) -> list[dict[str, str]]:
    """For an audit: a finding for each entry. On a machine that was never told of the schedule one finding says so,
    failed, or not checked in a lab: its machine need not run it."""
    late = {one.name: one for one in missed}
    if late and not any(one.installed for one in late.values()):
        status, remedy = "not_checked" if lab else "failed", "socle schedule install"
        return [_make_finding("schedule", status, "the clock of this machine was never told of the schedule", remedy)]
    findings = []
    for name in names:
        if one := late.get(name):
            evidence = f"it should have run on {one.due.isoformat()}, and did not since"
            remedy = f"socle schedule run {name}" if one.installed else "socle schedule install"
            findings.append(_make_finding(f"schedule:{name}", "failed", evidence, remedy))
        else:
            findings.append(_make_finding(f"schedule:{name}", "passed", "no run was missed", ""))
    return findings


def _make_finding(check: str, status: str, evidence: str, remedy: str) -> dict[str, str]:
    return {"host": "controller", "check": check, "status": status, "evidence": evidence, "remedy": remedy}


def load_watch(workspace: Workspace, schedule: Schedule, timezone: ZoneInfo, now: datetime) -> Watch:
    """Read what is remembered."""
    return Watch(workspace, schedule, timezone, now, load_records(workspace.state, schedule.entries))


def run_refresh_metrics(watch: Watch) -> None:
    """Write the metrics anew, from what can be read."""
    state = watch.workspace.state
    certificates: list[Certificate] = []
    findings: list[dict[str, Any]] = []
    unsent = 0
    with suppress(OSError, ValueError):
        certificates = parse_certificates((state / CERTIFICATES).read_bytes())
    with suppress(ValueError):
        findings = make_findings(load_audits(state / AUDITS, watch.now))
    with suppress(SocleError):
        unsent = len(load_alerted(state).outbox)
    facts = Facts(
        environment=watch.workspace.name,
        verdicts=load_json(state / VERDICTS),
        findings=tuple(findings),
        records=watch.records,
        missed=tuple(watch.missed()),
        certificates=tuple(certificates),
        unsent=unsent,
    )
    run_write_metrics(state, facts)
