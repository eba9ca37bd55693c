"""socle audit: what is promised, read where it must be true."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import click
from rich.text import Text

from socle.audit.check import CONTROLLER, OUTSIDE
from socle.audit.finding import Finding, Findings, Status
from socle.audit.junit import render_junit
from socle.audit.prove import Choice, make_checks, run_audit
from socle.cli.common import Session, verb
from socle.errors import Exit, InvalidInput, Problem
from socle.files import run_write
from socle.stages.base import Context

_MARKS = {
    Status.FAILED: ("FAILED", "bold red"),
    Status.NOT_CHECKED: ("not checked", "yellow"),
    Status.PASSED: ("passed", "green"),
}


def render_findings(findings: Findings, every: bool = True) -> Text:
    """Findings by host, failures first; those that passed by kind only, unless `every`."""
    text = Text()
    for host, found in groupby(findings.findings, key=lambda one: one.host):
        text.append(f"{host}\n", "bold")
        group = list(found)
        for one in group:
            if every or one.status is not Status.PASSED:
                _append(text, one)
        passed = [one.kind for one in group if one.status is Status.PASSED]
        if passed and not every:
            text.append(f"  {_MARKS[Status.PASSED][0]:11}", _MARKS[Status.PASSED][1])
            text.append(f"  {len(passed)}: {', '.join(dict.fromkeys(passed))}\n")
    text.append(f"{findings.passed} passed, {findings.failed} failed, {findings.not_checked} not checked")
    return text


def _append(text: Text, one: Finding) -> None:
    word, style = _MARKS[one.status]
    text.append(f"  {word:11}", style)
    text.append(f"  {one.check}: {one.evidence}\n")
    if one.status is Status.FAILED and one.remedy:
        text.append(f"{'':15}{one.remedy}\n", "dim")


def make_choice(context: Context, hosts: tuple[str, ...], kinds: tuple[str, ...]) -> Choice:
    """The choice of a person. Raises InvalidInput for a host or a kind that does not exist."""
    known = {
        "--host": [*(host.name for host in context.plan.hosts), OUTSIDE, CONTROLLER],
        "--check": sorted({one.kind for one in make_checks(context.catalogue, context.plan)}),
    }
    problems = [
        Problem(option, 0, "", f"expected one of {', '.join(known[option])}, not {name}")
        for option, names in (("--host", hosts), ("--check", kinds))
        for name in names
        if name not in known[option]
    ]
    if problems:
        raise InvalidInput(problems)
    return Choice(frozenset(hosts), frozenset(kinds))


def register(group: click.Group) -> None:
    """Add the verb."""

    @verb(group, "audit", example="socle audit --host web1 --check isolation", codes=(Exit.PARTIAL, Exit.REFUSED))
    @click.option(
        "--host", "hosts", multiple=True, help="Only this host, and what failed of the platform; may be repeated."
    )
    @click.option("--check", "kinds", multiple=True, help="Only this kind of check; may be repeated.")
    @click.option("--full", is_flag=True, help="Have Ansible look too (check mode): it takes as long as all the rest.")
    @click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML too.")
    def audit(session: Session, hosts: tuple[str, ...], kinds: tuple[str, ...], full: bool, junit: Path | None) -> Exit:
        """Read everything that is promised where it must be true: on hosts, from outside, in Incus, in the DNS. Changes
        nothing. Exit code 3 when something failed."""
        context = session.context(full)
        choice = make_choice(context, hosts, kinds)
        with session.recorded("audit", context.plan.digest()), session.talk.step("audit"):
            findings = run_audit(context, choice)
        session.show(
            findings.model_dump(mode="json"), lambda: render_findings(findings, every=session.talk.verbose > 0)
        )
        if junit:
            run_write(junit.absolute(), render_junit(findings), 0o644)
        session.next("socle apply --full" if findings.failed else "socle report audit")
        return Exit.PARTIAL if findings.failed else Exit.DONE
