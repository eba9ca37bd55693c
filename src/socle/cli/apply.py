"""socle apply: make it so, stage after stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import click

from socle.authority import run_ensure_certificate
from socle.cli.common import Session, verb
from socle.cli.plan import load_changes
from socle.errors import Exit, PartlyDone, SocleError, Unreachable, make_exit
from socle.remote import load_lost
from socle.runs.journal import recorded
from socle.stages.base import Change, Context, Stage
from socle.stages.order import STAGES


def run_apply(context: Context, only: tuple[str, ...] = ()) -> list[Change]:
    """Run the stages (`only` these, or all) and record the run in the journal. Returns what was changed.

    What fails on one host does not stop the others: it is raised at the end, as PartlyDone with what was changed.
    The caller holds the environment's lock.
    """
    workspace = context.workspace
    changes: list[Change] = []
    with recorded(workspace.state, workspace.root, "apply", context.plan.digest()) as entry:
        for site in context.plan.sites:
            declared = context.catalogue[site.service].service.secrets
            context.secrets.run_ensure(site.association, site.name, declared)
        for repository in context.plan.repositories:
            context.secrets.run_ensure_repository(repository.name)
            run_ensure_certificate(workspace, repository.host, context.plan.host(repository.host).address)
        failures: list[SocleError] = []
        for stage in STAGES:
            if only and stage.name not in only:
                continue
            try:
                context = _leave_lost(context, stage, failures)
                with context.talk.step(stage.name):
                    changes += stage.apply(context)
            except PartlyDone as error:
                changes += error.changes
                failures.append(error)
                context = replace(context, failed=context.failed | error.hosts)
            except SocleError as error:
                failures.append(error)
                break
            finally:
                entry.changes = len(changes)
        _raise_failures(failures, changes)
    return changes


def _leave_lost(context: Context, stage: Stage, failures: list[SocleError]) -> Context:
    """The context without the hosts that do not answer, so that they do not hold up the others. Only the first
    stage works without the hosts themselves. Raises Unreachable when none answers."""
    names = [host.name for host in context.hosts]
    if stage.name == "hosts" or not names:
        return context
    lost = load_lost(context.workspace, names)
    if lost:
        error = Unreachable("\n".join(lost.values()), "the other hosts are done; is it running? see: socle lab status")
        if len(lost) == len(names):
            raise error
        failures.append(error)
    return replace(context, failed=context.failed | lost.keys())


def _raise_failures(failures: Sequence[SocleError], changes: Sequence[Change]) -> None:
    if not failures:
        return
    if len(failures) == 1 and not changes and not isinstance(failures[0], PartlyDone):
        raise failures[0]
    code = make_exit(failures, partly=bool(changes))
    raise PartlyDone("\n".join(map(str, failures)), changes=changes, exit_code=code)


def run_shown(session: Session, context: Context, only: tuple[str, ...] = ()) -> None:
    """`run_apply`, and what was changed on stdout, also when only part of it was done."""
    try:
        changes = run_apply(context, only)
    except PartlyDone as error:
        session.show_changes(error.changes)
        raise
    session.show_changes(changes)


def register(group: click.Group) -> None:
    """Add the verb."""

    @verb(group, "apply", example="socle apply --dry-run", codes=(Exit.PARTIAL, Exit.REFUSED, Exit.UNREACHABLE))
    @click.option("--full", is_flag=True, help="Trust no stamp: read every resource, mend what was changed by hand.")
    @click.option("--dry-run", is_flag=True, help="Show what would be done, as `socle plan` does.")
    @click.option(
        "--stage", "stages", multiple=True, type=click.Choice([s.name for s in STAGES]), help="Only this stage."
    )
    def apply(session: Session, full: bool, dry_run: bool, stages: tuple[str, ...]) -> Exit:
        """Make hosts, baseline, services and sites what the requests say. Safe to run again at any time."""
        if dry_run:
            session.show_changes(load_changes(session.context(full), stages))
        else:
            with session.locked("apply"):
                run_shown(session, session.context(full), stages)
        session.next("socle plan")
        return Exit.DONE
