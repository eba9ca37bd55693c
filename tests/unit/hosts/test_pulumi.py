"""Pulumi's command line, its leftovers and its failures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from socle.errors import Exit
from socle.stages.hosts_pulumi import make_pulumi_command, parse_failure, run_forget_pending


def test_pulumi_dies_with_us_and_within_an_hour() -> None:
    assert make_pulumi_command("/opt/pulumi", ["up", "--yes"]) == [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--pid",
        "--fork",
        "--kill-child=SIGKILL",
        "timeout",
        "--signal=KILL",
        "3600",
        "env",
        "-u",
        "PULUMI_CONFIG_PASSPHRASE",
        "-u",
        "PULUMI_ACCESS_TOKEN",
        "-u",
        "PULUMI_STACK",
        "-u",
        "PULUMI_CONFIG",
        "/opt/pulumi",
        "--non-interactive",
        "up",
        "--yes",
    ]


def test_a_failure_is_said_in_the_providers_words_once() -> None:
    said = "Exception calling application: [[REFUSED|Incus: volume v: expected no deletion]]:\n  File x, line 1"
    error = parse_failure("host-web1", [said, "update failed"], f"noise {said} noise")
    assert str(error) == "Incus: volume v: expected no deletion"
    assert error.exit is Exit.REFUSED


def test_several_failures_are_all_said() -> None:
    errors = ["x [[UNEXPECTED|one\ntwo]] y", "x [[UNREACHABLE|three]] y"]
    error = parse_failure("networks", errors, "")
    assert str(error) == "one\ntwo\nthree"


def test_without_the_providers_words_the_last_lines_are_shown() -> None:
    output = "\n".join(f"line {number}" for number in range(20))
    error = parse_failure("networks", [], output)
    assert str(error) == "Pulumi, stack networks: " + "\n".join(f"line {number}" for number in range(12, 20))


def test_pending_operations_are_forgotten_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    resources = [{"urn": "u", "id": "web1"}]
    latest = {"resources": resources, "pending_operations": [{"type": "creating"}]}
    path.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    run_forget_pending(path)
    assert json.loads(path.read_text()) == {"version": 3, "checkpoint": {"latest": {"resources": resources}}}


@pytest.mark.parametrize(
    "content", ['{"version": 3, "checkpoint": {"latest": {"resources": []}}}', '{"checkpoint": {}}']
)
def test_a_state_without_pending_operations_is_not_written(content: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(content)
    run_forget_pending(path)
    assert path.read_text() == content


def test_an_unreadable_state_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"version": 3, "check')
    run_forget_pending(path)
    assert [file.name for file in tmp_path.iterdir()] == ["s.unreadable"]
