"""The journal says who changed what; a kill in the middle of a line costs that line only."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from socle.runs.journal import load_commit, load_journal, recorded
from socle.runs.who import load_who


def make_repository(folder: Path) -> None:
    for arguments in (
        ["init", "-q"],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)


def test_a_run_is_recorded_from_start_to_end(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    make_repository(root)
    with recorded(tmp_path, root, "apply", "d1gest") as entry:
        entry.changes = 3
    started, ended = load_journal(tmp_path)
    assert started["commit"] == load_commit(root)[0]
    assert (started["dirty"], started["plan"], started["command"]) == (False, "d1gest", "apply")
    assert (ended["run"], ended["result"], ended["changes"]) == (started["run"], "done", 3)
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_clone_of_another_user_is_read(tmp_path: Path) -> None:
    make_repository(tmp_path)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 65534, 65534)
    assert len(load_commit(tmp_path)[0]) == 40


def test_the_person_behind_sudo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "awa")
    with recorded(tmp_path, tmp_path, "apply", ""):
        pass
    assert next(load_journal(tmp_path))["who"] == "awa"


def test_a_user_without_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", lambda: {}["no such uid"])
    assert load_who() == f"uid {os.getuid()}"


def test_a_run_that_removes_the_state_ends_well(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with recorded(state, tmp_path, "lab down", ""):
        shutil.rmtree(state)
    assert not state.exists()


def test_a_dirty_repository_is_said(tmp_path: Path) -> None:
    make_repository(tmp_path)
    (tmp_path / "new").touch()
    assert load_commit(tmp_path)[1] is True


def test_a_failure_is_recorded_without_its_message(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="s3cret"), recorded(tmp_path, tmp_path, "apply", ""):
        raise ValueError("s3cret")
    assert [event.get("result") for event in load_journal(tmp_path)] == [None, "failed: ValueError"]
    assert "s3cret" not in (tmp_path / "journal.jsonl").read_text()


def test_a_cut_line_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"event": "sta')
    with recorded(tmp_path, tmp_path, "apply", ""):
        pass
    assert [event["event"] for event in load_journal(tmp_path)] == ["started", "ended"]
