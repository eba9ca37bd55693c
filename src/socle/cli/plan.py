"""socle plan: what would change, across all stages."""

from __future__ import annotations

from dataclasses import replace

import click

from socle.cli.common import Session, verb
from socle.errors import Exit
from socle.stages.base import Change, Context
from socle.stages.order import STAGES


def load_changes(context: Context, only: tuple[str, ...] = ()) -> list[Change]:
    """What `apply` would do, stage after stage (`only` these, or all).

    Hosts that do not exist yet are not asked anything: so `hosts` is read even when it is not asked for.
    """
    changes: list[Change] = []
    for stage in STAGES:
        shown = not only or stage.name in only
        if not shown and stage.name != "hosts":
            continue
        with context.talk.step(f"reading {stage.name}"):
            found = stage.preview(context)
        absent = {c.name for c in found if c.kind == "host" and c.action in ("create", "replace")}
        context = replace(context, absent=context.absent | absent)
        changes += found if shown else []
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
        if context.plan.sites and not context.secrets.has_escrow():
            session.talk.say("Only this machine's key can read the secrets: socle secrets escrow makes another.")
        if changes:
            session.next("socle apply")
        return Exit.PENDING if changes else Exit.DONE
