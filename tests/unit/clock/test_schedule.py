"""backups/schedule.yml: what is wrong is said all at once, with line and remedy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest

from socle.cli.main import socle
from socle.clock.schedule import PATH, Schedule, load_schedule
from socle.errors import InvalidInput, Problem
from socle.load.workspace import Workspace
from socle.load.yaml_source import load_model

REPOSITORY = Path(__file__).parents[3]
NOW = datetime(2026, 11, 27, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
VERBS = ("backup", "plan", "schedule")
COMMITTED = load_model(Schedule, REPOSITORY / PATH, PATH)


def load(root: Path, text: str) -> Schedule:
    (root / "backups").mkdir(exist_ok=True)
    (root / PATH).write_text(text)
    return load_schedule(Workspace(root, "lab", root / "state"), PARIS, VERBS, NOW)


def problems(root: Path, text: str) -> list[Problem]:
    with pytest.raises(InvalidInput) as error:
        load(root, text)
    return list(error.value.problems)


def one(**changes: str) -> str:
    entry = {"name": "verdicts", "at": "daily 06:30", "run": "backup status", "grace": "3", **changes}
    lines = [f"{key}: {value}" for key, value in entry.items() if value]
    return "entries:\n  - " + "\n    ".join(lines) + "\n"


def test_an_entry_is_read(tmp_path: Path) -> None:
    text = one(at="weekly sunday 04:10", run="backup verify --site 'a b'", reported="[3]", lock="no", limit="12")
    (entry,) = load(tmp_path, text).entries
    assert (str(entry.at), entry.run) == ("weekly sunday 04:10", ("backup", "verify", "--site", "a b"))
    assert (entry.grace, entry.limit, entry.reported, entry.lock) == (3, 12, (3,), False)
    (entry,) = load(tmp_path, one(at="hourly")).entries
    assert (str(entry.at), entry.limit, entry.reported, entry.lock) == ("hourly", 6, (), True)


@pytest.mark.parametrize(
    ("changes", "line", "where", "expected"),
    [
        ({"at": "daily 24:00"}, 3, "at", "expected daily HH:MM, weekly DAY HH:MM or hourly"),
        ({"at": "daily 6:30"}, 3, "at", "6:30"),
        ({"at": "weekly 06:30"}, 3, "at", "weekly sunday"),
        ({"at": "'*-*-* 06:30'"}, 3, "at", "expected daily"),
        ({"at": "daily 02:30"}, 3, "at", "02:30 does not exist on 2027-03-28 in Europe/Paris"),
        ({"at": ""}, 2, "at", "expected this key"),
        ({"run": "socle backup status"}, 4, "run", "without the word socle"),
        ({"run": "backp status"}, 4, "run", "expected a verb of socle, found backp"),
        ({"run": "plan --env other"}, 4, "run", "expected neither --env nor --root"),
        ({"run": "plan --root=/"}, 4, "run", "expected neither --env nor --root"),
        ({"run": "schedule run verdicts"}, 4, "run", "the clock does not call schedule run"),
        ({"run": "backup 'status"}, 4, "run", "No closing quotation"),
        ({"run": '""'}, 4, "run", "expected a verb of socle"),
        ({"name": "Verdicts"}, 2, "name", "expected a-z, 0-9 and hyphens"),
        ({"name": "alerts"}, 2, "name", "expected another name"),
        ({"name": "a/b"}, 2, "name", "expected a-z, 0-9 and hyphens"),
        ({"grace": "0"}, 5, "grace", "greater than or equal to 1"),
        ({"grace": "soon"}, 5, "grace", "valid integer"),
        ({"every": "day"}, 6, "every", "expected a key that exists"),
    ],
)
def test_a_problem_says_where_and_what_to_do(
    tmp_path: Path, changes: dict[str, str], line: int, where: str, expected: str
) -> None:
    (found,) = problems(tmp_path, one(**changes))
    assert (found.path, found.line, found.where) == (PATH, line, f"entries.0.{where}")
    assert expected.replace("6:30", "6:30") in found.expected + found.remedy
    assert found.remedy or "such as" in found.expected, found


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    text = one() + one(at="daily 02:10", run="nothing").removeprefix("entries:\n")
    assert [(found.line, found.where) for found in problems(tmp_path, text)] == [
        (6, "entries.1.name"),
        (7, "entries.1.at"),
        (8, "entries.1.run"),
    ]


def test_there_must_be_a_schedule(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"backups/schedule.yml: expected this file"):
        load_schedule(Workspace(tmp_path, "lab", tmp_path), PARIS, VERBS, NOW)
    (found,) = problems(tmp_path, "entries: []\n")
    assert found.line == 1


def test_an_unknown_entry_is_said_with_those_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"found nothing \(known: verdicts\)"):
        load(tmp_path, one()).entry("nothing")


@pytest.mark.parametrize("entry", COMMITTED.entries, ids=lambda entry: entry.name)
def test_each_committed_entry_is_a_command_line_that_exists(entry: Schedule) -> None:
    """Parsed by click as the command line does, and not run."""
    words = list(entry.run)  # type: ignore[attr-defined]
    command: click.Command = socle
    context = click.Context(socle)
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found, f"socle {' '.join(entry.run)}: no {name}"  # type: ignore[attr-defined]
        command, context = found, click.Context(found, parent=context)
    command.make_context(entry.name, words)  # type: ignore[attr-defined]


def test_the_committed_schedule_does_what_must_run_by_the_clock() -> None:
    runs = {" ".join(entry.run) for entry in COMMITTED.entries}
    needed = {"backup status", "backup retain", "backup verify", "plan --full", "audit", "schedule alert"}
    assert needed <= runs
    assert "schedule certificates" in runs
    verbs = socle.list_commands(click.Context(socle))
    assert load_schedule(Workspace(REPOSITORY, "lab", REPOSITORY), PARIS, verbs, NOW) == COMMITTED
