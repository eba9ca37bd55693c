"""socle adopt: take over a host or a volume that socle did not make."""

from __future__ import annotations

import click
from rich.text import Text

from socle.cli.common import Session, verb
from socle.errors import Exit
from socle.stages.hosts_destroy import run_adopt


def register(group: click.Group) -> None:
    """Add the verb."""

    @verb(group, "adopt", example="socle adopt volume wp-amis-du-lac", codes=(Exit.REFUSED, Exit.UNREACHABLE))
    @click.argument("kind", type=click.Choice(["host", "volume"]))
    @click.argument("name")
    def adopt(session: Session, kind: str, name: str) -> Exit:
        """Let the next apply take over an existing host or volume of the plan's name.

        Without this, what carries no marker of ours is never touched, and a namesake is refused.
        """
        command = f"adopt {kind} {name}"
        with session.locked(command):
            context = session.context()
            with session.recorded(command, context.plan.digest()):
                run_adopt(context, kind, name)
        session.show({"adopted": {"kind": kind, "name": name}}, lambda: Text(f"{kind} {name}"))
        session.next("socle plan", "socle apply")
        return Exit.DONE
