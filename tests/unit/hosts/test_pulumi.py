"""Pulumi's command line, its leftovers and its failures."""

from __future__ import annotations

import json
from pathlib import Path

import pulumi
import pytest

from socle.errors import Exit, SocleError
from socle.stages.hosts_pulumi import Runner, find_pulumi, make_pulumi_command, parse_failure, run_forget_pending


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


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def has_pulumi() -> bool:
    try:
        return bool(find_pulumi())
    except SocleError:
        return False


@pytest.mark.skipif(not has_pulumi(), reason="needs the Pulumi CLI, which set-up installs")
def test_a_preview_leaves_the_state_of_a_running_apply_alone(tmp_path: Path) -> None:
    runner = Runner(tmp_path, tmp_path)
    runner.run_prepare()
    backend = runner.home / ".pulumi"
    state = backend / "stacks" / "socle" / "networks.json"
    lock = backend / "locks" / "organization" / "socle" / "networks" / "apply.json"
    operation = {
        "resource": {"urn": "urn:pulumi:networks::socle::pulumi:pulumi:Stack::x", "type": "pulumi:pulumi:Stack"},
        "type": "creating",
    }
    manifest = {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""}
    latest = {"manifest": manifest, "resources": [], "pending_operations": [operation]}
    checkpoint = {"stack": "organization/socle/networks", "latest": latest}
    for path, content in ((state, {"version": 3, "checkpoint": checkpoint}), (lock, {"pid": 1, "username": "apply"})):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    before = read_all(tmp_path)
    with runner.copied() as copy:
        steps = copy.run_preview("networks", lambda: pulumi.export("seen", 1))
        assert copy.home != runner.home
    assert steps == []
    assert read_all(tmp_path) == before
    runner.run_prepare()
    assert not lock.exists()
    assert "pending_operations" not in state.read_text()


@pytest.mark.skipif(not has_pulumi(), reason="needs the Pulumi CLI, which set-up installs")
def test_a_kill_beside_the_state_does_not_make_it_unreadable(tmp_path: Path) -> None:
    """gocloud's fileblob writes a file beside each of its own, and not at once."""
    runner = Runner(tmp_path, tmp_path)
    runner.run_prepare()
    runner.run_up("networks", lambda: pulumi.export("seen", 1))
    backend = runner.home / ".pulumi"
    assert list(backend.rglob("*.attrs")) == []
    cut = backend / "stacks/socle/networks.json.attrs"
    cut.touch()
    with pytest.raises(SocleError, match="EOF"):
        runner.run_up("networks", lambda: pulumi.export("seen", 1))
    runner.run_prepare()
    runner.run_up("networks", lambda: pulumi.export("seen", 1))
    assert not cut.exists()
