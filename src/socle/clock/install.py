"""Telling the clock of the machine: systemd timers, or cron where systemd is not process 1.

Names carry the environment and the mark of the clone, and each file says whose it is: what is another's is never
touched. cron knows neither time zones nor what was missed, so its lines ask every hour whether the run is due.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import psutil

from socle.clock.runs import FOLDER, PATIENCE, Record, load_record, make_command, run_save
from socle.clock.schedule import PATH, Entry
from socle.clock.times import Moment
from socle.errors import Problem, Refused
from socle.files import run_write
from socle.load.workspace import Workspace
from socle.runs.process import CommandFailed, run

ClockKind = Literal["systemd", "cron"]
UNITS = Path("/etc/systemd/system")
CRON = Path("/etc/cron.d")
_BOOTED = Path("/run/systemd/system")
_LOCAL = Path("/etc/localtime")
_MARK = "# socle-environment="
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MODE = 0o644
_DAYS_AHEAD = 400
_SECONDS = 60


@dataclass(frozen=True)
class Difference:
    """What the clock must be told: files to write, by path, and files of ours to remove."""

    write: Mapping[Path, str]
    remove: tuple[Path, ...]

    def __bool__(self) -> bool:
        return bool(self.write or self.remove)


def find_clock() -> ClockKind | None:
    """What runs things by the clock on this machine: systemd(1) as process 1 (sd_booted(3)), a cron that runs, or
    None."""
    if _BOOTED.is_dir():
        return "systemd"
    names = {process.info["name"] for process in psutil.process_iter(["name"])}
    return "cron" if CRON.is_dir() and names & {"cron", "crond"} else None


def check_clock(found: ClockKind | None) -> ClockKind:
    """The clock found. Raises Refused, with what to do, when there is none."""
    if found is None:
        expected = "expected systemd as process 1, or a cron that runs: this machine has neither"
        remedy = "apt-get install cron, then: service cron start (and see that it starts with the machine)"
        raise Refused([Problem("schedule", 0, "", expected, remedy)])
    return found


def make_prefix(workspace: Workspace) -> str:
    """What names begin with: `socle-lab-3f2a`. cron passes over files with a dot in their name."""
    return "socle-" + re.sub(r"[^A-Za-z0-9-]", "-", workspace.name)


def make_mark(workspace: Workspace) -> str:
    """The line by which a file is recognised as this environment's."""
    return f"{_MARK}{workspace.name} {workspace.root}"


# systemd


def render_calendar(moment: Moment, timezone: str) -> str:
    """The moment in the words of systemd.time(7)."""
    if moment.every == "hourly":
        return "*-*-* *:00:00 UTC"
    day = f"{_WEEKDAYS[moment.day]} " if moment.every == "weekly" else ""
    return f"{day}*-*-* {moment.clock}:00 {timezone}"


def render_timer(workspace: Workspace, entry: Entry, timezone: str) -> str:
    """The timer of an entry. What was due while the machine was down is run when it is up again."""
    return f"""\
# Written by socle schedule install: what is changed here by hand is lost. See {PATH}
{make_mark(workspace)}
[Unit]
Description=socle {workspace.name}: {entry.name}, {entry.at}

[Timer]
OnCalendar={render_calendar(entry.at, timezone)}
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def render_service(workspace: Workspace, entry: Entry, environment: Mapping[str, str]) -> str:
    """The service that a timer starts."""
    command = " ".join(map(quote_exec, make_command(workspace, ["schedule", "run", entry.name])))
    variables = "".join(f"Environment={quote_setting(f'{name}={value}')}\n" for name, value in environment.items())
    codes = f"SuccessExitStatus={' '.join(map(str, entry.reported))}\n" if entry.reported else ""
    return f"""\
# Written by socle schedule install: what is changed here by hand is lost. See {PATH}
{make_mark(workspace)}
[Unit]
Description=socle {workspace.name}: {entry.name}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User=root
WorkingDirectory=/
{variables}ExecStart={command}
{codes}TimeoutStartSec={entry.limit * 3600 + PATIENCE + 300}
Nice=5
"""


def quote_setting(text: str) -> str:
    """A word of a unit file, as it is: systemd expands % and, between quotes, reads \\ and "."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def quote_exec(text: str) -> str:
    """A word of an Exec line, where $ is expanded too. Plain words stay as they are."""
    if re.fullmatch(r"[\w./:=@+-]+", text, re.ASCII):
        return text
    return quote_setting(text).replace("$", "$$")


def make_units(
    workspace: Workspace, entries: Iterable[Entry], timezone: str, environment: Mapping[str, str], folder: Path = UNITS
) -> dict[Path, str]:
    """All unit files of an environment, by path."""
    prefix, files = make_prefix(workspace), {}
    for entry in entries:
        files[folder / f"{prefix}-{entry.name}.timer"] = render_timer(workspace, entry, timezone)
        files[folder / f"{prefix}-{entry.name}.service"] = render_service(workspace, entry, environment)
    return files


# cron


def find_minutes(moment: Moment, timezone: tzinfo, machine: tzinfo, now: datetime) -> list[int]:
    """The minutes of the machine's clock at which `moment` can come: one, unless the zones' offsets differ by other
    than whole hours, and change."""
    minutes = set()
    for day in range(_DAYS_AHEAD):
        at = now + timedelta(days=day)
        zone = UTC if moment.every == "hourly" else timezone
        here, there = at.astimezone(machine).utcoffset(), at.astimezone(zone).utcoffset()
        apart = (here or timedelta()) - (there or timedelta())
        minutes.add(int(moment.minute + apart.total_seconds() // _SECONDS) % _SECONDS)
    return sorted(minutes)


def render_cron(
    workspace: Workspace,
    entries: Iterable[Entry],
    timezone: ZoneInfo,
    machine: tzinfo,
    environment: Mapping[str, str],
    now: datetime,
) -> str:
    """The file for cron.d: each line asks, every hour at its minute, whether its run is due, and what was due while
    the machine was down is run within the hour."""
    lines = [
        f"# Written by socle schedule install: what is changed here by hand is lost. See {PATH}",
        make_mark(workspace),
        f"# Times are of {timezone.key}. Each line asks every hour whether its run is due: cron knows neither time",
        "# zones nor what was missed.",
        "SHELL=/bin/sh",
        'MAILTO=""',
        *(f"{name}={quote_cron(value)}" for name, value in environment.items()),
    ]
    for entry in entries:
        minutes = ",".join(map(str, find_minutes(entry.at, timezone, machine, now)))
        command = shlex.join(make_command(workspace, ["schedule", "run", entry.name, "--due"]))
        lines += [
            f"# {entry.name}: {entry.at}",
            f"{minutes} * * * * root cd / && {escape_cron(command)} >/dev/null 2>&1",
        ]
    return "\n".join(lines) + "\n"


def quote_cron(value: str) -> str:
    """A value of a crontab's variable: in quotes, of whichever kind it does not hold. Source: crontab(5)."""
    quote = "'" if '"' in value else '"'
    if quote in value:
        expected = "expected a value without both kinds of quotes: crontab(5) cannot hold it"
        raise Refused([Problem("schedule", 0, "", expected, "move the state folder")])
    return f"{quote}{value}{quote}"


def escape_cron(command: str) -> str:
    """A command for a crontab, where % ends the command unless escaped."""
    return command.replace("%", "\\%")


def make_cron(workspace: Workspace, text: str, folder: Path = CRON) -> dict[Path, str]:
    """The file of an environment, by path."""
    return {folder / make_prefix(workspace): text}


# The difference, and doing it


def load_machine_zone() -> tzinfo:
    """The time zone of the machine, by which its cron goes."""
    try:
        with _LOCAL.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return ZoneInfo("UTC")


def load_environment() -> dict[str, str]:
    """What a run by the clock needs of this process's environment: where the state is, how to be found and read."""
    kept = {"SOCLE_STATE": os.environ["SOCLE_STATE"]} if "SOCLE_STATE" in os.environ else {}
    return {"PATH": f"{Path(sys.executable).parent}:{_PATH}", "LANG": "C.UTF-8", **kept}


def load_ours(workspace: Workspace, folders: Iterable[Path] = (UNITS, CRON)) -> dict[Path, str]:
    """The files of this environment that the clock has, by path."""
    prefix, mark = make_prefix(workspace), make_mark(workspace)
    found = {}
    for folder in folders:
        for path in sorted(folder.glob(f"{prefix}*")) if folder.is_dir() else ():
            if path.is_file() and mark in (text := path.read_text(errors="replace")).splitlines():
                found[path] = text
    return found


def make_difference(wanted: Mapping[Path, str], ours: Mapping[Path, str]) -> Difference:
    """What is to be written and removed."""
    write = {path: text for path, text in wanted.items() if ours.get(path) != text}
    return Difference(write, tuple(path for path in ours if path not in wanted))


def check_foreign(difference: Difference, ours: Mapping[Path, str]) -> None:
    """Raises Refused when a file to be written is there, and not ours."""
    foreign = [path for path in difference.write if path not in ours and path.exists()]
    if foreign:
        raise Refused(
            Problem(str(path), 0, "", "expected no file of this name, or one of this environment", "move it away")
            for path in foreign
        )


def make_wanted(
    workspace: Workspace, entries: Sequence[Entry], timezone: ZoneInfo, kind: ClockKind, now: datetime
) -> dict[Path, str]:
    """All files that the clock is to have, by path."""
    environment = load_environment()
    if kind == "systemd":
        return make_units(workspace, entries, timezone.key, environment)
    return make_cron(workspace, render_cron(workspace, entries, timezone, load_machine_zone(), environment, now))


def run_note(state: Path, entries: Iterable[Entry], now: datetime) -> None:
    """Remember since when the clock knows each entry, at its present time: nothing was due before."""
    for entry in entries:
        record = load_record(state, entry.name)
        if record is None or record.at != str(entry.at):
            known = record or Record(entry.name, since="")
            run_save(state, replace(known, since=now.isoformat(), at=str(entry.at)))


def run_forget(state: Path) -> None:
    """Remember that the clock knows no entry any more."""
    for path in (state / FOLDER).glob("*.json"):
        if record := load_record(state, path.stem):
            run_save(state, replace(record, at=""))


def run_remove(workspace: Workspace) -> tuple[Path, ...]:
    """Have the clock know nothing of this environment any more; what was removed."""
    difference = make_difference({}, load_ours(workspace))
    run_difference(difference, ())
    run_forget(workspace.state)
    return difference.remove


def run_difference(difference: Difference, timers: Collection[str]) -> None:
    """Write and remove, and have systemd run all `timers`: also those that a killed run wrote and did not start.

    Raises CommandFailed.
    """
    gone = [path.name for path in difference.remove if path.suffix == ".timer"]
    if gone:
        _run_systemctl("disable", "--now", *gone)
    for name in gone:
        # The stamp of its last run: a timer of the same name, later, would catch up at once.
        with suppress(CommandFailed):
            _run_systemctl("clean", "--what=state", name)
    for path in difference.remove:
        path.unlink(missing_ok=True)
    for path, text in difference.write.items():
        run_write(path, text.encode(), _MODE)
    if gone or timers:
        _run_systemctl("daemon-reload")
    changed = [path.name for path in difference.write if path.suffix == ".timer"]
    if timers:
        _run_systemctl("enable", "--now", "--quiet", *sorted(timers))
    if changed:
        _run_systemctl("restart", *changed)


def _run_systemctl(*arguments: str) -> None:
    run(["systemctl", *arguments], timeout=60)
