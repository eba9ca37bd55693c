"""What differs from the plan, resource by resource, with the host it is on: the stages' own previews."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from socle.incus.registry import NOUNS
from socle.remote import connected
from socle.runs.talk import Talk
from socle.stages.base import Change, Context
from socle.stages.baseline import BaselineStage
from socle.stages.hosts import HostsStage
from socle.stages.hosts_context import opened
from socle.stages.hosts_resources import find_host
from socle.stages.order import STAGES
from socle.stages.sites import Differences, load_desired, load_differences

_ELSEWHERE = frozenset({"Volume", "RecordSet"})
"""Types whose every difference has a check of its own: `quota`, `dns`."""
_READ_HERE = frozenset({"hosts", "baseline", "sites"})
"""Stages whose differences are read more closely than their previews do. Changes of the others are named
`<host>/<thing>`."""
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
    """What sites have on each host, against what is wanted."""
    desired = load_desired(context)
    count = sum(len(site.wires) for wanted in desired.values() for site in wanted.values())
    names = list(desired)
    with connected(context.workspace, names) as state:
        differences = load_differences(context, state, desired, names)
    return count, list(_make_differences(differences))


def _make_differences(differences: Differences) -> Iterator[Difference]:
    for host, found in differences.items():
        for site in found:
            for change in site.changes:
                yield _make(change, host, f"{change.action}, for {site.site}")
