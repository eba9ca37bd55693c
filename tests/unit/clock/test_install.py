"""What the machine's clock is told: whole files; ours only, and each clone its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socle.clock import install as clock
from socle.clock.install import (
    Difference,
    check_clock,
    check_foreign,
    escape_cron,
    find_minutes,
    load_ours,
    make_cron,
    make_difference,
    make_prefix,
    make_units,
    quote_cron,
    quote_exec,
    quote_setting,
    render_calendar,
    render_cron,
    render_service,
    render_timer,
    run_difference,
    run_forget,
    run_note,
)
from socle.clock.runs import Record, load_record, run_save
from socle.clock.schedule import Entry, parse_moment
from socle.clock.times import Moment
from socle.errors import Refused
from socle.load.workspace import Workspace

PARIS, UTC_ZONE = ZoneInfo("Europe/Paris"), ZoneInfo("UTC")
NOW = datetime(2026, 11, 27, tzinfo=UTC)
WORKSPACE = Workspace(Path("/srv/control"), "prod", Path("/var/lib/socle/prod-9f2e"))
NAME = WORKSPACE.name


def entry(name: str = "verdicts", at: str = "daily 06:30", run: str = "backup status", **more: object) -> Entry:
    return Entry.model_validate({"name": name, "at": at, "run": run, "grace": 3, **more})


@pytest.fixture(autouse=True)
def python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/srv/control/.venv/bin/python")


def test_the_timer() -> None:
    assert (
        render_timer(WORKSPACE, entry(), "Europe/Paris")
        == f"""\
# Written by socle schedule install: what is changed here by hand is lost. See backups/schedule.yml
# socle-environment={NAME} /srv/control
[Unit]
Description=socle {NAME}: verdicts, daily 06:30

[Timer]
OnCalendar=*-*-* 06:30:00 Europe/Paris
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
    )


def test_the_service() -> None:
    environment = {"PATH": "/usr/bin", "SOCLE_STATE": "/srv/50% odd"}
    assert (
        render_service(WORKSPACE, entry(reported=[3, 10], limit=2), environment)
        == f"""\
# Written by socle schedule install: what is changed here by hand is lost. See backups/schedule.yml
# socle-environment={NAME} /srv/control
[Unit]
Description=socle {NAME}: verdicts
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User=root
WorkingDirectory=/
Environment="PATH=/usr/bin"
Environment="SOCLE_STATE=/srv/50%% odd"
ExecStart=/srv/control/.venv/bin/python -m socle schedule run verdicts --env prod --root /srv/control
SuccessExitStatus=3 10
TimeoutStartSec=9300
Nice=5
"""
    )


def test_the_file_for_cron() -> None:
    odd = Workspace(Path("/srv/100% l'été"), "prod", Path("/var/lib/socle/prod"))
    entries = [entry(), entry("verify", "weekly saturday 08:10"), entry("alert", "hourly")]
    text = render_cron(odd, entries, PARIS, UTC_ZONE, {"LANG": "C.UTF-8"}, NOW)
    command = "/srv/control/.venv/bin/python -m socle schedule run {} --due --env prod --root '/srv/100\\% l'\"'\"'été'"
    names = ("verdicts", "verify", "alert")
    lines = [f"{{}} * * * * root cd / && {command.format(name)} >/dev/null 2>&1" for name in names]
    assert (
        text
        == f"""\
# Written by socle schedule install: what is changed here by hand is lost. See backups/schedule.yml
# socle-environment={odd.name} /srv/100% l'été
# Times are of Europe/Paris. Each line asks every hour whether its run is due: cron knows neither time
# zones nor what was missed.
SHELL=/bin/sh
MAILTO=""
LANG="C.UTF-8"
# verdicts: daily 06:30
{lines[0].format(30)}
# verify: weekly saturday 08:10
{lines[1].format(10)}
# alert: hourly
{lines[2].format(0)}
"""
    )


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("daily 06:30", "*-*-* 06:30:00 Europe/Paris"),
        ("weekly sunday 04:10", "Sun *-*-* 04:10:00 Europe/Paris"),
        ("weekly monday 00:00", "Mon *-*-* 00:00:00 Europe/Paris"),
        ("hourly", "*-*-* *:00:00 UTC"),
    ],
)
def test_moments_in_the_words_of_systemd(at: str, expected: str) -> None:
    assert render_calendar(parse_moment(at), "Europe/Paris") == expected
    if shutil.which("systemd-analyze"):
        subprocess.run(["systemd-analyze", "calendar", expected], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("moment", "zone", "machine", "expected"),
    [
        (Moment("daily", 6, 30), "Europe/Paris", "UTC", [30]),
        (Moment("daily", 6, 30), "Europe/Paris", "Asia/Kolkata", [0]),
        (Moment("daily", 6, 10), "Asia/Kathmandu", "UTC", [25]),
        (Moment("daily", 6, 10), "Australia/Lord_Howe", "UTC", [10, 40]),
        (Moment("hourly"), "Asia/Kolkata", "Asia/Kolkata", [30]),
    ],
)
def test_at_which_minutes_cron_asks(moment: Moment, zone: str, machine: str, expected: list[int]) -> None:
    assert find_minutes(moment, ZoneInfo(zone), ZoneInfo(machine), NOW) == expected


def test_two_clones_and_two_environments_never_meet(tmp_path: Path) -> None:
    places = [Workspace(Path("/srv/a"), "prod", tmp_path), Workspace(Path("/srv/b"), "prod", tmp_path)]
    places.append(Workspace(Path("/srv/a"), "lab", tmp_path))
    for place in places:
        for path, text in make_units(place, [entry()], "UTC", {}, tmp_path).items():
            path.write_text(text)
    assert len(list(tmp_path.iterdir())) == 6
    for place in places:
        ours = load_ours(place, [tmp_path])
        names = {f"{make_prefix(place)}-verdicts.{kind}" for kind in ("timer", "service")}
        assert {path.name for path in ours} == names


def test_names_are_what_cron_reads() -> None:
    odd = Workspace(Path("/srv/a"), "pré.prod", Path("/x"))
    (path,) = make_cron(odd, "", Path("/etc/cron.d"))
    assert set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_only_what_differs_is_written_and_what_is_ours_no_more_removed(tmp_path: Path) -> None:
    wanted = make_units(WORKSPACE, [entry(), entry("audit")], "UTC", {}, tmp_path)
    assert make_difference(wanted, {}) == Difference(wanted, ())
    for path, text in wanted.items():
        path.write_text(text)
    assert not make_difference(wanted, load_ours(WORKSPACE, [tmp_path]))
    less = make_units(WORKSPACE, [entry(at="daily 07:30")], "UTC", {}, tmp_path)
    difference = make_difference(less, load_ours(WORKSPACE, [tmp_path]))
    prefix = make_prefix(WORKSPACE)
    assert [path.name for path in difference.write] == [f"{prefix}-verdicts.timer"]
    assert [path.name for path in difference.remove] == [f"{prefix}-audit.service", f"{prefix}-audit.timer"]


def test_a_namesake_that_is_not_ours_is_refused_and_not_removed(tmp_path: Path) -> None:
    wanted = make_cron(WORKSPACE, "text\n", tmp_path)
    (path,) = wanted
    path.write_text("# somebody else's\n* * * * * root true\n")
    ours = load_ours(WORKSPACE, [tmp_path])
    assert ours == {}
    with pytest.raises(Refused, match="move it away"):
        check_foreign(make_difference(wanted, ours), ours)
    assert make_difference({}, ours).remove == ()


@pytest.fixture
def systemctl(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(clock, "run", lambda arguments, **_: calls.append(arguments))
    return calls


def test_systemd_is_told_also_after_a_kill_between_writing_and_starting(
    tmp_path: Path, systemctl: list[list[str]]
) -> None:
    wanted = make_units(WORKSPACE, [entry()], "UTC", {}, tmp_path)
    timer = f"{make_prefix(WORKSPACE)}-verdicts.timer"
    run_difference(make_difference(wanted, {}), [timer])
    assert systemctl == [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now", "--quiet", timer],
        ["systemctl", "restart", timer],
    ]
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        timer: 0o644,
        timer.replace("timer", "service"): 0o644,
    }
    systemctl.clear()
    run_difference(make_difference(wanted, load_ours(WORKSPACE, [tmp_path])), [timer])
    assert systemctl == [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "--quiet", timer]]
    systemctl.clear()
    run_difference(make_difference({}, load_ours(WORKSPACE, [tmp_path])), ())
    assert systemctl == [
        ["systemctl", "disable", "--now", timer],
        ["systemctl", "clean", "--what=state", timer],
        ["systemctl", "daemon-reload"],
    ]
    assert list(tmp_path.iterdir()) == []


def test_cron_needs_no_systemd(tmp_path: Path, systemctl: list[list[str]]) -> None:
    wanted = make_cron(WORKSPACE, "text\n", tmp_path)
    run_difference(make_difference(wanted, {}), ())
    assert systemctl == []
    assert next(iter(wanted)).read_text() == "text\n"


def test_without_any_clock_it_says_what_to_install() -> None:
    assert check_clock("cron") == "cron"
    with pytest.raises(Refused, match="apt-get install cron"):
        check_clock(None)


def test_since_when_an_entry_is_known_changes_with_its_time_only(tmp_path: Path) -> None:
    later = datetime(2026, 12, 1, tzinfo=UTC)
    run_note(tmp_path, [entry()], NOW)
    run_save(tmp_path, Record("audit", since="", began="2026-11-01T00:00:00+00:00", result="done"))
    run_note(tmp_path, [entry(), entry("audit")], later)

    def known(name: str) -> Record:
        found = load_record(tmp_path, name)
        assert found
        return found

    assert (known("verdicts").since, known("verdicts").at) == (NOW.isoformat(), "daily 06:30")
    assert (known("audit").since, known("audit").began) == (later.isoformat(), "2026-11-01T00:00:00+00:00")
    run_note(tmp_path, [entry(at="daily 07:30")], later)
    assert known("verdicts").since == later.isoformat()
    run_forget(tmp_path)
    assert known("verdicts").at == known("audit").at == ""


words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=30)


@settings(deadline=None)
@given(words)
def test_a_word_reaches_the_program_through_cron_as_it_is(word: str) -> None:
    """As cron reads it, then sh: cron(8) turns \\% into % and ends the command at a bare one."""
    line = escape_cron(shlex.join(["printf", "%s", word]))
    command = line.replace("\\%", "\0")
    assert "%" not in command
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    shell = ["/bin/sh", "-c", command.replace("\0", "%")]
    shown = subprocess.run(shell, capture_output=True, check=True, env=environment)
    assert shown.stdout.decode() == word


@settings(deadline=None)
@given(words)
def test_a_word_reaches_the_program_through_systemd_as_it_is(word: str) -> None:
    """As systemd.service(5) and systemd.unit(5) read a quoted word: $$, %%, and backslashes undone."""
    quoted = quote_exec(word)
    if quoted == word:
        assert not set(word) & set("%$\"'\\ ")
        return
    assert quoted[0] == quoted[-1] == '"'
    undone = re.sub(r"\\(.)", r"\1", quoted[1:-1].replace("$$", "$").replace("%%", "%"))
    assert undone == word
    assert quote_setting(word) == quoted.replace("$$", "$")


def test_what_systemd_would_expand_is_doubled() -> None:
    assert quote_exec('/a $HOME 50% "b"\\') == '"/a $$HOME 50%% \\"b\\"\\\\"'
    assert quote_setting("A=$HOME 50%") == '"A=$HOME 50%%"'
    assert quote_exec("/srv/control") == "/srv/control"


def test_values_of_cron_are_quoted_or_refused() -> None:
    assert quote_cron("/a b") == '"/a b"'
    assert quote_cron('/a "b') == "'/a \"b'"
    with pytest.raises(Refused):
        quote_cron("/a 'b\"")
