"""socle report: what is promised and what proves it, for people."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from socle.cli.common import Session, verb
from socle.errors import Exit
from socle.reports.run import run_report


def register(group: click.Group) -> None:
    """Add the group and its verbs."""

    @group.group()
    def report() -> None:
        """Reports for elected officials and auditors, in French."""

    @verb(report, "audit", example="socle report audit --output /tmp", codes=(Exit.PARTIAL, Exit.REFUSED))
    @click.option("--output", type=click.Path(path_type=Path), help="Folder to write to. Default: in the state folder.")
    def audit(session: Session, output: Path | None) -> Exit:
        """Write the report of the newest audit: one HTML page in French, and its PDF. Audits nothing itself."""
        workspace, plan = session.workspace, session.context().plan
        workspace.run_prepare()
        made = run_report(workspace, plan, output or workspace.state / "reports", datetime.now(UTC))
        paths = {"html": str(made.html), "pdf": str(made.pdf) if made.pdf else None}
        data = {**paths, "report": made.report.model_dump(mode="json")}
        session.show(data, lambda: Text("\n".join(path for path in paths.values() if path)))
        session.talk.say(made.report.headline)
        if made.missing:
            session.talk.say(made.missing)
        session.next("socle status", "socle audit")
        return Exit.DONE if made.pdf else Exit.PARTIAL
