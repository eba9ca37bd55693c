"""The difference between what a host has and what it should have. Pure: what was read in, what to do out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from socle.model.plan import Plan
from socle.planning.make_plan import SITES
from socle.sites.desired import Wanted
from socle.sites.resources import is_data
from socle.stages.base import Action, Change

_NAMES = {"shared": "file", "grant": "database user", "mount": "volume"}


@dataclass(frozen=True)
class Seen:
    """What the agent read of one site. `state` is None when its stamp was trusted; `note` is for people; `bare`: its
    volume is not the one that it had, and empty."""

    keys: tuple[str, ...] = ()
    stamp: str = ""
    pending: tuple[str, ...] = ()
    state: Mapping[str, Any] | None = None
    note: str = ""
    bare: bool = False


@dataclass(frozen=True)
class SiteDifference:
    """What to do for one site on one host. `bare`: as seen; `held`: it waits for its restore, and its volume is not
    taken for the one that it should have."""

    site: str
    changes: tuple[Change, ...]
    make: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    remove: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    stamp: str = ""
    bare: bool = False
    held: bool = False

    @property
    def gone(self) -> bool:
        """Whether nothing declares the site on this host any more."""
        return not self.keys

    def payload(self) -> dict[str, Any]:
        """What the agent is told."""
        return {
            "make": self.make,
            "remove": self.remove,
            "keys": self.keys,
            "mounts": self.mounts,
            "stamp": self.stamp,
            "held": self.held,
        }


def parse_seen(answer: Mapping[str, Any]) -> dict[str, Seen]:
    """The agent's answer to `read`, by site."""
    return {
        site: Seen(
            tuple(data["keys"]), data["stamp"], tuple(data["pending"]), data["state"], data["note"], data["bare"]
        )
        for site, data in answer["sites"].items()
    }


def make_difference(
    wanted: Mapping[str, Wanted], seen: Mapping[str, Seen], associations: Mapping[str, str]
) -> tuple[SiteDifference, ...]:
    """What to do on a host, for each site that is not as it should be; none when all is.

    `associations` names those of sites that are wanted no more.
    """
    found = [_differ(site, seen.get(site.site, Seen())) for site in wanted.values()]
    gone = [_differ_gone(site, associations.get(site, ""), data) for site, data in seen.items() if site not in wanted]
    return tuple(difference for difference in (*gone, *found) if difference is not None)


def _differ(wanted: Wanted, seen: Seen) -> SiteDifference | None:
    removed = _removed(wanted.site, seen.keys, wanted.keys)
    if seen.state is None and seen.keys:
        return None
    state = seen.state or {}
    actions = dict(_compare(wanted, seen, state))
    changes = [_change(action, key, wanted.association) for key, action in actions.items()]
    changes += [_change("delete", key, wanted.association) for key in removed]
    if not changes and seen.stamp == wanted.stamp:
        return None
    if not changes:  # a run was killed between the last change and its record
        changes = [
            Change(stage="sites", action="update", kind="stamp", name=wanted.site, association=wanted.association)
        ]
    return SiteDifference(
        site=wanted.site,
        changes=tuple(changes),
        make=tuple(wire for wire in wanted.wires if wire["key"] in actions),
        remove=removed,
        keys=wanted.keys,
        mounts=wanted.mounts,
        stamp=wanted.stamp,
        bare=seen.bare,
    )


def _compare(wanted: Wanted, seen: Seen, state: Mapping[str, Any]) -> Iterator[tuple[str, Action]]:
    changed = {wire["key"] for wire in wanted.wires if state.get(wire["key"]) != wire["expected"]}
    # What is there but in no index is for the agent to judge: adopted, or refused as not ours.
    changed |= {key for key in wanted.keys if key not in seen.keys and not key.startswith("mount:")}
    for wire in wanted.wires:
        key = wire["key"]
        if key in changed:
            yield key, "create" if state.get(key) is None else "update"
        elif wire.get("reload") in seen.pending or changed & set(wire.get("watches", ())):
            yield key, "update"


def _differ_gone(site: str, association: str, seen: Seen) -> SiteDifference | None:
    removed = _removed(site, seen.keys, ())
    if not removed:
        return None
    changes = tuple(
        _change("stop" if key.startswith("unit:") else "delete", key, association) for key in reversed(removed)
    )
    return SiteDifference(site=site, changes=changes, remove=removed)


def _removed(site: str, before: tuple[str, ...], after: tuple[str, ...]) -> tuple[str, ...]:
    """Keys of ours that nothing explains any more, except data."""
    explained = set(after)
    return tuple(key for key in before if key not in explained and not is_data(key, f"{SITES}/{site}"))


def _change(action: Action, key: str, association: str) -> Change:
    kind, _, name = key.partition(":")
    if kind == "step":
        name = name.partition(":")[0]
    return Change(stage="sites", action=action, kind=_NAMES.get(kind, kind), name=name, association=association)


def make_associations(plan: Plan) -> dict[str, str]:
    """The association of every site the plan knows, orphans included."""
    sites = {site.name: site.association for site in plan.sites}
    return sites | {orphan.name: orphan.association for orphan in plan.orphans}
