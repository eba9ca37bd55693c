"""socle schedule: what runs by the clock, and who is told of what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.table import Table
from rich.text import Text

from socle.cli.common import Session, verb
from socle.clock import install as clock
from socle.clock.alerts import load_alerted, make_alerted, run_tell
from socle.clock.certificates import find_reason, make_names, make_trust, run_read, run_write_certificates
from socle.clock.mail import Letterhead, Mail, load_place, run_send
from socle.clock.runs import PATIENCE, alone, load_now, run_entry
from socle.clock.schedule import load_schedule
from socle.clock.settings import Alerts
from socle.clock.times import is_due
from socle.clock.troubles import Kind, Observed, make_invalid_trouble
from socle.clock.watch import Watch, load_watch, run_refresh_metrics
from socle.errors import Exit, InvalidInput
from socle.load.inputs import load_platform
from socle.model.platform import Platform


def register(group: click.Group) -> None:
    """Add the group and its verbs."""

    @group.group()
    def schedule() -> None:
        """What runs by the clock (backups/schedule.yml), and who is told of what it finds."""

    _register_clock(schedule)
    _register_runs(schedule)
    _register_alerts(schedule)


def _register_clock(schedule: click.Group) -> None:
    @verb(schedule, "install", example="socle schedule install --dry-run", codes=(Exit.REFUSED,))
    @click.option("--dry-run", is_flag=True, help="Show the files, write nothing.")
    @click.option("--clock", "kind", type=click.Choice(["systemd", "cron"]), help="Default: what runs here.")
    def install(session: Session, dry_run: bool, kind: clock.ClockKind | None) -> Exit:
        """Have this machine run the schedule: systemd timers, or cron where systemd is not process 1.

        What was ours and is no longer declared is removed.
        """
        watch = _load(session)
        kind = kind or clock.check_clock(clock.find_clock())
        wanted = clock.make_wanted(watch.workspace, watch.schedule.entries, watch.timezone, kind, watch.now)
        ours = clock.load_ours(watch.workspace)
        difference = clock.make_difference(wanted, ours)
        clock.check_foreign(difference, ours)
        if not dry_run:
            with session.locked("schedule install"), session.recorded("schedule install"):
                clock.run_difference(difference, [path.name for path in wanted if path.suffix == ".timer"])
                clock.run_note(watch.workspace.state, watch.schedule.entries, watch.now)
        _show_difference(session, kind, difference)
        session.next("socle schedule show", "socle schedule run NAME")
        return Exit.DONE

    @verb(schedule, "remove", example="socle schedule remove", codes=(Exit.REFUSED,))
    @click.option("--dry-run", is_flag=True, help="Show the files, remove nothing.")
    def remove(session: Session, dry_run: bool) -> Exit:
        """Have this machine run nothing of this environment by the clock any more."""
        difference = clock.make_difference({}, clock.load_ours(session.workspace))
        if not dry_run and (difference or session.workspace.state.is_dir()):
            with session.locked("schedule remove"), session.recorded("schedule remove"):
                clock.run_remove(session.workspace)
        _show_difference(session, None, difference)
        return Exit.DONE

    @verb(schedule, "show", example="socle schedule show --json")
    def show(session: Session) -> Exit:
        """Show what runs when, how it last ended, and which run was missed."""
        watch = _load(session)
        rows = watch.data()
        kinds = {"cron" if path.parent == clock.CRON else "systemd" for path in clock.load_ours(session.workspace)}
        installed = next(iter(sorted(kinds)), None)
        session.show({"clock": installed, "entries": rows}, lambda: _render_entries(rows))
        if installed is None:
            session.next("socle schedule install")
        return Exit.DONE


def _register_runs(schedule: click.Group) -> None:
    codes = (Exit.PARTIAL, Exit.REFUSED, Exit.UNREACHABLE, Exit.PENDING)

    @verb(schedule, "run", example="socle schedule run verdicts", codes=codes)
    @click.argument("name")
    @click.option("--due", is_flag=True, help="Only if it is due and did not run since: what cron asks every hour.")
    @click.option("--wait", type=click.IntRange(0), default=PATIENCE, show_default=True, help="Seconds for the lock.")
    def run(session: Session, name: str, due: bool, wait: int) -> int:
        """Run an entry of the schedule now, as the clock does. Ends with the exit code of its verb."""
        try:
            watch = _load(session)
        except InvalidInput as error:
            _tell_invalid(session, error)
            raise
        entry = watch.schedule.entry(name)
        record = watch.records.get(name)
        if due and not is_due(entry, record.make_run() if record else None, watch.now, watch.timezone):
            session.talk.detail(f"{name}: not due")
            return Exit.DONE
        session.workspace.run_prepare()
        done = run_entry(session.workspace, entry, session.talk.say, wait)
        run_refresh_metrics(_load(session))
        data = {"name": name, "exit": done.exit, "result": done.result, "reason": done.reason, "seconds": done.seconds}
        session.show(data, lambda: Text(f"{name}: {done.result} (exit code {done.exit}, {done.seconds} s)"))
        if done.reason:
            session.talk.say(done.reason)
        return done.exit if done.exit is not None and done.exit >= 0 else Exit.UNEXPECTED

    @verb(schedule, "certificates", example="socle schedule certificates --json", codes=(Exit.PARTIAL,))
    def certificates(session: Session) -> Exit:
        """Read the certificate of each site's names as a visitor is shown it. Exit code 3 when one is not right."""
        plan = session.context().plan
        session.workspace.run_prepare()
        found = run_read(make_names(plan), make_trust(session.workspace.state))
        run_write_certificates(session.workspace.state, found)
        now = load_now()
        rows = [{**vars(one), "reason": find_reason(one, now)} for one in found]

        def render() -> Table:
            table = Table("site", "domain", "expires", "reason", box=None, pad_edge=False)
            for row in rows:
                table.add_row(*(Text(row[key]) for key in ("site", "domain", "expires", "reason")))
            return table

        session.show({"certificates": rows}, render)
        return Exit.PARTIAL if any(row["reason"] for row in rows) else Exit.DONE


def _register_alerts(schedule: click.Group) -> None:
    @verb(schedule, "alert", example="socle schedule alert --dry-run", codes=(Exit.PARTIAL, Exit.REFUSED))
    @click.option("--dry-run", is_flag=True, help="Show what would be sent, send nothing.")
    def alert(session: Session, dry_run: bool) -> Exit:
        """Write to those who must act: once when a trouble appears, again after some days, once when it is mended.

        Exit code 3 when a mail could not be sent: it is kept, and sent by the next run.
        """
        platform = load_platform(session.workspace)
        watch = _load(session)
        observed = watch.observed(platform.hosts)
        if platform.alerts is None:
            _show_told(session, observed, (), ())
            session.talk.say("Nobody is told: platform.yml has no alerts (see docs/sysadmin.md).")
            return Exit.DONE
        if dry_run:
            head = _make_head(session, platform, platform.alerts)
            before = load_alerted(session.workspace.state)
            alerted, _ = make_alerted(before, observed, platform.alerts, head, watch.now)
            _show_told(session, observed, alerted.outbox, (), whole=True)
            return Exit.DONE
        session.workspace.run_prepare()
        mails, errors = _tell(session, platform, platform.alerts, observed)
        run_refresh_metrics(watch)
        _show_told(session, observed, mails, errors)
        return Exit.PARTIAL if errors else Exit.DONE


def _tell(
    session: Session, platform: Platform, settings: Alerts, observed: Observed
) -> tuple[tuple[Mail, ...], list[str]]:
    state = session.workspace.state
    send = partial(run_send, settings=settings, place=load_place(settings, state), trust=make_trust(state))
    with alone(state, "alerts"):
        return run_tell(state, settings, observed, _make_head(session, platform, settings), load_now(), send)


def _make_head(session: Session, platform: Platform, settings: Alerts) -> Letterhead:
    return Letterhead(
        session.workspace.environment, platform.syndicate, ZoneInfo(platform.timezone), settings.remind_after
    )


def _tell_invalid(session: Session, error: InvalidInput) -> None:
    """Tell that nothing runs by the clock, if platform.yml says to whom: nothing else is known of what is wrong."""
    platform = load_platform(session.workspace)
    if platform.alerts:
        session.workspace.run_prepare()
        observed = Observed((make_invalid_trouble(str(error)),), frozenset(Kind))
        _, errors = _tell(session, platform, platform.alerts, observed)
        for line in errors:
            session.talk.say(f"Not sent, kept for the next run: {line}")


def _load(session: Session) -> Watch:
    """The schedule, checked, and what is remembered of it. Raises InvalidInput."""
    timezone = ZoneInfo(load_platform(session.workspace).timezone)
    now = load_now()
    context = click.get_current_context().find_root()
    verbs = context.command.list_commands(context) if isinstance(context.command, click.Group) else ()
    return load_watch(session.workspace, load_schedule(session.workspace, timezone, verbs, now), timezone, now)


def _render_entries(rows: Iterable[dict[str, Any]]) -> Table:
    table = Table("name", "at", "runs", "last", "result", "next", box=None, pad_edge=False)
    for row in rows:
        result = "missed" if row["missed"] else row["result"]
        cells = (row["name"], row["at"], row["run"], row["began"][:16], result, row["next"][:16])
        table.add_row(*map(Text, cells))
    return table


def _show_difference(session: Session, kind: str | None, difference: clock.Difference) -> None:
    write, remove = sorted(map(str, difference.write)), sorted(map(str, difference.remove))
    data = {"clock": kind, "write": write, "remove": remove}
    lines = [*(f"write {path}" for path in write), *(f"remove {path}" for path in remove)]
    session.show(data, lambda: Text("\n".join(lines) or "Nothing to change."))
    for path, text in difference.write.items():
        session.talk.detail(f"\n--- {path}\n{text}")


def _show_told(
    session: Session, observed: Observed, mails: Sequence[Mail], errors: Sequence[str], whole: bool = False
) -> None:
    data = {
        "troubles": [{"key": one.key, "title": one.title, "what": one.what} for one in observed.troubles],
        "unread": sorted(observed.unread),
        "mails": [{"to": one.to, "subject": one.subject, "body": one.body} for one in mails],
        "errors": list(errors),
    }
    lines = [one.title for one in observed.troubles] or ["No trouble is known."]
    for mail in mails:
        lines += ["", f"To: {', '.join(mail.to)}", f"Subject: {mail.subject}", *(["", mail.body] if whole else [])]
    session.show(data, lambda: Text("\n".join(lines)))
    if observed.unread:
        session.talk.say(f"Could not be read, so nothing is said of: {', '.join(sorted(observed.unread))}")
    for error in errors:
        session.talk.say(f"Not sent, kept for the next run: {error}")
