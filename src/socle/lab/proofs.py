"""What `lab up` ends with: what is due is saved, everything is audited, and the report is written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from socle.audit.finding import Findings
from socle.audit.prove import run_audit
from socle.backups.observe import load_sight, make_expected
from socle.backups.run import find_due, run_save
from socle.backups.verdict import Verdict
from socle.reports.run import Made, run_report
from socle.runs.journal import recorded
from socle.stages.base import Context


@dataclass(frozen=True)
class Proofs:
    """What was proven. `saved`: the sites that got a new snapshot; those saved within a day need none."""

    saved: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    findings: Findings
    report: Made

    @property
    def good(self) -> bool:
        """Whether nothing needs a human."""
        return not self.findings.failed and all(one.verdict == "complete" for one in self.verdicts)


def run_proofs(context: Context) -> Proofs:
    """Save what is due, audit, report. Raises Unreachable, SocleError."""
    workspace, talk = context.workspace, context.talk
    with talk.step("backups"):
        saved, verdicts = _run_backups(context)
    with talk.step("audit"), recorded(workspace.state, workspace.root, "audit", context.plan.digest()):
        findings = run_audit(context)
    with talk.step("report"):
        report = run_report(workspace, context.plan, workspace.state / "reports", datetime.now(UTC))
    return Proofs(saved, verdicts, findings, report)


def _run_backups(context: Context) -> tuple[tuple[str, ...], tuple[Verdict, ...]]:
    """What was saved, and the verdicts then."""
    before = load_sight(context).verdicts
    due = find_due(before, time.time())
    chosen = {one.site: one.host for one in make_expected(context) if one.site in due}
    if not chosen:
        return (), before
    with recorded(context.workspace.state, context.workspace.root, "backup run", context.plan.digest()) as entry:
        for why in run_save(context, chosen).values():
            context.talk.say(f"  {why}")
        entry.changes = len(chosen)
    return tuple(chosen), load_sight(context).verdicts
