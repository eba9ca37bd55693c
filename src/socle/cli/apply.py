"""socle apply: make it so, stage after stage."""

from __future__ import annotations

import click

from socle.cli.common import Session, verb
from socle.cli.plan import load_changes
from socle.errors import Exit
from socle.runs.journal import recorded
from socle.stages.base import Change, Context
from socle.stages.order import STAGES


def run_apply(context: Context, only: tuple[str, ...] = ()) -> list[Change]:
    """Run the stages (`only` these, or all) and record the run in the journal. Returns what was changed.

    The caller holds the environment's lock.
    """
    workspace = context.workspace
    changes: list[Change] = []
    with recorded(workspace.state, workspace.root, "apply", context.plan.digest()) as entry:
        for site in context.plan.sites:
            declared = context.catalogue[site.service].service.secrets
            context.secrets.run_ensure(site.association, site.name, declared)
        for stage in STAGES:
            if not only or stage.name in only:
                with context.talk.step(stage.name):
                    changes += stage.apply(context)
                entry.changes = len(changes)
    return changes


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
            changes = load_changes(session.context(full), stages)
        else:
            with session.locked("apply"):
                changes = run_apply(session.context(full), stages)
        session.show_changes(changes)
        session.next("socle plan")
        return Exit.DONE
