"""What `socle status` reads: independent sources at once, each with a limit of time. What does not answer in time
is unknown, and holds nobody up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from socle.clock.certificates import make_trust
from socle.clock.runs import load_records
from socle.clock.schedule import load_schedule
from socle.clock.times import Missed as Late
from socle.clock.times import find_missed
from socle.incus.client import IncusClient
from socle.incus.connect import open_client
from socle.reports.edge import find_edge, load_shown
from socle.reports.parallel import run_parallel
from socle.reports.sources import Sources, load_sources
from socle.reports.status_model import Missed, Observed, Shown, Unknown
from socle.stages.base import Context

SECONDS = 0.8
"""For a lab. A platform of many sites gets more: see `make_limit`."""
_SLACK = 0.4
"""What is asked within a source has its own limit; its source waits this much longer, to lose none of it."""
_PER_SECOND = 100
"""Certificates and volumes that are read in a second, at least."""
_ALL = "edge"


def make_limit(number: int) -> float:
    """Seconds within which so many certificates or volumes are read."""
    return SECONDS + number / _PER_SECOND


def load_observed(context: Context, verbs: Collection[str]) -> Observed:
    """Everything that is to be seen now. `verbs`: those of the command line, which the schedule is checked with."""
    plan = context.plan
    limit = make_limit(max(len(plan.volumes), 2 * len(plan.sites)))
    jobs: dict[str, Callable[[], Any]] = {
        "state folder": partial(load_sources, context.workspace),
        "incus hosts": partial(load_instances, context),
        "incus volumes": partial(load_volumes, context, limit),
        _ALL: partial(load_certificates, context, limit),
        "secrets": context.secrets.has_escrow,
        "schedule": partial(load_missed, context, verbs),
    }
    found: dict[str, Any] = dict(run_parallel(jobs, limit + _SLACK))
    unknown = [Unknown(source=name, reason=_explain(value)) for name, value in found.items() if _is_lost(value)]
    known = {name: None if _is_lost(value) else value for name, value in found.items()}
    certificates, volumes = known[_ALL], known["incus volumes"]
    unknown += [Unknown(source=f"volume {name}", reason=_explain(value)) for name, value in _lost(volumes)]
    sources = known["state folder"] or Sources()
    return Observed(
        sources=sources,
        instances=known["incus hosts"],
        volumes={name: value for name, value in volumes.items() if not _is_lost(value)} if volumes else volumes,
        certificates=(
            {name: _explain(value) if _is_lost(value) else value for name, value in certificates.items()}
            if certificates is not None
            else None
        ),
        escrow=known["secrets"],
        lab=context.platform.lab,
        missed=known["schedule"] or (),
        unknown=(*unknown, *_find_edge_unknown(certificates)),
    )


def load_instances(context: Context) -> dict[str, str]:
    """The state of each host, by name. Raises Unreachable."""
    with _open(context) as client:
        return {one["name"]: str(one["status"]).lower() for one in client.list_instances()}


def load_volumes(context: Context, seconds: float) -> dict[str, tuple[int, int] | Exception]:
    """Bytes used and in all, of each volume of the plan. Raises Unreachable when Incus itself does not answer."""
    with _open(context) as client:
        client.get_pool()  # One question first: without Incus, each volume would wait for nothing.
        jobs = {volume.name: partial(_load_use, client, volume.name) for volume in context.plan.volumes}
        return run_parallel(jobs, seconds)


def load_certificates(context: Context, seconds: float) -> dict[str, Shown | Exception]:
    """What the edge shows for each name of the plan."""
    plan = context.plan
    address, trust = find_edge(plan), make_trust(context.workspace.state)
    names = [name for site in plan.sites for name in (site.domain, *site.redirects)]
    return run_parallel({name: partial(load_shown, name, address, trust, SECONDS) for name in names}, seconds)


def load_missed(context: Context, verbs: Collection[str]) -> tuple[Missed, ...]:
    """Runs by the clock that did not happen. Raises SocleError when the schedule cannot be read."""
    now, zone = datetime.now(UTC), ZoneInfo(context.plan.timezone)
    schedule = load_schedule(context.workspace, zone, verbs, now)
    records = load_records(context.workspace.state, schedule.entries)
    # As Watch.missed, without socle.clock.watch: that imports what writes metrics, a tenth of a second.
    runs = {name: record.make_run() for name, record in records.items() if record.at}
    return make_missed(find_missed(schedule.entries, runs, now, zone), context.platform.lab)


def make_missed(missed: Sequence[Late], lab: bool) -> tuple[Missed, ...]:
    """What to tell of missed runs: one line when nothing at all runs by the clock, which a lab need not."""
    if missed and not any(one.installed for one in missed):
        if lab:
            return ()
        detail = "nothing runs by the clock on this machine"
        return (Missed(name="schedule", detail=detail, remedy="run: socle schedule install"),)
    return tuple(
        Missed(
            name=one.name,
            detail=f"it was due {one.due:%Y-%m-%d %H:%M} UTC and did not run",
            remedy=f"run: socle schedule {f'run {one.name}' if one.installed else 'install'}",
        )
        for one in missed
    )


def _open(context: Context) -> IncusClient:
    return open_client(context.platform.incus, context.workspace.state, context.workspace.project)


def _load_use(client: IncusClient, name: str) -> tuple[int, int]:
    usage: Mapping[str, Any] = client.get_volume_state(name).get("usage") or {}
    return int(usage["used"]), int(usage.get("total") or 0)


def _find_edge_unknown(certificates: Mapping[str, Any] | None) -> list[Unknown]:
    """One line for the edge when it answered for no name."""
    reasons = [_explain(value) for _, value in _lost(certificates)]
    return [Unknown(source=_ALL, reason=reasons[0])] if reasons else []


def _lost(values: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in (values or {}).items() if _is_lost(value)]


def _is_lost(value: Any) -> bool:
    return isinstance(value, Exception)


def _explain(error: Any) -> str:
    return " ".join(str(error).split()) or type(error).__name__
