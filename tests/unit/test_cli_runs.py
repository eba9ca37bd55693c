"""Verbs that change something: locked before anything is read, recorded, and clear when something is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from socle.cli import lab
from socle.cli.plan import load_changes
from socle.load.workspace import Workspace
from socle.runs.talk import Talk
from socle.stages.base import Change, Context
from tests.unit.test_cli import root as root
from tests.unit.test_cli import socle


def journal_of(root: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(socle(root, "journal", "--json").stdout)
    return [event for event in events if event["event"] == "started"]


def test_what_changes_something_is_recorded(root: Path) -> None:
    assert socle(root, "request", "accept", "--all").returncode == 0
    assert socle(root, "request", "accept", "--all").returncode == 0
    assert socle(root, "secrets", "escrow").returncode == 0
    events = journal_of(root)
    assert [event["command"] for event in events] == ["request accept", "secrets escrow"]
    assert len(events[0]["plan"]) == 64


def test_escrow_before_any_request_works(root: Path) -> None:
    result = socle(root, "secrets", "escrow")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("AGE-SECRET-KEY-")


def test_a_host_added_is_given_its_number_even_without_request(root: Path) -> None:
    shutil.rmtree(root / "associations")
    (root / "associations").mkdir()
    path = root / "inventories/lab/platform.yml"
    assert socle(root, "request", "accept", "--all").returncode == 0
    platform = yaml.safe_load(path.read_text())
    platform["hosts"]["web2"] = {"role": "web", "memory": "1GiB"}
    path.write_text(yaml.safe_dump(platform))
    plan = socle(root, "plan")
    assert plan.returncode == 2
    assert "hosts.web2: expected a number" in plan.stderr
    accept = socle(root, "request", "accept", "--all")
    assert accept.returncode == 0, accept.stderr
    assert "web2: number 13" in accept.stderr
    allocations = yaml.safe_load((root / "inventories/lab/allocations.yml").read_text())
    assert allocations["hosts"]["web2"] == 13


def test_lab_down_asks_only_what_it_needs(root: Path) -> None:
    (root / "associations/amis-du-lac.yml").write_text("name: [")
    result = socle(root, "lab", "down")
    assert result.returncode == 4
    assert "add --yes" in result.stderr


def test_apply_without_a_state_folder_says_what_to_do(root: Path) -> None:
    result = socle(root, "apply")
    assert result.returncode == 2, result.stderr
    assert "socle lab up" in result.stderr


def test_inputs_are_read_once_the_lock_is_held(root: Path) -> None:
    """While somebody else is at work, nothing is read: their files may be half written."""
    state = root.parent / "state" / f"lab-{Workspace(root.resolve(), 'lab', Path()).mark}"
    state.mkdir(parents=True)
    (state / "lock").write_text(json.dumps({"boot": "another", "command": "apply", "who": "awa", "pid": "1"}))
    (root / "associations/amis-du-lac.yml").write_text("name: [")
    for command in (["apply"], ["request", "accept", "--all"]):
        result = socle(root, *command)
        assert result.returncode == 4, result.stderr
        assert "apply by awa" in result.stderr


class _Stage:
    def __init__(self, name: str, seen: list[tuple[str, frozenset[str]]]) -> None:
        self.name, self._seen = name, seen

    def preview(self, context: Context) -> list[Change]:
        self._seen.append((self.name, context.absent))
        kind, name = ("host", "web1") if self.name == "hosts" else ("site", "pg-a")
        return [Change(stage=self.name, action="create", kind=kind, name=name)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("only", "read", "shown"),
    [
        ((), ["hosts", "baseline", "sites"], ["hosts", "baseline", "sites"]),
        (("sites",), ["hosts", "sites"], ["sites"]),
        (("hosts",), ["hosts"], ["hosts"]),
    ],
)
def test_a_preview_of_one_stage_shows_that_stage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, only: tuple[str, ...], read: list[str], shown: list[str]
) -> None:
    seen: list[tuple[str, frozenset[str]]] = []
    monkeypatch.setattr("socle.cli.plan.STAGES", [_Stage(name, seen) for name in ("hosts", "baseline", "sites")])
    nothing: Any = None
    workspace = Workspace(tmp_path, "lab", tmp_path)
    context = Context(workspace, nothing, nothing, nothing, nothing, Talk(quiet=True))
    changes = load_changes(context, only)
    assert [change.stage for change in changes] == shown
    assert [name for name, _ in seen] == read
    assert all(absent == {"web1"} for name, absent in seen if name != "hosts")


def test_answering_no_removes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    group = click.Group("socle")
    lab.register(group)
    monkeypatch.setenv("SOCLE_STATE", str(root.parent / "state"))
    monkeypatch.setattr("socle.cli.lab.is_interactive", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    code = group.main(["lab", "down", "--root", str(root)], standalone_mode=False)
    assert code == 0
    assert "Nothing removed." in capsys.readouterr().err
    assert not (root.parent / "state").exists()
