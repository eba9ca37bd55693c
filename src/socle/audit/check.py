"""What a check is, and how it says what it found.

    @check("mounts", each=volumes, remedy="start the host again")
    def is_mounted(scene: Scene, volume: Volume) -> str:
        "Each volume is mounted where the plan says."
        mount = scene.on(volume.host).mount_point(volume.path)
        expect(mount.exists, f"nothing is mounted at {volume.path}")
        return f"{mount.device} at {volume.path}"

It returns what it read. `expect` fails it; `NotChecked` says which capability is missing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from socle.model.plan import Host, Plan, Site, Volume

if TYPE_CHECKING:
    from socle.audit.scene import Scene

T = TypeVar("T")

CONTROLLER = "controller"
OUTSIDE = "outside"


@dataclass(frozen=True)
class Subject:
    """What a check looks at: where it is, how it is called (empty: the host itself), and the thing."""

    host: str
    label: str
    thing: Any


class Failed(Exception):
    """Not as promised: what was read instead."""


class NotChecked(Exception):
    """It cannot be checked here: the missing capability, as the committed list names it, and what was seen."""

    def __init__(self, capability: str, seen: str) -> None:
        self.capability = capability
        super().__init__(seen)


class Found(Exception):
    """Things that a check found and no plan names: each is a finding of its own, and failed."""

    def __init__(self, things: Iterable[tuple[str, str, str]]) -> None:
        self.things = tuple(things)
        """(host, label, evidence)"""
        super().__init__(f"{len(self.things)} things")


def expect(condition: object, evidence: str) -> None:
    """Fail the check with this evidence unless the condition holds. Not `assert`: `python -O` leaves that out."""
    if not condition:
        raise Failed(evidence)


@dataclass(frozen=True)
class Check:
    """A kind of check."""

    kind: str
    promise: str
    """What it proves, in a sentence."""
    remedy: str
    each: Callable[[Plan], Iterable[Subject]]
    judge: Callable[[Scene, Any], str]


def check(
    kind: str, each: Callable[[Plan], Iterable[Subject]], remedy: str
) -> Callable[[Callable[[Scene, T], str]], Check]:
    """Declare a check, for each subject of the plan."""

    def declare(judge: Callable[[Scene, T], str]) -> Check:
        promise = (judge.__doc__ or "").strip().splitlines()[0]
        return Check(kind=kind, promise=promise, remedy=remedy, each=each, judge=judge)

    return declare


def hosts(plan: Plan) -> Iterator[Subject]:
    """Each host."""
    return (Subject(host.name, "", host) for host in plan.hosts)


def platform(plan: Plan) -> Iterator[Subject]:
    """The platform as a whole, once."""
    yield Subject(CONTROLLER, "", plan)


def sites(plan: Plan) -> Iterator[Subject]:
    """Each site, on its host."""
    return (Subject(site.host, site.name, site) for site in plan.sites)


def volumes(plan: Plan) -> Iterator[Subject]:
    """Each volume with a quota, on its host."""
    return (Subject(volume.host, volume.name, volume) for volume in plan.volumes)


def sites_of(service: str) -> Callable[[Plan], Iterator[Subject]]:
    """Each site of a service."""

    def each(plan: Plan) -> Iterator[Subject]:
        return (subject for subject in sites(plan) if subject.thing.service == service)

    return each


def hosts_with(service: str) -> Callable[[Plan], Iterator[Subject]]:
    """Each host on which a service is installed."""

    def each(plan: Plan) -> Iterator[Subject]:
        return (subject for subject in hosts(plan) if service in subject.thing.services)

    return each


__all__ = ["CONTROLLER", "OUTSIDE", "Check", "Failed", "Found", "Host", "NotChecked", "Site", "Subject", "Volume"]
