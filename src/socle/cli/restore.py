"""socle restore: bring a site back, in its place, into an archive, or beside the live one to prove that it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from socle.cli.apply import run_apply
from socle.cli.common import Session, verb
from socle.errors import Exit, InvalidInput, PartlyDone, Problem, Refused, SocleError
from socle.model.plan import Plan, Site
from socle.restore.archive import run_archive
from socle.restore.choose import At, parse_at, render_moment
from socle.restore.drill import run_drilled
from socle.restore.place import Result, find_waiting, run_place
from socle.restore.repository import Chosen, choose_all, find_repository, opened
from socle.stages.base import Context

PLACES = ("scratch", "place", "archive")


def find_sites(plan: Plan, association: str, site: str) -> list[Site]:
    """The sites that are meant. Raises InvalidInput."""
    own = [one for one in plan.sites if one.association == association]
    if not own:
        known = ", ".join(sorted({one.association for one in plan.sites})) or "none"
        expected = f"expected an association that has sites ({known}): {association}"
        raise InvalidInput([Problem("ASSOCIATION", 0, "", expected)])
    chosen = [one for one in own if not site or site in (one.name, one.service)]
    if not chosen:
        expected = f"expected a site of {association} ({', '.join(one.name for one in own)}): {site}"
        raise InvalidInput([Problem("--site", 0, "", expected)])
    return chosen


def check_options(association: str, everything: bool, into: str, options: Mapping[str, Any]) -> None:
    """Raises InvalidInput for options that do not go together."""
    problems = []
    if everything == bool(association):
        problems.append(Problem("ASSOCIATION", 0, "", "expected an association, or --all"))
    if everything and into != "place":
        problems.append(Problem("--into", 0, "", "expected --into place with --all"))
    if everything and (options["site"] or options["at"]):
        problems.append(
            Problem("--all", 0, "", "expected neither --site nor --at: each site gets its newest good copy")
        )
    if options["output"] and into != "archive":
        problems.append(Problem("--output", 0, "", "expected --into archive"))
    if options["without_safety"] and into != "place":
        problems.append(Problem("--without-safety", 0, "", "expected --into place"))
    if problems:
        raise InvalidInput(problems)


def say_chosen(session: Session, chosen: Sequence[Chosen], timezone: str) -> None:
    """Which snapshot it will be, and which newer ones are not good."""
    for one in chosen:
        for refused, why in one.refused.items():
            session.talk.say(f"  {one.site.name}: not {refused[:8]}: {why}")
        moment = render_moment(one.snapshot.arrival, timezone)
        session.talk.say(f"  {one.site.name}: snapshot {one.snapshot.short}, which arrived {moment}")


def run_into_place(
    session: Session, context: Context, chosen: Sequence[Chosen], failed: Mapping[str, str], **how: bool
) -> int:
    """In place, then what leads to the sites is brought up to date. The number of sites that were restored."""
    results = [*run_place(context, chosen, **how), *(_make_failed(context, name, why) for name, why in failed.items())]
    applied, restored = "", sum(result.result == "restored" for result in results)
    if restored:
        try:
            with session.talk.step("what leads to the sites"):
                run_apply(replace(context, full=True), ("sites",))
        except SocleError as error:
            applied = str(error)
    session.show({"sites": [asdict(result) for result in results]}, lambda: render_results(results))
    if applied:
        session.talk.say(applied)
    _raise_bad(results, applied)
    return restored


def _make_failed(context: Context, name: str, why: str) -> Result:
    site = next(one for one in context.plan.sites if one.name == name)
    return Result(site.name, site.association, "failed", why)


def _raise_bad(results: Sequence[Result], applied: str) -> None:
    """Raises Refused when nothing was changed because of a rule, PartlyDone for anything else that is not good."""
    bad = [result for result in results if not result.good]
    if bad and all(result.result == "refused" for result in results):
        raise Refused([Problem(result.site, 0, "", result.reason) for result in bad])
    if bad:
        raise PartlyDone("\n".join(f"{result.site}: {result.reason}" for result in bad))
    if applied:
        raise PartlyDone("restored, but not all of what leads to the sites is as it should be", "run: socle apply")


def render_results(results: Sequence[Result]) -> Table:
    """A row per site."""
    table = Table("site", "result", "snapshot", "before", "seconds", "reason", box=None, pad_edge=False)
    for one in results:
        row = (one.site, one.result, one.snapshot[:8], one.safety[:8], f"{one.seconds:.0f}", one.reason)
        table.add_row(*map(Text, row))
    return table


def run_into_scratch(session: Session, context: Context, chosen: Sequence[Chosen], failed: Mapping[str, str]) -> int:
    """A drill for each site. The number of sites that were restored."""
    verdicts = []
    for one in chosen:
        repository = find_repository(context, one.site.association)
        with opened(context, repository) as restic:
            verdicts.append(run_drilled(context, restic, one))
    session.show({"sites": verdicts}, lambda: render_verdicts(verdicts))
    bad = [f"{one['site']}: {one['reason']}" for one in verdicts if one["verdict"] != "restored"]
    bad += [f"{name}: {why}" for name, why in failed.items()]
    if bad:
        raise PartlyDone("\n".join(bad))
    return len(verdicts)


def render_verdicts(verdicts: Sequence[Mapping[str, Any]]) -> Table:
    """A row per check."""
    table = Table("site", "verdict", "check", "status", "evidence", box=None, pad_edge=False)
    for one in verdicts:
        for check in one["checks"] or [{"name": "", "status": "failed", "evidence": one["reason"]}]:
            row = (one["site"], one["verdict"], check["name"], check["status"], check["evidence"])
            table.add_row(*map(Text, row))
    return table


def run_into_archive(session: Session, context: Context, chosen: Chosen, output: Path | None) -> None:
    """One tar file."""
    path = output or Path(f"{chosen.site.name}-{chosen.snapshot.short}.tar")
    with opened(context, find_repository(context, chosen.site.association)) as restic, session.talk.step("archive"):
        made = run_archive(restic, chosen, path.absolute())
    data = {"site": chosen.site.name, "snapshot": chosen.snapshot.id, **asdict(made)}
    session.show(data, lambda: Text(f"{made.sha256}  {made.path}"))
    changed = f", {made.changed} changed or removed while they were saved" if made.changed else ""
    session.talk.say(f"  {made.files} files{changed}; {made.bytes} bytes; readable by its owner only: personal data")


def _choose(session: Session, context: Context, sites: Sequence[Site], at: At) -> tuple[list[Chosen], dict[str, str]]:
    with session.talk.step("choosing snapshots"):
        chosen, failed = choose_all(context, sites, at)
    if not chosen and failed:
        raise InvalidInput([Problem(name, 0, "", why) for name, why in failed.items()])
    say_chosen(session, chosen, context.plan.timezone)
    return chosen, failed


def run_restore(session: Session, association: str, everything: bool, into: str, options: Mapping[str, Any]) -> int:
    """What the verb does. The number of sites that were brought back, in place or beside it: an archive is none.

    The caller has checked that the options go together.
    """
    context = session.context()
    at = parse_at(options["at"] or "", context.plan.timezone)
    sites = find_waiting(context) if everything else find_sites(context.plan, association, options["site"] or "")
    if not sites:
        session.talk.say("No site waits for its restore.")
        session.show({"sites": []}, lambda: Text("Nothing to restore."))
        return 0
    if into == "archive" and len(sites) > 1:
        expected = f"expected --site: {association} has {', '.join(one.name for one in sites)}"
        raise InvalidInput([Problem("--site", 0, "", expected)])
    chosen, failed = _choose(session, context, sites, at)
    if into == "place":
        how = {"check": options["dry_run"], "without_safety": options["without_safety"]}
        return run_into_place(session, context, chosen, failed, **how)
    if options["dry_run"]:
        shown = [{"site": one.site.name, "snapshot": one.snapshot.id} for one in chosen]
        session.show({"sites": shown}, lambda: Text("\n".join(f"{one['site']} {one['snapshot']}" for one in shown)))
        return 0
    if into == "archive":
        run_into_archive(session, context, chosen[0], options["output"])
        return 0
    return run_into_scratch(session, context, chosen, failed)


def register(group: click.Group) -> None:
    """Add the verb."""

    codes = (Exit.PARTIAL, Exit.REFUSED, Exit.UNREACHABLE)

    @verb(group, "restore", example="socle restore amis-du-lac --into scratch", codes=codes)
    @click.argument("association", required=False, default="")
    @click.option("--all", "everything", is_flag=True, help="Every site that waits for its restore: a host was lost.")
    @click.option("--site", help="One site of the association: its name, or its service.")
    @click.option(
        "--at", metavar="ID|DATE", help="A snapshot's id; or the last one to arrive until a local day or time."
    )
    @click.option("--into", type=click.Choice(PLACES), required=True, help="Where to.")
    @click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="With archive: the file to write.")
    @click.option("--without-safety", is_flag=True, help="With place: do not save what is there first.")
    @click.option("--dry-run", is_flag=True, help="Choose snapshots and check, change nothing.")
    def restore(session: Session, association: str, everything: bool, into: str, **options: Any) -> Exit:
        """Bring a site back from its newest good backup, or from the one of a day.

        \b
        scratch  on a host that reaches nothing, beside the live site: read over HTTP, compared, thrown away
        place    where it lives; what is there is saved first, and comes back by itself when the restore fails
        archive  as one tar file, to hand to the association
        """
        check_options(association, everything, into, options)
        with session.locked("restore"):
            if options["dry_run"] or into == "archive":
                run_restore(session, association, everything, into, options)
            else:
                with session.recorded(f"restore --into {into}") as entry:
                    # A run that had nothing to restore ends well, and proves nothing.
                    entry.extra["restored"] = run_restore(session, association, everything, into, options)
                    entry.extra["exit"] = int(Exit.DONE)
        session.next("socle backup status", "socle audit")
        return Exit.DONE
