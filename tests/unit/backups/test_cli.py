"""socle backup: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from socle.backups.run import Outcome
from socle.backups.verdict import Verdict
from socle.cli import backup
from tests.unit.test_cli import root as root
from tests.unit.test_cli import socle
from tests.unit.test_cli_runs import journal_of

GOOD = Verdict(
    association="a", site="wp-a", verdict="complete", snapshot="ab" * 32, time="2026-11-27T01:31:00+00:00", bytes=3072
)
BAD = GOOD.model_copy(update={"site": "wp-b", "verdict": "failed", "reason": "The last attempt failed: full."})


class _Sight:
    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = verdicts


@pytest.fixture
def accepted(root: Path) -> Path:
    assert socle(root, "request", "accept", "--all").returncode == 0
    return root


def show(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> None:
    monkeypatch.setattr(backup, "load_sight", lambda *_: _Sight(*verdicts))


def test_status_is_green_only_when_everything_is_complete(accepted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, GOOD)
    result = socle(accepted, "backup", "status", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "sites": [
            {
                "association": "a",
                "site": "wp-a",
                "verdict": "complete",
                "snapshot": "ab" * 32,
                "time": "2026-11-27T01:31:00+00:00",
                "bytes": 3072,
                "reason": "",
            }
        ]
    }
    show(monkeypatch, GOOD, BAD)
    result = socle(accepted, "backup", "status")
    assert result.returncode == 3
    assert "abababab" in result.stdout
    assert "2026-11-27 01:31:00 UTC" in result.stdout
    assert "3.0 KiB" in result.stdout
    assert "The last attempt failed: full." in result.stdout
    assert "Next: socle backup run --due" in result.stderr


@pytest.mark.parametrize("word", ["partial", "failed", "late", "unknown"])
def test_nothing_but_complete_is_green(accepted: Path, monkeypatch: pytest.MonkeyPatch, word: Any) -> None:
    show(monkeypatch, GOOD, GOOD.model_copy(update={"verdict": word, "reason": "run socle backup mend."}))
    result = socle(accepted, "backup", "status")
    assert result.returncode == 3
    assert "Next: socle backup mend" in result.stderr


def test_a_run_is_recorded_and_judged_from_the_vault(accepted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[dict[str, str]] = []
    monkeypatch.setattr(backup, "run_save", lambda _, chosen: saved.append(chosen) or {"web1": "web1: out of reach"})
    show(monkeypatch, BAD)
    result = socle(accepted, "backup", "run", "--json")
    assert result.returncode == 3
    assert json.loads(result.stdout)["sites"][0]["verdict"] == "failed"
    assert "web1: out of reach" in result.stderr
    assert {site: host for site, host in saved[0].items() if site != "platform"} == {
        "wp-amis-du-lac": "web1",
        "wp-ecole-du-bourg": "web1",
    }
    assert saved[0]["platform"] == ""
    assert journal_of(accepted)[-1]["command"] == "backup run"


def test_only_what_is_due_is_saved(accepted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[dict[str, str]] = []
    monkeypatch.setattr(backup, "run_save", lambda _, chosen: saved.append(chosen) or {})
    monkeypatch.setattr(backup.time, "time", lambda: 1795743060.0 + 3600)
    show(monkeypatch, GOOD, BAD.model_copy(update={"site": "wp-ecole-du-bourg"}))
    assert socle(accepted, "backup", "run", "--due").returncode == 3
    assert saved == [{"wp-ecole-du-bourg": "web1"}]
    show(monkeypatch, GOOD)
    assert socle(accepted, "backup", "run", "--due").returncode == 0
    assert len(saved) == 1, "nothing was due"
    assert [event["command"] for event in journal_of(accepted)].count("backup run") == 1


def test_a_dry_run_saves_nothing(accepted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "run_save", lambda *_: pytest.fail("it saves"))
    shown = socle(accepted, "backup", "run", "wp-amis-du-lac", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "/usr/lib/socle/backup run --json wp-amis-du-lac" in shown.stdout
    everything = json.loads(socle(accepted, "backup", "run", "--dry-run", "--json").stdout)
    assert [one["host"] for one in everything["hosts"]] == ["", "web1"]


def test_a_site_that_is_not_saved_is_refused(accepted: Path) -> None:
    result = socle(accepted, "backup", "run", "wp-nobody", "--json")
    assert result.returncode == 2
    assert "found wp-nobody" in json.loads(result.stderr)["error"]
    assert socle(accepted, "backup", "accept", "wp-nobody").returncode == 2


@pytest.mark.parametrize(
    ("verb", "function", "changes"),
    [("verify", "run_verify", 0), ("retain", "run_retain", 2), ("mend", "run_mend", 2)],
)
def test_what_is_done_in_repositories(
    accepted: Path, monkeypatch: pytest.MonkeyPatch, verb: str, function: str, changes: int
) -> None:
    outcomes = [Outcome(name="a", association="a", done=("index/" + "cd" * 32, "x"), kept=3)]
    monkeypatch.setattr(backup, function, lambda *_, **__: outcomes)
    result = socle(accepted, "backup", verb)
    assert result.returncode == 0, result.stderr
    assert "index/cdcdcdcd, x" in result.stdout
    events = [json.loads(line) for line in next(accepted.parent.glob("state/*/journal.jsonl")).read_text().splitlines()]
    assert (events[-2]["command"], events[-1]["changes"]) == (f"backup {verb}", changes)
    outcomes[0] = Outcome(name="a", association="a", reason="vault1 is away")
    assert socle(accepted, "backup", verb, "--json").returncode == 3


@pytest.mark.parametrize("verb", ["retain", "mend"])
def test_dry_runs_are_not_recorded(accepted: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setattr(backup, f"run_{verb}", lambda _context, dry_run: [] if dry_run else pytest.fail("it acts"))
    result = socle(accepted, "backup", verb, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "No vault has a repository." in result.stdout
    assert all(not event["command"].startswith("backup") for event in journal_of(accepted))


@pytest.mark.parametrize("verb", ["run", "status", "verify", "retain", "mend", "accept"])
def test_help_names_exit_codes_and_an_example(root: Path, verb: str) -> None:
    shown = socle(root, "backup", verb, "--help").stdout
    assert "Exit codes: 0 done" in shown
    assert f"Example: socle backup {verb}" in shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 1024**3, "3.0 GiB"), (1024**6, "1048576.0 TiB")],
)
def test_sizes(size: int, shown: str) -> None:
    assert backup.render_size(size) == shown
