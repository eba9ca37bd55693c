"""Making the report's files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from socle.errors import PartlyDone
from socle.files import run_write
from socle.load.workspace import Workspace
from socle.model.plan import Plan
from socle.reports.make_report import make_report
from socle.reports.model import Report
from socle.reports.page import render_page
from socle.reports.pdf import render_pdf
from socle.reports.promises import load_checks
from socle.reports.sources import load_sources


@dataclass(frozen=True)
class Made:
    """What was written. `missing` says why there is no PDF."""

    report: Report
    html: Path
    pdf: Path | None
    missing: str = ""


def run_report(workspace: Workspace, plan: Plan, folder: Path, now: datetime) -> Made:
    """Write the page and its PDF into `folder`, named after the time; the files are their owner's alone."""
    report = make_report(plan, load_sources(workspace), now, load_checks(workspace.stacks))
    page = render_page(report)
    html = folder / f"audit-{now:%Y-%m-%dT%H%M%SZ}.html"
    run_write(html, page.encode())
    try:
        content = render_pdf(page)
    except PartlyDone as error:
        return Made(report, html, None, str(error))
    pdf = html.with_suffix(".pdf")
    run_write(pdf, content)
    return Made(report, html, pdf)
