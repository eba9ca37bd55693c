"""socle schedule: what the verbs show, write and send, with nothing but files and a mail server beside them."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from socle.clock import install as clock
from socle.clock.runs import load_record
from socle.load.workspace import Workspace
from tests.unit.clock.mail_server import MailServer, serving
from tests.unit.test_cli import root as root
from tests.unit.test_cli import socle

SCHEDULE = """\
entries:
  - name: check
    at: daily 06:30
    run: request check
    grace: 3
  - name: alert
    at: hourly
    run: schedule alert
    grace: 2
    lock: no
"""


@pytest.fixture
def place(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control repository with a schedule, and a machine whose clock is a cron of folders of its own."""
    (root / "backups").mkdir()
    path = root / "inventories/lab/platform.yml"
    platform = yaml.safe_load(path.read_text())
    del platform["alerts"]
    path.write_text(yaml.safe_dump(platform, allow_unicode=True))
    (root / "backups/schedule.yml").write_text(SCHEDULE)
    for name in ("UNITS", "CRON"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setattr(clock, name, folder)
    monkeypatch.setattr(clock.load_ours, "__defaults__", ((clock.UNITS, clock.CRON),))
    monkeypatch.setattr(clock.make_units, "__defaults__", (clock.UNITS,))
    monkeypatch.setattr(clock.make_cron, "__defaults__", (clock.CRON,))
    monkeypatch.setattr(clock, "find_clock", lambda: "cron")
    return root


def state_of(root: Path) -> Path:
    return root.parent / "state" / f"lab-{Workspace(root.resolve(), 'lab', Path()).mark}"


def configure(root: Path, server: MailServer, **changes: Any) -> None:
    path = root / "inventories/lab/platform.yml"
    alerts = {"smtp": f"127.0.0.1:{server.port}", "sender": "socle@a.example", "to": ["admin@a.example"]}
    platform = yaml.safe_load(path.read_text())
    platform["alerts"] = {**alerts, "starttls": "no", **changes}
    path.write_text(yaml.safe_dump(platform, allow_unicode=True))


@pytest.fixture
def server(place: Path) -> Iterator[MailServer]:
    with serving() as running:
        configure(place, running)
        yield running


def write_verdict(root: Path, verdict: str) -> None:
    path = state_of(root) / "verdicts.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    site = {"association": "amis", "site": "wp-amis", "verdict": verdict, "reason": "vide", "time": None, "bytes": 3}
    path.write_text(json.dumps({"sites": [site]}))


def subjects(server: MailServer) -> list[str]:
    mails = [email.message_from_bytes(content, policy=email.policy.default) for _, content in server.mails]
    return [str(mail["Subject"]).removeprefix("[socle lab] ") for mail in mails]


def test_install_show_and_remove(place: Path) -> None:
    dry = socle(place, "schedule", "install", "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    (path,) = json.loads(dry.stdout)["write"]
    assert not Path(path).exists()
    assert not state_of(place).exists()
    done = socle(place, "schedule", "install", "--json")
    assert json.loads(done.stdout) == json.loads(dry.stdout)
    assert Path(path).parent == clock.CRON
    assert "schedule run check --due" in Path(path).read_text()
    again = socle(place, "schedule", "install")
    assert again.stdout.strip() == "Nothing to change."
    shown = json.loads(socle(place, "schedule", "show", "--json").stdout)
    assert shown["clock"] == "cron"
    assert [(row["name"], row["run"], row["missed"]) for row in shown["entries"]] == [
        ("check", "request check", False),
        ("alert", "schedule alert", False),
    ]
    removed = json.loads(socle(place, "schedule", "remove", "--json").stdout)
    assert removed["remove"] == [path]
    assert not Path(path).exists()
    shown = json.loads(socle(place, "schedule", "show", "--json").stdout)
    assert shown["clock"] is None
    assert all(row["missed"] for row in shown["entries"])
    commands = [
        event["command"] for event in json.loads(socle(place, "journal", "--json").stdout) if "command" in event
    ]
    assert commands == ["schedule install", "schedule install", "schedule remove"]


def test_without_a_clock_nothing_is_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "find_clock", lambda: None)
    result = socle(place, "schedule", "install")
    assert result.returncode == 4
    assert "apt-get install cron" in result.stderr
    assert list(clock.CRON.iterdir()) == []


def test_run_runs_remembers_and_writes_metrics(place: Path) -> None:
    result = socle(place, "schedule", "run", "check", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["result"] == "done"
    state = state_of(place)
    assert "amis-du-lac" in (state / "logs/clock-check.log").read_text()
    record = load_record(state, "check")
    assert record
    assert record.exit == 0
    assert 'socle_schedule_last_run_exit_code{entry="check"' in (state / "metrics/socle.prom").read_text().replace(
        f'environment="{state.name}",', ""
    )
    ended = json.loads(socle(place, "journal", "--json").stdout)[-1]
    assert (ended["exit"], ended["result"]) == (0, "done")


def test_run_ends_with_the_exit_code_of_its_verb(place: Path) -> None:
    (place / "associations/amis-du-lac.yml").write_text("name: [")
    result = socle(place, "schedule", "run", "check")
    assert result.returncode == 2
    assert "exit code 2" in result.stderr
    assert "clock-check.log" in result.stderr


def test_run_when_due_runs_once(place: Path) -> None:
    assert socle(place, "schedule", "install").returncode == 0
    state = state_of(place)
    assert socle(place, "schedule", "run", "check", "--due").returncode == 0
    assert not (state / "logs/clock-check.log").exists()
    path = state / "clock/check.json"
    known = json.loads(path.read_text())
    known["since"] = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    path.write_text(json.dumps(known))
    assert socle(place, "schedule", "run", "check", "--due").returncode == 0
    log = state / "logs/clock-check.log"
    log.unlink()
    assert socle(place, "schedule", "run", "check", "--due").returncode == 0
    assert not log.exists()
    assert socle(place, "schedule", "run", "check").returncode == 0
    assert log.exists()


def test_an_unknown_entry_and_a_wrong_schedule_are_said(place: Path) -> None:
    result = socle(place, "schedule", "run", "nothing")
    assert result.returncode == 2
    assert "known: check, alert" in result.stderr
    (place / "backups/schedule.yml").write_text(SCHEDULE.replace("request check", "reqest check"))
    for verb in (["show"], ["install"], ["run", "check"], ["alert"]):
        result = socle(place, "schedule", *verb)
        assert result.returncode == 2
        assert "backups/schedule.yml:4: entries.0.run: expected a verb of socle, found reqest" in result.stderr
    path = place / "inventories/lab/platform.yml"
    path.write_text(path.read_text() + "timezone: Europe/Lutece\n")
    assert "timezone: expected a time zone, found 'Europe/Lutece'" in socle(place, "schedule", "show").stderr


def test_one_mail_when_it_breaks_and_one_when_it_is_mended(place: Path, server: MailServer) -> None:
    assert socle(place, "schedule", "install").returncode == 0
    write_verdict(place, "complete")
    assert socle(place, "schedule", "alert").returncode == 0
    assert server.mails == []
    write_verdict(place, "failed")
    dry = socle(place, "schedule", "alert", "--dry-run", "--json")
    (mail,) = json.loads(dry.stdout)["mails"]
    assert "sauvegarde en échec pour wp-amis" in mail["subject"]
    assert server.mails == []
    for _ in range(3):
        assert socle(place, "schedule", "alert").returncode == 0
    write_verdict(place, "complete")
    for _ in range(3):
        assert socle(place, "schedule", "alert").returncode == 0
    assert subjects(server) == [
        "Problème : sauvegarde en échec pour wp-amis",
        "Résolu : sauvegarde en échec pour wp-amis",
    ]


def test_a_mail_server_that_is_down_is_exit_code_3_and_loses_nothing(place: Path) -> None:
    assert socle(place, "schedule", "install").returncode == 0
    with serving() as gone:
        configure(place, gone)
    write_verdict(place, "failed")
    result = socle(place, "schedule", "alert")
    assert result.returncode == 3
    assert "kept for the next run" in result.stderr
    assert "socle_alerts_unsent" in (state_of(place) / "metrics/socle.prom").read_text()
    write_verdict(place, "complete")
    with serving() as server:
        configure(place, server)
        assert socle(place, "schedule", "alert").returncode == 0
        assert subjects(server) == [
            "Problème : sauvegarde en échec pour wp-amis",
            "Résolu : sauvegarde en échec pour wp-amis",
        ]


def test_a_wrong_schedule_is_told_once_by_the_run_that_cannot_be(place: Path, server: MailServer) -> None:
    assert socle(place, "schedule", "install").returncode == 0
    write_verdict(place, "failed")
    assert socle(place, "schedule", "alert").returncode == 0
    (place / "backups/schedule.yml").write_text(SCHEDULE.replace("06:30", "6h30"))
    for _ in range(2):
        assert socle(place, "schedule", "run", "alert", "--due").returncode == 2
    (place / "backups/schedule.yml").write_text(SCHEDULE)
    assert socle(place, "schedule", "alert").returncode == 0
    assert subjects(server) == [
        "Problème : sauvegarde en échec pour wp-amis",
        "Problème : calendrier illisible : plus rien ne s’exécute",
        "Résolu : calendrier illisible : plus rien ne s’exécute",
    ]


def test_a_missed_run_is_told(place: Path, server: MailServer) -> None:
    assert socle(place, "schedule", "install").returncode == 0
    path = state_of(place) / "clock/check.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({**known, "since": (datetime.now(UTC) - timedelta(days=3)).isoformat()}))
    shown = json.loads(socle(place, "schedule", "show", "--json").stdout)["entries"]
    assert [row["missed"] for row in shown] == [True, False]
    assert socle(place, "schedule", "alert").returncode == 0
    assert subjects(server) == ["Problème : travail programmé « check » manqué"]
    assert socle(place, "schedule", "run", "check").returncode == 0
    assert socle(place, "schedule", "alert").returncode == 0
    assert subjects(server)[1:] == ["Résolu : travail programmé « check » manqué"]


def test_nobody_to_tell_is_said(place: Path) -> None:
    write_verdict(place, "failed")
    result = socle(place, "schedule", "alert", "--json")
    assert result.returncode == 0
    assert "platform.yml has no alerts" in result.stderr
    found = json.loads(result.stdout)
    assert "backup:wp-amis" in [one["key"] for one in found["troubles"]]
    assert found["mails"] == []
    assert not (state_of(place) / "clock/alerts.json").exists()


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        ({"smtp": "mail"}, "alerts.smtp", "expected host:port"),
        ({"to": []}, "alerts.to", "at least 1 item"),
        ({"sender": "socle"}, "alerts.sender", "expected an e-mail address"),
        ({"smpt": "a:1"}, "alerts.smpt", "expected a key that exists"),
        ({"remind_after": "0"}, "alerts.remind_after", "greater than or equal to 1"),
    ],
)
def test_wrong_settings_are_said(place: Path, changes: dict[str, Any], where: str, expected: str) -> None:
    configure(place, MailServer(port=25), **changes)
    result = socle(place, "schedule", "alert")
    assert result.returncode == 2
    assert f"{where}: " in result.stderr
    assert expected in result.stderr


@pytest.mark.parametrize("verb", ["install", "remove", "show", "run", "alert", "certificates"])
def test_help_has_exit_codes_and_an_example(place: Path, verb: str) -> None:
    result = socle(place, "schedule", verb, "--help")
    assert result.returncode == 0
    for needed in ("Exit codes: 0 done;", "Example: socle schedule", "--env", "--json"):
        assert needed in result.stdout
