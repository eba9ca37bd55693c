"""What needs a human: each with what is wrong and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from socle.model.plan import Plan
from socle.reports.model import BackupRow
from socle.reports.promises import AUDIT_FRESH, BACKUPS_FRESH
from socle.reports.sources import Audit
from socle.reports.status_model import Certificate, HostState, Need, Observed, Quota

_DAYS_TOLD = 2


def find_host_needs(hosts: Iterable[HostState]) -> Iterator[Need]:
    for host in hosts:
        if host.state not in ("running", "unknown"):
            yield Need(
                kind="host", subject=host.host, detail=f"it is {host.state}", remedy="see why, then run: socle apply"
            )


def find_certificate_needs(certificates: Iterable[Certificate]) -> Iterator[Need]:
    for one in certificates:
        if one.soon or (one.source and one.problem):
            left = f"{render_left(one.days)} left" if one.soon and one.days is not None else ""
            detail = "; ".join(filter(None, (left, one.problem)))
            remedy = "look at why it is not renewed: journalctl -u caddy on the edge"
            yield Need(kind="certificate", subject=one.name, detail=detail, remedy=remedy)


def find_quota_needs(quotas: Iterable[Quota]) -> Iterator[Need]:
    for one in quotas:
        if one.level in ("warning", "full") and one.share is not None:
            detail = f"{one.share:.0%} full" + (": it will soon refuse writes" if one.level == "full" else "")
            remedy = "raise the quota in the request, or help the association to remove what it does not need"
            yield Need(kind="quota", subject=one.volume, detail=detail, remedy=remedy)


def find_backup_needs(rows: Iterable[BackupRow], time: datetime | None, now: datetime) -> Iterator[Need]:
    read = "run: socle backup status"
    if time is None:
        yield Need(kind="backups", subject="all sites", detail="no verdict was ever read", remedy=read)
    elif now - time > BACKUPS_FRESH:
        yield Need(kind="backups", subject="all sites", detail=f"read {render_age(time, now)}", remedy=read)
    for row in rows if time else ():
        if row.verdict != "complete":
            detail = f"{row.verdict}: {row.reason}" if row.reason else row.verdict
            remedy = f"mend what it says, then: socle backup run {row.site}"
            yield Need(kind="backup", subject=row.site, detail=detail, remedy=remedy)


def find_told(plan: Plan, observed: Observed) -> frozenset[str]:
    """Checks, by kind or by name, whose own source was read here, later than the audit. Where it could not be, the
    audit speaks."""
    known = {
        "backup": observed.sources.backups is not None,
        "escrow": observed.escrow is not None,
        "schedule": observed.missed is not None,
    }
    orphans = {f"orphans:{orphan.name}" for orphan in plan.orphans}
    return frozenset({"certificate"} | orphans | {kind for kind, read in known.items() if read})


def find_audit_needs(audit: Audit | None, told: frozenset[str], now: datetime) -> Iterator[Need]:
    """What failed in the last audit, but for what is `told` elsewhere."""
    if audit is None:
        yield Need(kind="audit", subject="platform", detail="it was never audited", remedy="run: socle audit")
        return
    if now - audit.time > AUDIT_FRESH:
        detail = f"the last one was {render_age(audit.time, now)}"
        yield Need(kind="audit", subject="platform", detail=detail, remedy="run: socle audit")
    for finding in audit.findings:
        if finding.status == "failed" and not told & {finding.kind, finding.check}:
            yield Need(
                kind="audit",
                subject=f"{finding.check} on {finding.host}",
                detail=finding.evidence,
                remedy=finding.remedy,
            )


def find_plan_needs(plan: Plan, observed: Observed) -> Iterator[Need]:
    for orphan in plan.orphans:
        detail = f"its request (associations/{orphan.association}.yml) is gone; its data is kept"
        remedy = "put the request back, or retire the site on purpose"
        yield Need(kind="orphan", subject=orphan.name, detail=detail, remedy=remedy)
    for name in plan.waiting:
        remedy = f"run: socle request accept {name}"
        yield Need(kind="request", subject=name, detail="it is valid and waits to be accepted", remedy=remedy)
    if observed.escrow is False and not observed.lab:
        detail = "no key in a safe can read the secrets"
        yield Need(kind="escrow", subject="platform", detail=detail, remedy="run: socle secrets escrow")


def render_age(time: datetime, now: datetime) -> str:
    """`5 h ago`; days from two on."""
    hours = (now - time) / timedelta(hours=1)
    if hours < 0:
        return "in the future"
    if hours < 1:
        return f"{int(hours * 60)} min ago"
    return f"{int(hours)} h ago" if hours < _DAYS_TOLD * 24 else f"{int(hours / 24)} days ago"


def render_left(days: float) -> str:
    """`64 days`; hours below two days."""
    return f"{int(days)} days" if days >= _DAYS_TOLD else f"{max(0, int(days * 24))} hours"
