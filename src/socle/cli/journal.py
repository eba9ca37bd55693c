"""socle journal: who changed what, and how it ended."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from socle.cli.common import Session, verb
from socle.errors import Exit
from socle.runs.journal import load_journal


def register(group: click.Group) -> None:
    """Add the verb."""

    @verb(group, "journal", example="socle journal --last 5")
    @click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many lines.")
    def journal(session: Session, last: int) -> Exit:
        """Show the runs that changed something: who, when, from which commit and plan, and the result."""
        events = list(load_journal(session.workspace.state))[-last:]

        def render() -> Table:
            table = Table("at", "run", "event", "what", box=None, pad_edge=False)
            for event in events:
                keys = ("who", "command", "commit", "dirty", "plan", "result", "exit", "changes")
                what = " ".join(f"{key}={str(event[key])[:16]}" for key in keys if key in event)
                table.add_row(*map(Text, (event["at"], event["run"], event["event"], what)))
            return table

        session.show(events, render)
        return Exit.DONE
