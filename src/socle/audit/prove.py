"""Runs an audit: which checks, on which hosts, from what is promised to what was read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from socle.audit.answers import Answers
from socle.audit.channel import open_channel, open_local
from socle.audit.check import CONTROLLER, OUTSIDE, Check
from socle.audit.checks import CHECKS
from socle.audit.facts import make_loaders, restrict
from socle.audit.finding import Finding, Findings, Status, make_findings
from socle.audit.not_checked import load_listed
from socle.audit.rounds import Item, Line, Rounds
from socle.audit.scene import Facts, Scene
from socle.audit.store import run_keep
from socle.load.catalogue import Catalogue
from socle.model.plan import Plan
from socle.stages.base import Context


@dataclass(frozen=True)
class Choice:
    """What to look at: hosts and kinds of checks; none means all."""

    hosts: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether it is an audit of everything."""
        return not self.hosts and not self.kinds

    def takes(self, item: Item) -> bool:
        """Whether an item is among them."""
        return (not self.kinds or item.check.kind in self.kinds) and self.takes_host(item.subject.host)

    def takes_host(self, host: str) -> bool:
        """Whether what is on a host is among them."""
        return not self.hosts or host in self.hosts


ALL = Choice()


def make_checks(catalogue: Catalogue, plan: Plan) -> tuple[Check, ...]:
    """All kinds of checks: those of every platform, and those of the services that the plan has somewhere."""
    used = {name for host in plan.hosts for name in host.services} | {site.service for site in plan.sites}
    modules = (catalogue[name].module("audit") for name in sorted(used) if catalogue.find(name))
    return (*CHECKS, *(one for module in modules if module for one in getattr(module, "CHECKS", ())))


def make_items(checks: Iterable[Check], plan: Plan, choice: Choice = ALL) -> Iterator[Item]:
    """Each check of each subject. What the platform as a whole is asked is asked whatever hosts are chosen: what
    is found on others is left out afterwards."""
    for one in checks:
        for subject in one.each(plan):
            item = Item(one, subject)
            if choice.takes(item) or (subject.host == CONTROLLER and choice.takes(_anywhere(item, choice))):
                yield item


def _anywhere(item: Item, choice: Choice) -> Item:
    host = next(iter(choice.hosts), CONTROLLER)
    return Item(item.check, replace(item.subject, host=host))


def run_audit(context: Context, choice: Choice = ALL) -> Findings:
    """Look at everything that `choice` takes, and say what was found. Nothing is changed anywhere but in the state
    folder, where the result of a whole audit is kept. What is out of reach is a finding, not an error."""
    now = time.time()
    if choice.hosts:
        context = restrict(context, choice.hosts)
    scene = make_scene(context, now)
    rounds = Rounds(scene, make_lines(context), load_listed())
    found = rounds.run(make_items(make_checks(context.catalogue, context.plan), context.plan, choice))
    findings = make_findings(_keep(found, choice))
    if choice.whole:
        run_keep(context.workspace.state, findings, now)
    return findings


def _keep(found: Iterable[Finding], choice: Choice) -> list[Finding]:
    """Those on the chosen hosts; what is nowhere in particular only when all are looked at, or when it failed."""
    return [one for one in found if choice.takes_host(one.host) or _failed_nowhere(one)]


def _failed_nowhere(one: Finding) -> bool:
    """Whether the platform as a whole is not as promised: it may be why a host looks good."""
    return one.host == CONTROLLER and one.status is Status.FAILED


def make_scene(context: Context, now: float, loaders: Mapping[str, Callable[[], Any]] | None = None) -> Scene:
    """The scene of an audit in which nothing is known yet."""
    names = [*(host.name for host in context.plan.hosts), OUTSIDE]
    return Scene(
        plan=context.plan,
        platform=context.platform,
        catalogue=context.catalogue,
        workspace=context.workspace,
        now=now,
        backends={name: Answers(name) for name in names},
        facts=Facts(make_loaders(context) if loaders is None else loaders),
    )


def make_lines(context: Context) -> dict[str, Line]:
    """A connection to each host. `outside` is a host of the lab, elsewhere this machine."""
    open_host = partial(open_channel, context.workspace)
    lines: dict[str, Line] = {host.name: open_host(host.name) for host in context.plan.hosts}
    return {**lines, OUTSIDE: open_host(OUTSIDE) if context.platform.lab else open_local()}
