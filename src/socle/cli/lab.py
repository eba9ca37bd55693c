"""socle lab: the whole platform on this machine, the outside world included."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from socle.audit.finding import Status
from socle.cli.apply import run_shown
from socle.cli.common import Session, is_interactive, make_program, verb
from socle.errors import Exit, Problem, Refused
from socle.lab.answers import run_wait_answers
from socle.lab.down import run_down
from socle.lab.proofs import Proofs, run_proofs
from socle.lab.status import load_status
from socle.lab.up import run_world
from socle.load.inputs import load_platform
from socle.model.domains import render_domain
from socle.model.plan import Plan
from socle.model.platform import Platform


def register(group: click.Group) -> None:
    """Add the group and its verbs."""

    @group.group()
    def lab() -> None:
        """The whole platform on this machine: up, status, down."""

    @verb(lab, "up", example="socle lab up", codes=(Exit.PARTIAL, Exit.REFUSED, Exit.UNREACHABLE))
    @click.option("--no-audit", is_flag=True, help="End when the sites answer: no backup, no audit, no report.")
    def up(session: Session, no_audit: bool) -> Exit:
        """Start the lab and bring it to what the requests say; save what is due, audit, report. Run again at any time:
        it completes what is missing."""
        _check_lab(session, session.inputs().platform)
        with session.locked("lab up"):
            context = run_world(session)
            run_shown(session, context)
        with session.talk.step("sites answer"):
            silent = run_wait_answers(session.workspace, context.plan)
        proofs = None
        if not (no_audit or silent):
            proofs = run_proofs(context)
        _show_end(session, context.plan, silent, proofs)
        return Exit.PARTIAL if silent or (proofs and not proofs.good) else Exit.DONE

    @verb(lab, "status", example="socle lab status --json", codes=(Exit.UNREACHABLE,))
    def status(session: Session) -> Exit:
        """Show the lab's hosts: state, addresses, memory in use."""
        rows = load_status(session.workspace)

        def render() -> Table:
            table = Table("host", "state", "address", "memory", box=None, pad_edge=False)
            for row in rows:
                table.add_row(*(Text(str(row[key])) for key in ("name", "state", "address", "memory")))
            return table

        session.show({"hosts": rows}, render)
        session.next("socle plan", "socle lab up")
        return Exit.DONE

    @verb(lab, "down", example="socle lab down --all --yes", codes=(Exit.REFUSED, Exit.UNREACHABLE))
    @click.option("--all", "everything", is_flag=True, help="Data too: volumes, secrets, state. There is no way back.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def down(session: Session, everything: bool, yes: bool) -> Exit:
        """Remove the lab's hosts. Volumes and secrets stay, unless --all; asks first."""
        _check_lab(session, load_platform(session.workspace))
        what = "hosts, volumes, secrets and state" if everything else "hosts (data is kept)"
        if not _ask(f"Remove the {what} of {session.workspace.name}?", yes):
            session.talk.say("Nothing removed.")
            return Exit.DONE
        with session.locked("lab down"), session.recorded("lab down"):
            removed = run_down(session.workspace, session.talk, everything)
        session.show({"removed": removed}, lambda: Text("\n".join(removed) or "Nothing to remove."))
        session.next("socle lab up")
        return Exit.DONE


def _check_lab(session: Session, platform: Platform) -> None:
    if not platform.lab:
        name = f"inventories/{session.workspace.environment}/platform.yml"
        raise Refused([Problem(name, 0, "lab", "expected lab: true", "use socle apply: this is not a lab")])


def _ask(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not is_interactive():
        raise Refused([Problem("--yes", 0, "", "expected a person to answer", "add --yes if you are sure")])
    return click.confirm(question, err=True)


def _show_proofs(session: Session, proofs: Proofs) -> None:
    """What was saved and audited just now."""
    say = session.talk.say
    complete = sum(one.verdict == "complete" for one in proofs.verdicts)
    new = f"{len(proofs.saved)} new" if proofs.saved else "no new snapshot: all were made within a day"
    say(f"\nBackups: {complete} of {len(proofs.verdicts)} complete ({new})")
    for one in proofs.verdicts:
        if one.verdict != "complete":
            say(f"  {one.site}: {one.verdict}: {one.reason}")
    found = proofs.findings
    say(f"Audit, made just now: {found.passed} passed, {found.failed} failed, {found.not_checked} not checked")
    for finding in found.findings:
        if finding.status is Status.FAILED:
            say(f"  {finding.host}: {finding.check}: {finding.evidence}")
    say(f"Report: {proofs.report.pdf or proofs.report.html}")


def _show_end(session: Session, plan: Plan, silent: Mapping[str, str], proofs: Proofs | None) -> None:
    """The sites, how to open them, what to do next."""
    say: Any = session.talk.say
    say("\nSites (their names resolve, and their certificates are verified, on the host `outside`):")
    for site in plan.sites:
        note = f"   does not answer: {silent[site.name]}" if site.name in silent else ""
        say(f"  {site.name:34} https://{render_domain(site.domain)}/{note}")
    if proofs:
        _show_proofs(session, proofs)
    config = session.workspace.ssh / "config"
    example = plan.sites[0].domain if plan.sites else plan.domain
    say(f"\nOpen one:   ssh -F {config} outside curl -sI https://{example}/")
    say(f"Sign in:    {make_program(sys.argv[0], Path.cwd())} login SITE")
    session.next("socle status", "socle plan", "socle request new NAME --town CODE", "socle lab down")
