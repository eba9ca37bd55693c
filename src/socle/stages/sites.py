"""The sites stage: what exists because of associations, by difference.

Per host, one round trip reads the state of all sites, one applies what differs. A site whose stamp is what
is wanted is not read at all, unless the run is full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from socle.errors import PartlyDone, SocleError
from socle.model.plan import Site
from socle.remote import Remote, connected
from socle.sites.desired import Desired, make_desired
from socle.sites.difference import Seen, SiteDifference, make_associations, make_difference, parse_seen
from socle.sites.exchange import Payload, run_apply, run_read
from socle.sites.waiting import hold, load_held
from socle.ssh import load_addresses
from socle.stages.base import Change, Context, StageName

Differences = Mapping[str, tuple[SiteDifference, ...]]
_FRONT = "edge"
BATCH = 20


class SitesStage:
    """Makes, mends and removes the sites of the plan on their hosts."""

    name: StageName = "sites"

    def preview(self, context: Context) -> Sequence[Change]:
        """What `apply` would do. Hosts that do not exist yet have nothing. Raises Unreachable."""
        desired = load_desired(context)
        known = load_addresses(context.workspace.ssh).keys() - context.absent
        there = [name for name in desired if name in known]
        differences = {name: make_difference(desired[name], {}, {}) for name in desired.keys() - set(there)}
        if there:
            with connected(context.workspace, there, context.talk) as state:
                differences |= load_differences(context, state, desired, there)
        return [change for name in desired for site in differences[name] for change in site.changes]

    def apply(self, context: Context) -> Sequence[Change]:
        """Do it. Raises PartlyDone naming each site that failed, when all the others are done."""
        desired = load_desired(context)
        if not desired:
            return []
        with connected(context.workspace, list(desired), context.talk) as state:
            differences = load_differences(context, state, desired, list(desired))
            run = _Run(context, state, find_waiting(context), load_held(context, differences))
            for wave in make_waves(context, differences):
                run.wave(wave)
        if run.errors:
            raise PartlyDone("\n".join(run.errors), "the other sites are done; mend and run again", changes=run.done)
        return run.done


def load_desired(context: Context) -> Desired:
    """What should exist on each host, but for those that failed."""
    plan = context.plan
    secrets = {site.name: {**context.secrets.site(site), **_load_repository(context, site)} for site in plan.sites}
    desired = make_desired(plan, context.catalogue, secrets)
    return {host: wanted for host, wanted in desired.items() if host not in context.failed}


def _load_repository(context: Context, site: Site) -> dict[str, str]:
    """What a site is saved with, as secrets of it; none when it has no repository."""
    if context.plan.repository(site.association) is None:
        return {}
    return {f"repository_{name}": value for name, value in context.secrets.repository(site.association).items()}


def find_waiting(context: Context) -> set[str]:
    """Sites whose own host failed: what leads to them waits until it could be worked on."""
    return {site.name for site in context.plan.sites if site.host in context.failed}


def load_differences(
    context: Context, state: Remote, desired: Desired, hosts: Sequence[str]
) -> dict[str, tuple[SiteDifference, ...]]:
    """What differs on each of `hosts`, by one round trip to each."""
    payloads = {host: Payload(make_read(desired, host, context.full)) for host in hosts}
    answers = run_read(state, payloads)
    associations = make_associations(context.plan)
    seen = {host: parse_seen(answers[host]) for host in hosts}
    for note in make_notes(seen):
        context.talk.say(f"  {note}")
    return {host: make_difference(desired[host], seen[host], associations) for host in hosts}


def make_notes(seen: Mapping[str, Mapping[str, Seen]]) -> Iterator[str]:
    """What people should know of what was found, whatever is done about it."""
    for host, sites in seen.items():
        yield from (f"{site} on {host}: {found.note}" for site, found in sites.items() if found.note)


def make_read(desired: Desired, host: str, full: bool) -> dict[str, Any]:
    """What to ask the agent of a host."""
    sites = {name: {"stamp": site.stamp, "keys": site.keys} for name, site in desired[host].items()}
    return {"mode": "read", "full": full, "sites": sites}


def make_waves(context: Context, differences: Differences) -> Iterator[dict[str, tuple[SiteDifference, ...]]]:
    """What is done at once, in order: what leads to a removed site is taken away first, what leads to a new
    one comes last, when it works."""
    front = {host.name for host in context.plan.role(_FRONT) if host.name in differences}
    gone = {host: tuple(site for site in differences[host] if site.gone) for host in front}
    behind = {host: sites for host, sites in differences.items() if host not in front}
    kept = {host: tuple(site for site in differences[host] if not site.gone) for host in front}
    for wave in (gone, behind, kept):
        yield {host: sites for host, sites in wave.items() if sites}


def make_batches(sites: Sequence[SiteDifference]) -> list[tuple[SiteDifference, ...]]:
    """What one round trip does: an installation takes seconds, all else next to nothing. So new sites go a few
    at a time: people see how far it is, and no answer takes so long that it passes for none."""
    new = [site for site in sites if any(wire["key"].startswith("step:") for wire in site.make)]
    names = {site.site for site in new}
    others = tuple(site for site in sites if site.site not in names)
    batches = [tuple(new[start : start + BATCH]) for start in range(0, len(new), BATCH)]
    return [others, *batches] if others else batches


class _Run:
    """The waves of one run: what was done, and which sites failed so far."""

    def __init__(
        self, context: Context, state: Remote, waiting: Iterable[str] = (), held: Mapping[str, str] | None = None
    ) -> None:
        self._context, self._state = context, state
        self._held = held or {}
        self._failed = set(waiting)
        self.done: list[Change] = []
        self.errors: list[str] = []

    def wave(self, wave: Differences) -> None:
        """Apply to several hosts at once. A site that failed before is left as it is."""
        todo = {
            host: tuple(hold(site) if site.site in self._held else site for site in sites if self._is_due(site))
            for host, sites in wave.items()
        }
        left = {host: make_batches(sites) for host, sites in todo.items() if sites}
        while left:
            batch = {host: batches.pop(0) for host, batches in left.items()}
            answers = run_apply(self._state, {host: Payload(make_apply(sites)) for host, sites in batch.items()})
            for host, answer in answers.items():
                if isinstance(answer, SocleError):  # the host itself: asking it again for the rest is no use
                    batch[host] = (*batch[host], *chain.from_iterable(left[host]))
                    left[host].clear()
                for site in batch[host]:
                    self._note(host, site, answer)
                if left[host]:
                    rest = sum(map(len, left[host]))
                    self._context.talk.say(f"  {host}: {len(todo[host]) - rest} of {len(todo[host])} sites")
            left = {host: batches for host, batches in left.items() if batches}

    def _is_due(self, site: SiteDifference) -> bool:
        return site.site not in self._failed

    def _note(self, host: str, site: SiteDifference, answer: Mapping[str, Any] | SocleError) -> None:
        error = str(answer) if isinstance(answer, SocleError) else answer["errors"].get(site.site)
        if error:
            self._failed.add(site.site)
            self.errors.append(f"{site.site} on {host}: {error}")
            return
        if why := self._held.get(site.site):
            self._failed.add(site.site)
            self.errors.append(f"{site.site} on {host}: {why}")
        self.done.extend(site.changes)
        for change in site.changes:
            self._context.talk.detail(f"  {host}: {change.action} {change.kind} {change.name}")


def make_apply(sites: Sequence[SiteDifference]) -> dict[str, Any]:
    """What to tell the agent of a host."""
    return {"mode": "apply", "sites": {site.site: site.payload() for site in sites}}
