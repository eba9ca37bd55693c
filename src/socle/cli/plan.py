"""socle plan: what would change, across all stages."""

from __future__ import annotations

from dataclasses import replace

import click

from socle.cli.common import Session, verb
from socle.errors import Exit
from socle.stages.base import Change, Context
from socle.stages.order import STAGES


def load_changes(context: Context) -> list[Change]:
    """What `apply` would do, stage after stage. Hosts that do not exist yet are not asked anything."""
    changes: list[Change] = []
    for stage in STAGES:
        with context.talk.step(f"reading {stage.name}"):
            changes += stage.preview(context)
        absent = {c.name for c in changes if c.kind == "host" and c.action in ("create", "replace")}
        context = replace(context, absent=frozenset(absent))
    return changes


def register(group: click.Group) -> None:
    """Add the verb."""

    @verb(group, "plan", example="socle plan --json", codes=(Exit.REFUSED, Exit.UNREACHABLE, Exit.PENDING))
    @click.option("--full", is_flag=True, help="Trust no stamp: read every resource.")
    def plan(session: Session, full: bool) -> Exit:
        """Show what would change across hosts, baseline, services and sites. Changes nothing."""
        context = session.context(full)
        changes = load_changes(context)
        session.show_changes(changes)
        for association in context.plan.waiting:
            session.talk.say(f"{association}: its request is not accepted yet (socle request accept {association})")
        for orphan in context.plan.orphans:
            session.talk.say(f"{orphan.name}: orphan of {orphan.association}: stopped, its data is kept")
        if changes:
            session.next("socle apply")
        return Exit.PENDING if changes else Exit.DONE
