"""The hosts stage: networks, hosts, volumes and DNS records, by Pulumi.

A stack is left alone when it was made from the same inputs by the same programs, and everything of it is
there as wanted: that is seen from one list call per kind, without starting Pulumi. `--full` starts it anyway.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from socle.errors import PartlyDone, Problem, Refused, SocleError, make_exit
from socle.files import run_write
from socle.incus.quotas import run_quotas
from socle.incus.registry import NOUNS
from socle.lab.image import make_recipe
from socle.stages.base import Action, Change, Context, StageName
from socle.stages.hosts_context import Run, opened, run_ensure_project, run_write_files
from socle.stages.hosts_pulumi import Step
from socle.stages.hosts_resources import NETWORKS, RECORDS, find_host, make_digest

_PARALLEL = 3
_ACTIONS: dict[str, Action] = {
    "create": "create",
    "import": "create",
    "update": "update",
    "replace": "replace",
    "delete": "delete",
}


class HostsStage:
    """Hosts and what they stand on. `image`: alias of the image that new hosts are made from."""

    name: StageName = "hosts"

    def __init__(self, image: str | None = None) -> None:
        self.image = image or os.environ.get("SOCLE_IMAGE") or make_recipe().alias

    def preview(self, context: Context) -> Sequence[Change]:
        """What `apply` would do. Raises Refused, Unreachable, or what Pulumi said."""
        with opened(context, self.image) as run:
            failures = _check(run)
            if failures:
                raise failures[RECORDS]
            pending = _find_pending(run, failures)
            changes = _preview_stacks(run, pending) if pending else []
            for name in run.survey.find_orphans([host.name for host in context.plan.hosts], running=False):
                context.talk.say(f"  host {name}: no longer in the plan; stopped, its data is kept")
            return [*changes, *_make_stops(run)]

    def apply(self, context: Context) -> Sequence[Change]:
        """Do it. Raises Refused before any change; PartlyDone when some stacks failed and others did not."""
        with opened(context, self.image) as run:
            run_write_files(context, run.settings)
            run_ensure_project(run.client, context.plan.environment)
            if run_quotas(context.platform.incus.pool):
                context.talk.say("  The pool had stopped counting what volumes take: it enforces quotas again.")
            failures = _check(run)
            pending = _find_pending(run, failures)
            changes = _run_stacks(run, pending, failures) if pending else []
            changes += _run_stops(run)
            _raise_failures(failures, changes, partly=bool(changes) or len(failures) < len(pending))
            return changes


# Before Pulumi.


def _check(run: Run) -> dict[str, SocleError]:
    """Raises Refused with all that must not be done. What is out of reach (the DNS server) is returned: it
    stops its own stack only."""
    problems: list[Problem] = []
    failures: dict[str, SocleError] = {}
    for stack, wanted in run.stacks.items():
        try:
            problems += run.survey.find_refusals(wanted)
        except SocleError as error:
            if stack != RECORDS:
                raise
            failures[stack] = error
    if problems:
        raise Refused(problems)
    return failures


def _find_pending(run: Run, failures: dict[str, SocleError]) -> list[str]:
    return [stack for stack in run.stacks if stack not in failures and not _is_unchanged(run, stack)]


def _is_unchanged(run: Run, stack: str) -> bool:
    """Whether nothing is to do: the last success had the same inputs, and all is still there as wanted."""
    wanted = run.stacks[stack]
    known = stack in run.runner.names()
    if not wanted and not known:
        return True
    stamp = _stamp(run, stack)
    same = stamp.is_file() and stamp.read_text() == _make_stamp(run, stack)
    return same and known and not run.context.full and not run.survey.has_drifted(wanted)


def _stamp(run: Run, stack: str) -> Path:
    return run.runner.home / "stamps" / stack


def _make_stamp(run: Run, stack: str) -> str:
    return make_digest(run.stacks[stack], run.settings.provider, run.code)


# Pulumi.


def _preview_stacks(run: Run, pending: list[str]) -> list[Change]:
    with run.runner.copied() as runner, ThreadPoolExecutor(_PARALLEL) as pool:
        copy = replace(run, runner=runner)
        return [change for done in pool.map(lambda stack: _run_preview(copy, stack), pending) for change in done]


def _run_preview(run: Run, stack: str) -> list[Change]:
    program = run.runner.load_program().make_program(run.context.plan, run.settings, stack)
    return make_changes(run, run.runner.run_preview(stack, program))


def _run_stacks(run: Run, pending: list[str], failures: dict[str, SocleError]) -> list[Change]:
    """Networks first, since hosts stand on them; then all others at once."""
    run.runner.run_prepare()
    first = [stack for stack in pending if stack == NETWORKS]
    rest = [stack for stack in pending if stack != NETWORKS]
    changes = []
    for group in (first, rest):
        if not group or NETWORKS in failures:
            continue
        with run.context.talk.step(f"Hosts: {', '.join(group)}"), ThreadPoolExecutor(_PARALLEL) as pool:
            for done in pool.map(lambda stack: _run_stack(run, stack, failures), group):
                changes += done
    return changes


def _run_stack(run: Run, stack: str, failures: dict[str, SocleError]) -> list[Change]:
    stamp = _stamp(run, stack)
    stamp.unlink(missing_ok=True)  # A run that fails half-way leaves no stamp of an older success.
    program = run.runner.load_program().make_program(run.context.plan, run.settings, stack)
    try:
        changes = make_changes(run, run.runner.run_up(stack, program))
    except SocleError as error:
        failures[stack] = error
        return []
    run_write(stamp, _make_stamp(run, stack).encode(), 0o600)
    return changes


def make_changes(run: Run, steps: Sequence[Step]) -> list[Change]:
    """Steps of Pulumi as changes, each once. A volume that Pulumi only forgets is no change."""
    associations = {(wanted.type, wanted.name): wanted.association for stack in run.stacks.values() for wanted in stack}
    changes = []
    for operation, kind, name in dict.fromkeys(steps):
        if operation in _ACTIONS and (operation, kind) != ("delete", "Volume"):
            association = associations.get((kind, name), "")
            shown = name.replace("/", " ")
            changes.append(_make_change(_ACTIONS[operation], NOUNS[kind], shown, association))
    return changes


def _make_change(action: Action, kind: str, name: str, association: str = "") -> Change:
    return Change(stage="hosts", action=action, kind=kind, name=name, association=association)


def _raise_failures(failures: dict[str, SocleError], changes: Sequence[Change], partly: bool) -> None:
    """A failed stack of a host, or of records, leaves the other hosts usable: PartlyDone says which are not.
    Without networks there is nothing to go on with."""
    if not failures:
        return
    if NETWORKS in failures and not changes:
        raise failures[NETWORKS]
    text = "\n".join(f"{stack}: {error}" for stack, error in failures.items())
    lost = {host for host in map(find_host, failures) if host}
    remedy = "mend this and run again: what is done stays done"
    raise PartlyDone(text, remedy, changes=changes, hosts=lost, exit_code=make_exit(failures.values(), partly))


# Hosts the plan no longer has: stopped, never deleted, since they hold data.


def _make_stops(run: Run) -> list[Change]:
    names = [host.name for host in run.context.plan.hosts]
    return [_make_change("stop", "host", name) for name in run.survey.find_orphans(names)]


def _run_stops(run: Run) -> list[Change]:
    stops = _make_stops(run)
    for change in stops:
        run.client.set_state(change.name, "stop", force=False)
    return stops
