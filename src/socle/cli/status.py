"""socle status: what is there and what needs a human, on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click
from pydantic import ByteSize
from rich.console import Group
from rich.table import Table
from rich.text import Text

from socle.cli.common import Session, verb
from socle.errors import Exit
from socle.model.domains import render_domain
from socle.reports.french import clean, make_zone
from socle.reports.needs import render_age, render_left
from socle.reports.observe import load_observed
from socle.reports.status import find_trouble, make_status
from socle.reports.status_model import Certificate, Need, Quota, SiteLine, Status

SITES_SHOWN = 25
"""More sites than this fit on no screen: then only those that need a look are shown, unless -v."""
NEEDS_SHOWN = 25


def register(group: click.Group) -> None:
    """Add the verb."""

    @verb(group, "status", example="socle status", codes=(Exit.PARTIAL, Exit.REFUSED))
    def status(session: Session) -> Exit:
        """Show associations, sites, certificates, quotas, backups, and what needs a human.

        Reads only. A source that is out of reach is shown as unknown within two seconds. Exit 3 when something needs
        a human, or when nobody can tell.
        """
        context = session.context()
        verbs = group.list_commands(click.get_current_context())
        now = datetime.now(UTC)
        found = make_status(context.plan, load_observed(context, verbs), now)
        session.show(found.model_dump(mode="json"), lambda: render_status(found, every=session.talk.verbose > 0))
        session.next("socle audit", "socle report audit", "socle backup status")
        return Exit.PARTIAL if found.needs or found.unknown else Exit.DONE


def render_status(status: Status, every: bool = False) -> Group:
    """The screen."""
    parts = [Text(line) for line in _make_head(status)]
    rows = status.sites if every or len(status.sites) <= SITES_SHOWN else _find_shown(status)
    table = Table("site", "address", "certificate", "disk", "backup", box=None, pad_edge=False)
    for site in rows[: None if every else SITES_SHOWN]:
        table.add_row(*map(Text, _make_row(status, site)))
    left = len(status.sites) - len(rows[: None if every else SITES_SHOWN])
    more = [Text(f"and {left} more sites (-v shows all)")] if left else []
    shared = [Text(_render_quota_line(one)) for one in _find_shared(status)]
    return Group(*parts, Text(""), table, *more, *shared, Text(""), *map(Text, _make_needs(status, every)))


def _make_head(status: Status) -> Iterator[str]:
    local = status.time.astimezone(make_zone(status.timezone)[0])
    yield f"{status.environment} ({clean(status.syndicate)}), {local:%Y-%m-%d %H:%M %Z}"
    names = sum(len(site.domains) for site in status.sites)
    counts = (len(status.associations), len(status.sites), names)
    running = sum(host.state == "running" for host in status.hosts)
    hosts = "unknown" if all(host.state == "unknown" for host in status.hosts) else f"{running} running"
    yield "{} associations, {} sites, {} domains".format(*counts) + f"; {len(status.hosts)} hosts ({hosts})"
    if status.audit:
        audit = status.audit
        counted = f"{audit.passed} passed, {audit.failed} failed, {audit.not_checked} not checked"
        yield f"audit {render_age(audit.time, status.time)}: {counted}"
    else:
        yield "audit: never"
    complete = sum(row.verdict == "complete" for row in status.backups)
    read = f"read {render_age(status.backups_time, status.time)}" if status.backups_time else "never read"
    yield f"backups {read}: {complete} of {len(status.backups)} complete"


def _find_shown(status: Status) -> tuple[SiteLine, ...]:
    trouble = find_trouble(status)
    return tuple(site for site in status.sites if site.site in trouble)


def _make_row(status: Status, site: SiteLine) -> tuple[str, ...]:
    shown = [one for one in status.certificates if one.site == site.site]
    quota = next((one for one in status.quotas if one.volume == site.site), None)
    backup = next((row for row in status.backups if row.site == site.site), None)
    age = f", {render_age(backup.time, status.time)}" if backup and backup.time else ""
    return (
        site.site,
        render_domain(site.domains[0]) + (f" +{len(site.domains) - 1}" if len(site.domains) > 1 else ""),
        render_certificates(shown),
        render_quota(quota),
        f"{backup.verdict}{age}" if backup else "-",
    )


def render_certificates(certificates: Sequence[Certificate]) -> str:
    """The worst of the certificates of a site, in a few words."""
    problems = [one for one in certificates if one.source and one.problem]
    days = [one.days for one in certificates if one.days is not None]
    if problems:
        return "wrong" if problems[0].source == "edge" else "wrong (last audit)"
    if any(not one.source for one in certificates):
        return "unknown"
    if any(one.source == "audit" for one in certificates):
        return "good (last audit)"
    return render_left(min(days)) if days else "-"


def render_quota(quota: Quota | None) -> str:
    """Its use, as a share of what is allowed; the word says the level where it is not good."""
    if quota is None:
        return "-"
    if quota.share is None or quota.size is None:
        return "unknown"
    word = "" if quota.level == "good" else f" {quota.level.upper()}"
    return f"{quota.share:.0%} of {ByteSize(quota.size).human_readable(separator=' ')}{word}"


def _find_shared(status: Status) -> list[Quota]:
    """Volumes that are no site's: told only when they fill up."""
    sites = {site.site for site in status.sites}
    return [one for one in status.quotas if one.volume not in sites and one.level in ("warning", "full")]


def _render_quota_line(quota: Quota) -> str:
    return f"volume {quota.volume} on {quota.host}: {render_quota(quota)}"


def _make_needs(status: Status, every: bool) -> Iterator[str]:
    shown: Sequence[Need] = status.needs if every else status.needs[:NEEDS_SHOWN]
    nothing = "Nothing that could be read needs a human." if status.unknown else "Nothing needs a human."
    yield f"Needs a human ({len(status.needs)}):" if status.needs else nothing
    for need in shown:
        remedy = f" ({need.remedy})" if need.remedy else ""
        yield " ".join(clean(f"  {need.kind}: {need.subject}: {need.detail}{remedy}").split("\n"))
    if len(shown) < len(status.needs):
        yield f"  and {len(status.needs) - len(shown)} more (-v shows all)"
    for one in status.unknown:
        yield f"Unknown: {one.source}: {clean(one.reason)}"
