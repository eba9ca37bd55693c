"""make_report: from the Plan and what was read to everything the page says. Pure: the time is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from socle.model.domains import render_domain
from socle.model.plan import Plan, Site
from socle.reports import facts as made
from socle.reports.french import render_age, render_count
from socle.reports.model import Action, Fact, Kept, Provenance, Report, SiteRow, State
from socle.reports.promises import (
    AUDIT_FRESH,
    BACKUPS_FRESH,
    CHECKS,
    KEPT_FRESH,
    OTHER,
    PROMISES,
    RESTORE_FRESH,
    SYSADMINS,
    Check,
    Promise,
)
from socle.reports.sources import Sources

_FRESH = {"backups": BACKUPS_FRESH, "restores": RESTORE_FRESH, "erasure": KEPT_FRESH}
_RUNS_SHOWN = 15


def make_report(plan: Plan, sources: Sources, now: datetime, checks: Mapping[str, Check] = CHECKS) -> Report:
    """The report. What is missing is not checked, what is old is said to be old: neither is ever good.

    `checks`: the French of each kind of check.
    """
    rows = made.make_backup_rows(plan, sources.backups)
    facts = _gather(plan, sources, checks, made.make_backup_facts(rows, sources.backups))
    promises = tuple(_make_kept(promise, facts.get(promise.key, []), now) for promise in (*PROMISES, OTHER))
    shown = tuple(promise for promise in promises if promise.key != OTHER.key or promise.facts)
    actions = (*_make_source_actions(sources, now), *_make_actions(shown, make_owners(plan)))
    return Report(
        syndicate=plan.syndicate,
        timezone=plan.timezone,
        time=now,
        headline=make_headline(sources, actions),
        ordered=not actions,
        promises=shown,
        actions=actions,
        sites=tuple(_make_site_row(site) for site in plan.sites),
        backups=rows,
        runs=sources.runs[:_RUNS_SHOWN],
        notes=sources.notes,
        provenance=_make_provenance(plan, sources),
    )


def make_headline(sources: Sources, actions: Sequence[Action]) -> str:
    """The report in one sentence. Nothing is in order that was not seen."""
    if sources.audit is None and sources.backups is None:
        return "Rien n’a pu être vérifié"
    if not actions:
        return "Tout ce qui a été vérifié est en ordre"
    return render_count(len(actions), "point demande une action", "points demandent une action")


def make_state(facts: Iterable[Fact], now: datetime, fresh: timedelta) -> tuple[State, datetime | None]:
    """How well a promise is proven by `facts`, and when it last was: of several proofs, the oldest."""
    found = list(facts)
    times = [fact.time for fact in found if fact.status == "passed" and fact.time]
    proven = min(times, default=None)
    if any(fact.status == "failed" for fact in found):
        return State.FAILED, None
    if proven is None:
        return State.UNKNOWN, None
    if now - proven > fresh:
        return State.OLD, proven
    return (State.PARTLY if any(fact.status == "not_checked" for fact in found) else State.PROVEN), proven


def _gather(
    plan: Plan, sources: Sources, checks: Mapping[str, Check], backups: Iterable[Fact]
) -> dict[str, list[Fact]]:
    """Facts by the key of their promise."""
    facts: dict[str, list[Fact]] = {"backups": list(backups)}
    for key, fact in made.make_audit_facts(sources.audit, checks, verdicts=sources.backups is not None):
        facts.setdefault(key, []).append(fact)
    facts.setdefault("restores", []).extend(made.make_restore_facts(plan, sources.runs, sources.drills))
    facts.setdefault("erasure", []).extend(made.make_erasure_facts(plan, sources.audit, sources.runs))
    facts.setdefault("declared", []).extend(made.make_waiting_facts(plan))
    return facts


def _make_kept(promise: Promise, facts: list[Fact], now: datetime) -> Kept:
    state, proven = make_state(facts, now, _FRESH.get(promise.key, AUDIT_FRESH))
    return Kept(
        key=promise.key,
        title=promise.title,
        sentence=promise.sentence,
        how=promise.how,
        state=state,
        proven=proven,
        facts=tuple(facts),
    )


def _make_source_actions(sources: Sources, now: datetime) -> Iterator[Action]:
    """What to do about the report's own sources, when one is missing or old."""
    audit, backups = sources.audit, sources.backups
    yield from _make_source_action(
        audit.time if audit else None,
        now,
        AUDIT_FRESH,
        ("Faire un audit", "Aucun audit n’a été trouvé", "Le dernier audit a été fait"),
    )
    yield from _make_source_action(
        backups.time if backups else None,
        now,
        BACKUPS_FRESH,
        (
            "Relire l’état des sauvegardes sur le serveur de sauvegardes",
            "Aucune lecture datée de l’état des sauvegardes n’a été trouvée",
            "L’état des sauvegardes a été relu",
        ),
    )


def _make_source_action(
    time: datetime | None, now: datetime, fresh: timedelta, texts: tuple[str, str, str]
) -> Iterator[Action]:
    ask, missing, old = texts
    if time is None:
        yield Action(ask=ask, who=SYSADMINS, because=missing, promise="")
    elif now - time > fresh:
        yield Action(ask=ask, who=SYSADMINS, because=f"{old} {render_age(time, now)}", promise="")


def make_owners(plan: Plan) -> dict[str, str]:
    """The association's name of each site, and of each name that leads to one."""
    return {name: site.association_name for site in plan.sites for name in (site.name, site.domain, *site.redirects)}


def _make_actions(promises: Iterable[Kept], owners: Mapping[str, str]) -> Iterator[Action]:
    for promise in promises:
        for fact in promise.facts:
            if fact.ask:
                concerned = {owners[one.thing]: None for one in fact.details if one.thing in owners}
                yield Action(
                    ask=fact.ask,
                    who=fact.who,
                    because=fact.text,
                    promise=promise.title,
                    associations=tuple(concerned),
                    details=fact.details,
                )


def _make_site_row(site: Site) -> SiteRow:
    return SiteRow(
        association=site.association_name,
        site=site.name,
        service=site.service,
        addresses=tuple(render_domain(name) for name in (site.domain, *site.redirects)),
        quota=site.quota,
    )


def _make_provenance(plan: Plan, sources: Sources) -> Provenance:
    audit, backups = sources.audit, sources.backups
    return Provenance(
        environment=plan.environment,
        plan=plan.digest(),
        audit=audit.file if audit else "",
        audit_digest=audit.digest if audit else "",
        audit_time=audit.time if audit else None,
        backups_time=backups.time if backups else None,
    )
