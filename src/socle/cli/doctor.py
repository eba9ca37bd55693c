"""socle doctor: what would get in the way, one line per problem with its remedy."""

from __future__ import annotations

import click
from rich.text import Text

from socle import doctor as checks
from socle.cli.common import Session, verb
from socle.errors import Exit


def register(group: click.Group) -> None:
    """Add the verb."""

    @verb(group, "doctor", example="socle doctor", codes=(Exit.REFUSED,))
    def doctor(session: Session) -> Exit:
        """Check this machine: memory, disk, root, kernel limits, ports, clock, leftovers. Changes nothing."""
        problems = checks.make_problems(checks.load_facts())
        data = {"problems": [vars(problem) for problem in problems]}
        session.show(data, lambda: Text("\n".join(map(str, problems)) or "This machine is ready."))
        return Exit.REFUSED if any(p.severity == "error" for p in problems) else Exit.DONE
