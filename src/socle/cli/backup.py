"""socle backup: save now, and what the vault proves of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import click
from rich.table import Table
from rich.text import Text

from socle.backups.observe import load_sight, make_expected, run_accept
from socle.backups.own import SITE
from socle.backups.run import (
    Outcome,
    find_due,
    make_command,
    render_command,
    run_mend,
    run_retain,
    run_save,
    run_verify,
)
from socle.backups.verdict import Verdict
from socle.cli.common import Session, verb
from socle.errors import Exit, InvalidInput, Problem, Refused
from socle.stages.base import Context

_SHOWN = 8
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def make_data(verdicts: Iterable[Verdict]) -> dict[str, list[dict[str, object]]]:
    """The JSON form of verdicts."""
    return {"sites": [one.model_dump() for one in verdicts]}


def render_verdicts(verdicts: Sequence[Verdict]) -> Table | Text:
    """Verdicts as a table, or a sentence when there are none."""
    if not verdicts:
        return Text("Nothing is to be saved.")
    table = Table("association", "site", "verdict", "snapshot", "arrived", "size", "reason", box=None, pad_edge=False)
    for one in verdicts:
        arrived = one.time.replace("T", " ").removesuffix("+00:00") + " UTC" if one.time else ""
        size = render_size(one.bytes) if one.snapshot else ""
        cells = (one.association, one.site, one.verdict, one.snapshot[:8], arrived, size, one.reason)
        table.add_row(*map(Text, cells))
    return table


def render_size(size: int) -> str:
    """Bytes for people."""
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else f"{size} B"


def render_outcomes(outcomes: Sequence[Outcome], what: str) -> Table | Text:
    """What was done in each repository; `what` heads the column."""
    if not outcomes:
        return Text("No vault has a repository.")
    table = Table("repository", what, "reason", box=None, pad_edge=False)
    for one in outcomes:
        more = f" and {len(one.done) - _SHOWN} more" if len(one.done) > _SHOWN else ""
        table.add_row(*map(Text, (one.name, ", ".join(map(_shorten, one.done[:_SHOWN])) + more, one.reason)))
    return table


def _shorten(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file[:8]}" if len(file) == 64 else name


def choose_sites(context: Context, names: Sequence[str]) -> dict[str, str]:
    """The sites named, or all that should be saved, each with its host. Raises InvalidInput at one that is unknown."""
    known = {one.site: one.host for one in make_expected(context)}
    wrong = [name for name in names if name not in known]
    if wrong:
        remedy = f"known: {', '.join(known) or 'none'}"
        raise InvalidInput(
            [
                Problem("SITE", 0, "", f"expected the name of a site that is saved, found {name}", remedy)
                for name in wrong
            ]
        )
    return {name: known[name] for name in known if not names or name in names}


def _make_code(verdicts: Iterable[Verdict]) -> Exit:
    return Exit.DONE if all(one.verdict == "complete" for one in verdicts) else Exit.PARTIAL


def _show_plan(session: Session, chosen: Mapping[str, str]) -> None:
    """What would be saved, and by which command on which host."""
    hosts: dict[str, list[str]] = {}
    for site, host in chosen.items():
        hosts.setdefault(host, []).append(site)
    data = {"hosts": [{"host": host, "sites": sites, "command": make_command(sites) if host else []}
                      for host, sites in sorted(hosts.items())]}  # fmt: skip

    def render() -> Table | Text:
        if not hosts:
            return Text("Nothing to save.")
        table = Table("host", "command", box=None, pad_edge=False)
        for host, sites in sorted(hosts.items()):
            table.add_row(*map(Text, (host or "this machine", render_command(sites) if host else f"saves {SITE}")))
        return table

    session.show(data, render)


def register(group: click.Group) -> None:
    """Add the group and its verbs."""

    @group.group()
    def backup() -> None:
        """Backups: save now, and what the vault proves of them."""

    _register_run(backup)
    _register_status(backup)
    _register_care(backup)


def _register_run(backup: click.Group) -> None:
    @verb(backup, "run", example="socle backup run wp-amis-du-lac", codes=(Exit.PARTIAL, Exit.UNREACHABLE))
    @click.argument("sites", nargs=-1, metavar="[SITE]...")
    @click.option("--due", is_flag=True, help="Only what is not complete, or was not saved for a day.")
    @click.option("--dry-run", is_flag=True, help="Show what would be saved, on which host.")
    def run(session: Session, sites: tuple[str, ...], due: bool, dry_run: bool) -> Exit:
        """Save all sites now, or those named, and judge them from the vault. Ends with 0 when all are complete."""
        context = session.context()
        chosen = choose_sites(context, sites)
        if due:
            with session.talk.step("reading the vaults"):
                wanted = find_due(load_sight(context).verdicts, time.time())
            chosen = {site: host for site, host in chosen.items() if site in wanted}
        if dry_run:
            _show_plan(session, chosen)
            return Exit.DONE
        if chosen:
            with session.recorded(f"backup run {' '.join(sites)}".rstrip(), context.plan.digest()) as entry:
                with session.talk.step("saving"):
                    problems = run_save(context, chosen)
                entry.changes = len(chosen)
            for why in problems.values():
                session.talk.say(why)
        with session.talk.step("reading the vaults"):
            verdicts = [one for one in load_sight(context).verdicts if not sites or one.site in sites]
        session.show(make_data(verdicts), lambda: render_verdicts(verdicts))
        if _make_code(verdicts) is Exit.DONE:
            session.next("socle backup status", "socle audit")
        else:
            session.next("socle backup status")
        return _make_code(verdicts)


def _register_status(backup: click.Group) -> None:
    @verb(backup, "status", example="socle backup status --json", codes=(Exit.PARTIAL,))
    def status(session: Session) -> Exit:
        """Judge every site from what the vault has. Ends with 0 when all are complete."""
        context = session.context()
        session.workspace.run_prepare()
        verdicts = load_sight(context).verdicts
        session.show(make_data(verdicts), lambda: render_verdicts(verdicts))
        code = _make_code(verdicts)
        if code is not Exit.DONE:
            mend = any("socle backup mend" in one.reason for one in verdicts)
            session.next("socle backup mend" if mend else "socle backup run --due")
        return code

    @verb(backup, "accept", example="socle backup accept wp-amis-du-lac", codes=(Exit.REFUSED,))
    @click.argument("site")
    def accept(session: Session, site: str) -> Exit:
        """Say that a site is far smaller on purpose: its newest snapshot is then no longer suspicious."""
        context = session.context()
        choose_sites(context, [site])
        with session.recorded(f"backup accept {site}", context.plan.digest()):
            snapshot = run_accept(context, load_sight(context), site)
            if not snapshot:
                remedy = f"run: socle backup run {site}"
                raise Refused([Problem("SITE", 0, "", f"expected a snapshot of {site}", remedy)])
        session.show({"site": site, "snapshot": snapshot}, lambda: snapshot)
        session.next("socle backup status")
        return Exit.DONE


def _register_care(backup: click.Group) -> None:
    @verb(backup, "verify", example="socle backup verify --subset 100%", codes=(Exit.PARTIAL,))
    @click.option("--subset", default="", metavar="PART", help="How much data to read, such as 5% or 1/20.")
    def verify(session: Session, subset: str) -> Exit:
        """Verify each repository, and read back a part of its data: the next twentieth, in turn."""
        context = session.context()
        with session.recorded("backup verify", context.plan.digest()), session.talk.step("verifying"):
            outcomes = run_verify(context, subset)
        return _show(session, outcomes, "read")

    @verb(backup, "retain", example="socle backup retain --dry-run", codes=(Exit.PARTIAL, Exit.REFUSED))
    @click.option("--dry-run", is_flag=True, help="Show what would be forgotten.")
    def retain(session: Session, dry_run: bool) -> Exit:
        """Forget snapshots by the policy (backups/policy.yml). Nothing of a site whose backup is not complete."""
        if dry_run:
            return _show(session, run_retain(session.context(), dry_run=True), "would be forgotten")
        with session.locked("backup retain"):
            context = session.context()
            with session.recorded("backup retain", context.plan.digest()) as entry:
                with session.talk.step("forgetting"):
                    outcomes = run_retain(context, dry_run=False)
                entry.changes = sum(len(one.done) for one in outcomes)
        return _show(session, outcomes, "forgotten")

    @verb(backup, "mend", example="socle backup mend --dry-run", codes=(Exit.PARTIAL, Exit.REFUSED))
    @click.option("--dry-run", is_flag=True, help="Show what would be set aside.")
    def mend(session: Session, dry_run: bool) -> Exit:
        """Set aside what in a repository is not ours (it is kept on the vault), and clear the locks of dead clients.

        Look first at what it is: a host that adds such files is not to be trusted.
        """
        if dry_run:
            return _show(session, run_mend(session.context(), dry_run=True), "would be set aside")
        with session.locked("backup mend"):
            context = session.context()
            with session.recorded("backup mend", context.plan.digest()) as entry:
                with session.talk.step("setting aside"):
                    outcomes = run_mend(context, dry_run=False)
                entry.changes = sum(len(one.done) for one in outcomes)
        return _show(session, outcomes, "set aside")


def _show(session: Session, outcomes: Sequence[Outcome], what: str) -> Exit:
    """Outcomes on stdout; their exit code."""
    data = {"repositories": [one.model_dump() for one in outcomes]}
    session.show(data, lambda: render_outcomes(outcomes, what))
    session.next("socle backup status")
    return Exit.PARTIAL if any(one.reason for one in outcomes) else Exit.DONE
