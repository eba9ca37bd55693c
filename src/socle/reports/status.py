"""What is there and what needs a human, on one screen. Pure: what was observed in, the status out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from socle.model.base import Model
from socle.model.plan import Plan
from socle.reports.facts import make_backup_rows
from socle.reports.model import BackupRow
from socle.reports.promises import AUDIT_FRESH, BACKUPS_FRESH
from socle.reports.sources import Audit, Finding, Sources

CERTIFICATE_LEFT = timedelta(days=10)
CERTIFICATE_SHARE = 0.2
"""A certificate is renewed when a third of its life is left. So one that lives for hours, as a lab's does, needs
nobody before a fifth of it is left."""
WARN_SHARE, FULL_SHARE = 0.80, 0.95
_DAYS_TOLD = 2
TOLD_ELSEWHERE = ("backup", "certificate", "escrow", "orphans", "schedule")
"""Kinds of checks whose own source is read here, later than the audit."""


class Certificate(Model):
    """The certificate that the edge shows for a name."""

    name: str
    site: str
    end: datetime | None = None
    days: float | None = None
    """Days left; negative once it is over, None when nobody could tell."""
    soon: bool = False
    """Whether it should have been renewed by now."""
    source: Literal["edge", "audit", ""] = ""
    """Where this was read: over TLS just now, or in the last audit; empty: nowhere."""
    problem: str = ""


class Quota(Model):
    """What a volume holds, as Incus counts it."""

    volume: str
    association: str
    host: str
    used: int | None
    """Bytes."""
    size: int | None
    share: float | None
    level: Literal["good", "warning", "full", "unknown"]


class HostState(Model):
    """A host of the plan, and what Incus says of it."""

    host: str
    role: str
    state: str


class Need(Model):
    """Something for a human."""

    kind: str
    subject: str
    detail: str
    remedy: str


class Unknown(Model):
    """A source that could not be read, and why."""

    source: str
    reason: str


class SiteLine(Model):
    """A site, its names, and the reasons to look at it."""

    site: str
    association: str
    association_name: str
    service: str
    host: str
    domains: tuple[str, ...]


class AuditLine(Model):
    """The last audit, counted."""

    time: datetime
    passed: int
    failed: int
    not_checked: int


class Shown(Model):
    """What the edge shows to who asks for a name: a certificate with its end, or what is wrong with it."""

    begins: datetime | None = None
    end: datetime | None = None
    problem: str = ""


class Missed(Model):
    """A run by the clock that did not happen, or did not end well."""

    name: str
    detail: str
    remedy: str


class Observed(Model):
    """What was read, each part within its time; None: it could not be."""

    sources: Sources
    instances: Mapping[str, str] | None = None
    """State by host."""
    volumes: Mapping[str, tuple[int, int]] | None = None
    """Bytes used and bytes in all by volume; those that could not be read are absent."""
    certificates: Mapping[str, Shown | str] | None = None
    """What the edge shows by name; text: why it could not be asked."""
    missed: tuple[Missed, ...] = ()
    escrow: bool | None = None
    lab: bool = False
    unknown: tuple[Unknown, ...] = ()


class Status(Model):
    """The screen as data."""

    environment: str
    syndicate: str
    timezone: str
    time: datetime
    associations: tuple[str, ...]
    hosts: tuple[HostState, ...]
    sites: tuple[SiteLine, ...]
    certificates: tuple[Certificate, ...]
    quotas: tuple[Quota, ...]
    backups: tuple[BackupRow, ...]
    backups_time: datetime | None
    audit: AuditLine | None
    needs: tuple[Need, ...]
    unknown: tuple[Unknown, ...]


def make_status(plan: Plan, observed: Observed, now: datetime) -> Status:
    """The status. What could not be read is unknown, and said so."""
    backups, audit = observed.sources.backups, observed.sources.audit
    hosts = tuple(_make_host(host.name, host.role, observed.instances) for host in plan.hosts)
    certificates = tuple(make_certificates(plan, observed, now))
    quotas = tuple(make_quotas(plan, observed.volumes or {}))
    rows = make_backup_rows(plan, backups)
    needs = (
        *_find_host_needs(hosts),
        *_find_certificate_needs(certificates),
        *_find_quota_needs(quotas),
        *_find_backup_needs(rows, backups.time if backups else None, now),
        *_find_audit_needs(audit, now),
        *(Need(kind="clock", subject=one.name, detail=one.detail, remedy=one.remedy) for one in observed.missed),
        *_find_plan_needs(plan, observed),
    )
    return Status(
        environment=plan.environment,
        syndicate=plan.syndicate,
        timezone=plan.timezone,
        time=now,
        associations=tuple(sorted({site.association for site in plan.sites})),
        hosts=hosts,
        sites=tuple(
            SiteLine(
                site=site.name,
                association=site.association,
                association_name=site.association_name,
                service=site.service,
                host=site.host,
                domains=(site.domain, *site.redirects),
            )
            for site in plan.sites
        ),
        certificates=certificates,
        quotas=quotas,
        backups=rows,
        backups_time=backups.time if backups else None,
        audit=_count(audit) if audit else None,
        needs=needs,
        unknown=observed.unknown,
    )


def make_certificates(plan: Plan, observed: Observed, now: datetime) -> Iterator[Certificate]:
    """The certificate of every name: read at the edge; else what the last audit saw of it; else unknown."""
    seen = observed.certificates or {}
    audited = {one.thing: one for one in _find_audited(observed.sources.audit, "certificate")}
    for site in plan.sites:
        for name in (site.domain, *site.redirects):
            found = seen.get(name, "the edge was not asked")
            if not isinstance(found, str):
                yield _make_shown(name, site.name, found, now)
            elif name in audited or site.name in audited:
                finding = audited.get(name) or audited[site.name]
                problem = "" if finding.status == "passed" else finding.evidence
                yield Certificate(name=name, site=site.name, source="audit", problem=problem)
            else:
                yield Certificate(name=name, site=site.name, problem=found)


def _make_shown(name: str, site: str, shown: Shown, now: datetime) -> Certificate:
    if shown.end is None:
        return Certificate(name=name, site=site, source="edge", problem=shown.problem)
    left = shown.end - now
    life = shown.end - (shown.begins or shown.end - 10 * CERTIFICATE_LEFT)
    soon = left < min(CERTIFICATE_LEFT, CERTIFICATE_SHARE * life)
    days = round(left / timedelta(days=1), 2)
    return Certificate(name=name, site=site, end=shown.end, days=days, soon=soon, source="edge", problem=shown.problem)


def make_quotas(plan: Plan, volumes: Mapping[str, tuple[int, int]]) -> Iterator[Quota]:
    """The use of every volume of the plan."""
    for volume in plan.volumes:
        used, total = volumes.get(volume.name, (None, None))
        size = total or volume.size
        share = used / size if used is not None and size else None
        level: Literal["good", "warning", "full", "unknown"] = "unknown"
        if share is not None:
            level = "full" if share >= FULL_SHARE else "warning" if share >= WARN_SHARE else "good"
        yield Quota(
            volume=volume.name,
            association=volume.association,
            host=volume.host,
            used=used,
            size=size,
            share=share,
            level=level,
        )


def find_trouble(status: Status) -> set[str]:
    """Sites of which something needs a human or is not known."""
    found = {one.site for one in status.certificates if one.days is None or one.soon or one.problem}
    found |= {one.volume for one in status.quotas if one.level != "good"}
    return found | {row.site for row in status.backups if row.verdict != "complete"}


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


def _make_host(name: str, role: str, instances: Mapping[str, str] | None) -> HostState:
    state = "unknown" if instances is None else instances.get(name, "missing")
    return HostState(host=name, role=role, state=state)


def _find_audited(audit: Audit | None, kind: str) -> Sequence[Finding]:
    return [one for one in audit.findings if one.kind == kind] if audit else []


def _count(audit: Audit) -> AuditLine:
    statuses = [finding.status for finding in audit.findings]
    return AuditLine(
        time=audit.time,
        passed=statuses.count("passed"),
        failed=statuses.count("failed"),
        not_checked=statuses.count("not_checked"),
    )


def _find_host_needs(hosts: Iterable[HostState]) -> Iterator[Need]:
    for host in hosts:
        if host.state not in ("running", "unknown"):
            yield Need(kind="host", subject=host.host, detail=f"it is {host.state}", remedy="run: socle apply")


def _find_certificate_needs(certificates: Iterable[Certificate]) -> Iterator[Need]:
    for one in certificates:
        if one.soon or (one.source and one.problem):
            left = f"{render_left(one.days)} left" if one.soon and one.days is not None else ""
            detail = "; ".join(filter(None, (left, one.problem)))
            remedy = "look at why it is not renewed: journalctl -u caddy on the edge"
            yield Need(kind="certificate", subject=one.name, detail=detail, remedy=remedy)


def _find_quota_needs(quotas: Iterable[Quota]) -> Iterator[Need]:
    for one in quotas:
        if one.level in ("warning", "full") and one.share is not None:
            detail = f"{one.share:.0%} full" + (": it will soon refuse writes" if one.level == "full" else "")
            remedy = "raise the quota in the request, or help the association to remove what it does not need"
            yield Need(kind="quota", subject=one.volume, detail=detail, remedy=remedy)


def _find_backup_needs(rows: Iterable[BackupRow], time: datetime | None, now: datetime) -> Iterator[Need]:
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


def _find_audit_needs(audit: Audit | None, now: datetime) -> Iterator[Need]:
    if audit is None:
        yield Need(kind="audit", subject="platform", detail="it was never audited", remedy="run: socle audit")
        return
    if now - audit.time > AUDIT_FRESH:
        detail = f"the last one was {render_age(audit.time, now)}"
        yield Need(kind="audit", subject="platform", detail=detail, remedy="run: socle audit")
    for finding in audit.findings:
        if finding.status == "failed" and finding.kind not in TOLD_ELSEWHERE:
            yield Need(
                kind="audit",
                subject=f"{finding.check} on {finding.host}",
                detail=finding.evidence,
                remedy=finding.remedy,
            )


def _find_plan_needs(plan: Plan, observed: Observed) -> Iterator[Need]:
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
