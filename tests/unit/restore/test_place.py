"""What a host is told, and what is made of its answer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from socle.errors import Unreachable
from socle.restore import place
from socle.restore.choose import Snapshot
from socle.restore.place import Answer, Result, make_arguments, make_given, make_result, run_program
from socle.restore.repository import Chosen, make_environment
from socle.sites.desired import Wanted
from tests.unit.restore.samples import make_site

CHOSEN = Chosen(make_site(), Snapshot("e" * 64, "t", 1.0, (), ()), {})
RECORD = {
    "site": "wp-a",
    "snapshot": "e" * 64,
    "result": "returned",
    "reason": "why",
    "safety": "f" * 64,
    "checks": [{"name": "a", "status": "passed", "evidence": "b"}],
    "notes": ["n"],
    "seconds": 2.5,
}


def test_the_whole_command() -> None:
    assert make_arguments(CHOSEN) == ["/usr/lib/socle/restore", "wp-a", "--snapshot", "e" * 64, "--json"]
    assert make_arguments(CHOSEN, check=True, without_safety=True)[-2:] == ["--check", "--without-safety"]


def test_what_the_host_does_not_know() -> None:
    wires = (
        {"key": "directory:/srv/sites/wp-a", "expected": {}},
        {"key": "directory:/srv/sites/wp-a/wp-content", "expected": {"mode": 0o2750, "owner": "wp-a", "group": "www"}},
        {"key": "directory:/srv/sites/wp-ab/x", "expected": {}},
        {"key": "file:/srv/sites/wp-a/f", "expected": {}},
    )
    wanted = Wanted("wp-a", "a", wires, "")
    given = make_given(make_site(), wanted, "10.0.0.5", {"database_password": "p"}, {"files": 1})
    assert given == {
        "directories": [{"path": "wp-content", "mode": 0o2750, "owner": "wp-a", "group": "www"}],
        "unit": "socle-wp-a.service",
        "uid": 2000,
        "domain": "a.example",
        "address": "10.0.0.5",
        "database_password": "p",
        "room": {"files": 1},
    }


def test_a_record_is_the_result() -> None:
    result = make_result(CHOSEN, Answer(RECORD))
    assert (result.result, result.reason, result.safety, result.good) == ("returned", "why", "f" * 64, False)
    assert make_result(CHOSEN, Answer({**RECORD, "result": "restored"})).good


@pytest.mark.parametrize("changes", [{"seconds": "x"}, {"checks": 3}, {"checks": [{}]}, {"notes": None}])
def test_what_a_hostile_host_says_is_no_result(changes: dict[str, Any]) -> None:
    assert make_result(CHOSEN, Answer({**RECORD, **changes}, "said")).result == "failed"


def test_silence_is_a_failure() -> None:
    result = make_result(CHOSEN, Answer({}, "Killed"))
    assert (result.result, result.good) == ("failed", False)
    assert "Killed" in result.reason


def stub_ssh(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(place, "make_ssh", lambda _, host, arguments: ["ssh", host, *arguments])


def test_steps_are_said_as_they_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = (
        f"cat > {tmp_path}/given; echo '{json.dumps({'step': 'one'})}'; echo noise; echo '{json.dumps(RECORD)}'; exit 3"
    )
    stub_ssh(monkeypatch, tmp_path, code)
    said: list[str] = []
    answer = run_program(None, "web1", ["x"], {"database_password": "p$w"}, said.append)  # type: ignore[arg-type]
    assert (said, answer.record["result"]) == (["one"], "returned")
    assert json.loads((tmp_path / "given").read_text()) == {"database_password": "p$w"}


def test_a_host_out_of_reach_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub_ssh(monkeypatch, tmp_path, "echo no route >&2; exit 255")
    with pytest.raises(Unreachable, match="no route"):
        run_program(None, "web1", ["x"], {}, print)  # type: ignore[arg-type]


def test_a_program_that_is_not_there_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub_ssh(monkeypatch, tmp_path, "cat >/dev/null; echo not found >&2; exit 127")
    result = make_result(CHOSEN, run_program(None, "web1", ["x"], {}, print))  # type: ignore[arg-type]
    assert (result.result, "not found" in result.reason) == ("failed", True)


def test_no_secret_is_in_a_command(tmp_path: Path) -> None:
    class Space:
        state = tmp_path

    secrets = {"key": "KEY-canary", "credential": "CREDENTIAL-canary"}
    environment = make_environment(Space(), "rest:https://127.0.0.1:4000/a/", secrets, "a")  # type: ignore[arg-type]
    assert environment["RESTIC_REPOSITORY"] == "rest:https://a:CREDENTIAL-canary@127.0.0.1:4000/a/"
    from socle.restore.repository import Restic

    command: Any = Restic("a", tmp_path / "c.pem", environment).command("dump", "id", "/x")
    assert "canary" not in " ".join(command)
    assert command == ["restic", "dump", "--no-lock", "--quiet", "--cacert", f"{tmp_path}/c.pem", "id", "/x"]


def test_results_that_are_good() -> None:
    assert [Result("a", "a", word).good for word in ("restored", "checked", "refused", "stuck")] == [
        True,
        True,
        False,
        False,
    ]
