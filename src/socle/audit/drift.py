"""What differs from the plan, resource by resource, with the host it is on: the stages' own previews."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from socle.incus.registry import NOUNS
from socle.model.plan import Plan
from socle.remote import connected
from socle.runs.talk import Talk
from socle.sites.desired import Wanted
from socle.sites.difference import Seen, make_associations, make_difference, parse_seen
from socle.sites.exchange import Payload, run_read
from socle.stages.base import Change, Context
from socle.stages.baseline import BaselineStage
from socle.stages.hosts import HostsStage
from socle.stages.hosts_context import opened
from socle.stages.hosts_resources import find_host
from socle.stages.order import STAGES
from socle.stages.sites import load_desired, make_read

_ELSEWHERE = frozenset({"Volume", "RecordSet"})
"""Types whose every difference has a check of its own: `quota`, `dns`."""
_READ_HERE = frozenset({"hosts", "baseline", "sites"})
"""Stages whose differences are read more closely than their previews do. Changes of the others are named
`<host>/<thing>`."""
_KINDS = {"shared": "file", "grant": "database user", "mount": "volume"}
_SECRET = {"digest": "content", "hash": "password"}
_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.+?)\]")
_CHANGED = re.compile(r"^changed: \[(\S+?)\]")


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the plan says."""

    host: str
    label: str
    evidence: str


def load_drift(context: Context) -> tuple[int, list[Difference]]:
    """How many resources were compared, and those that differ, on `context.hosts`. Raises SocleError.

    What the baseline put on hosts is read by checks of its own. `context.full`: Ansible's check mode looks too,
    which takes as long as all the rest of an audit.
    """
    baseline = replace(context, talk=Talk(quiet=True))
    quiet = replace(baseline, full=True)
    count, found = _load_hosts(quiet)
    more, differences = _load_sites(quiet)
    found += differences
    found += _load_baseline(baseline)
    for stage in STAGES:
        if stage.name not in _READ_HERE:
            changes = stage.preview(quiet)
            found += [_make(one, one.name.partition("/")[0], f"{one.action}: not as it should be") for one in changes]
    return count + more, found


def _make(change: Change, host: str, evidence: str) -> Difference:
    return Difference(host, f"{change.kind} {change.name}", f"{change.stage}: {evidence}")


def _load_hosts(context: Context) -> tuple[int, list[Difference]]:
    """What Incus has, against what is wanted of it."""
    found, count = [], 0
    with opened(context, HostsStage().image) as run:
        for stack, resources in run.stacks.items():
            host = find_host(stack)
            if host and host in context.failed:
                continue
            for one in resources:
                if one.type not in _ELSEWHERE:
                    count += 1
                    if run.survey.has_drifted([one]):
                        label = f"{NOUNS[one.type]} {one.name}".replace("/", " ")
                        found.append(Difference(host, label, "hosts: Incus does not have it as planned"))
    return count, found


def _load_baseline(context: Context) -> list[Difference]:
    """Hosts whose stamp is not current; with `full`, what Ansible's check mode would change, by its own output."""
    changes = BaselineStage().preview(context)
    tasks = (
        parse_tasks((context.workspace.logs / "baseline.log").read_text(errors="replace"))
        if changes and context.full
        else {}
    )
    return [
        _make(change, change.name, "; ".join(tasks.get(change.name, ["not applied as it is now"])))
        for change in changes
    ]


def parse_tasks(text: str) -> dict[str, list[str]]:
    """The tasks that would change something, by host, of ansible-playbook's output."""
    tasks: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        if match := _TASK.match(line):
            title = match[1]
        elif match := _CHANGED.match(line):
            tasks.setdefault(match[1], []).append(title)
    return tasks


def _load_sites(context: Context) -> tuple[int, list[Difference]]:
    """What sites have on each host, against what is wanted: one round trip to each."""
    desired = load_desired(context)
    names = list(desired)
    if not names:
        return 0, []
    payloads = {host: Payload(make_read(desired, host, full=True)) for host in names}
    with connected(context.workspace, names) as remote:
        answers = run_read(remote, payloads)
    found: list[Difference] = []
    for host in names:
        found += find_site_differences(host, desired[host], parse_seen(answers[host]), context.plan)
    return sum(len(site.wires) for wanted in desired.values() for site in wanted.values()), found


def find_site_differences(
    host: str, wanted: Mapping[str, Wanted], seen: Mapping[str, Seen], plan: Plan
) -> Iterator[Difference]:
    """What is not as wanted on a host, and what nothing explains any more. What would be done again because of
    something else (a unit whose file changed) differs in nothing, and is not among them."""
    for site in wanted.values():
        state = (seen[site.site].state if site.site in seen else None) or {}
        for wire in site.wires:
            if problem := describe_difference(state.get(wire["key"]), wire["expected"]):
                yield Difference(host, make_label(wire["key"]), f"{problem}, for {site.site}")
    for difference in make_difference(wanted, seen, make_associations(plan)):
        for key in difference.remove:
            yield Difference(host, make_label(key), f"nothing declares it any more, for {difference.site}")


def make_label(key: str) -> str:
    """A resource's kind and name, in words."""
    kind, _, name = key.partition(":")
    return f"{_KINDS.get(kind, kind)} {name.partition(':')[0] if kind == 'step' else name}"


def describe_difference(state: Mapping[str, Any] | None, expected: Mapping[str, Any]) -> str:
    """How a resource differs, without any value that is a secret; empty when it does not."""
    if state == expected:
        return ""
    if state is None:
        return "it is not there"
    if "unreadable" in state:
        return f"not checked: {state['unreadable']}"
    return "; ".join(_describe_value(key, state.get(key), expected.get(key)) for key in _find_keys(state, expected))


def _find_keys(state: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {*state, *expected} if state.get(key) != expected.get(key))


def _describe_value(key: str, value: object, expected: object) -> str:
    if key in _SECRET:
        return f"its {_SECRET[key]} is another"
    if key == "mode" and isinstance(value, int) and isinstance(expected, int):
        return f"mode {value:04o}, expected {expected:04o}"
    return f"{key} {value}, expected {expected}"
