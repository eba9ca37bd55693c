"""What is there and what needs a human, on one screen. Pure: what was observed in, the status out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from socle.model.plan import Plan
from socle.reports import needs
from socle.reports.facts import make_backup_rows
from socle.reports.sources import Audit, Finding
from socle.reports.status_model import (
    AuditLine,
    Certificate,
    HostState,
    Need,
    Observed,
    Quota,
    Shown,
    SiteLine,
    Status,
)

CERTIFICATE_LEFT = timedelta(days=10)
CERTIFICATE_SHARE = 0.2
"""A certificate is renewed when a third of its life is left. So one that lives for hours, as a lab's does, needs
nobody before a fifth of it is left."""
WARN_SHARE, FULL_SHARE = 0.80, 0.95


def make_status(plan: Plan, observed: Observed, now: datetime) -> Status:
    """The status. What could not be read is unknown, and said so."""
    backups, audit = observed.sources.backups, observed.sources.audit
    hosts = tuple(_make_host(host.name, host.role, observed.instances) for host in plan.hosts)
    certificates = tuple(make_certificates(plan, observed, now))
    quotas = tuple(make_quotas(plan, observed.volumes or {}))
    rows = make_backup_rows(plan, backups)
    found = (
        *needs.find_host_needs(hosts),
        *needs.find_certificate_needs(certificates),
        *needs.find_quota_needs(quotas),
        *needs.find_backup_needs(rows, backups.time if backups else None, now),
        *needs.find_audit_needs(audit, needs.find_told(plan, observed), now),
        *(Need(kind="clock", subject=one.name, detail=one.detail, remedy=one.remedy) for one in observed.missed or ()),
        *needs.find_plan_needs(plan, observed),
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
        needs=found,
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
