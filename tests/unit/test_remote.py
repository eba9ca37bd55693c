"""Commands and settings for reaching hosts. The connections themselves are tried in tests/live."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import ConnectError

from socle.errors import Unreachable
from socle.load.workspace import Workspace
from socle.remote import chatter, connected, make_inventory, make_ssh, run_ssh

WORKSPACE = Workspace(root=Path("/clone"), environment="lab", state=Path("/state"))


def test_ssh_arguments_are_quoted_once_for_the_remote_shell() -> None:
    assert make_ssh(WORKSPACE, "edge1", ["printf", "%s", "l'été $HOME", "; reboot"]) == [
        "ssh",
        "-F",
        "/state/ssh/config",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=10",
        "-o",
        "StrictHostKeyChecking=yes",
        "-T",
        "edge1",
        "--",
        "printf %s 'l'\"'\"'été $HOME' '; reboot'",
    ]


def test_inventory_trusts_known_host_keys_only() -> None:
    data = make_inventory(WORKSPACE, ["edge1", "web1", "edge1"])
    assert sorted(data.hosts) == ["edge1", "web1"]
    assert data.data["ssh_strict_host_key_checking"] == "yes"
    assert data.data["ssh_config_file"] == "/state/ssh/config"
    assert (data.data["ssh_allow_agent"], data.data["ssh_look_for_keys"]) == (False, False)


def test_every_host_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise ConnectError("no route")

    monkeypatch.setattr("pyinfra.connectors.ssh.SSHConnector.connect", refuse)
    with (
        pytest.raises(Unreachable, match=r"edge1: no route; web1: no route"),
        connected(WORKSPACE, ["web1", "edge1"]),
    ):
        pytest.fail("connected to hosts that are not there")


def test_hosts_are_reached_in_parallel_without_patching_python(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def exec_command(self, command: str, timeout: float) -> None: ...
        def close(self) -> None: ...

    def connect(self: object) -> None:
        time.sleep(0.2)
        self.client = Client()  # type: ignore[attr-defined]

    monkeypatch.setattr("pyinfra.connectors.ssh.SSHConnector.connect", connect)
    start = time.monotonic()
    with connected(WORKSPACE, [f"web{number}" for number in range(8)]) as state:
        assert len(state.inventory.get_active_hosts()) == 8
    assert time.monotonic() - start < 1.0  # one after the other: 1.6 s
    assert type(threading.Lock()).__module__ == "_thread"


def test_a_silent_host_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socle.remote.make_ssh", lambda *_: ["sleep", "30"])
    with pytest.raises(Unreachable, match="within 0 s"):
        run_ssh(WORKSPACE, "edge1", ["true"], timeout=0.2)


def test_chatter_never_takes_whole_commands(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("pyinfra")
    with chatter() as heard:
        logger.debug("Running command CANARY-7f3a")
        logger.error("[edge1] apt failed")
        logger.error("[web1] other")
    assert heard.errors_of("edge1") == "apt failed"
    assert not any("CANARY" in line for line in heard.errors)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        ("exec yes", {"limit": 9999}, "edge1 answered more than 9999 bytes: true"),
        ("exec yes >&2", {"timeout": 0.3}, "edge1 did not answer within 0 s: true"),
        ("exec sleep 9", {"timeout": 0.3, "stdin": b"x" * 10**7}, "edge1 did not answer within 0 s: true"),
        ("echo refused >&2; exit 255", {}, "cannot reach edge1 over SSH: refused"),
    ],
)
def test_a_host_is_listened_to_as_far_as_it_may_speak(
    monkeypatch: pytest.MonkeyPatch, script: str, options: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr("socle.remote.make_ssh", lambda *_: ["sh", "-c", script])
    with pytest.raises(Unreachable, match=said):
        run_ssh(WORKSPACE, "edge1", ["true"], **options)


def test_a_host_is_given_and_gives_all(monkeypatch: pytest.MonkeyPatch) -> None:
    given = bytes(range(256)) * 40_000
    monkeypatch.setattr("socle.remote.make_ssh", lambda *_: ["sh", "-c", "cat; echo bye >&2; exit 3"])
    result = run_ssh(WORKSPACE, "edge1", ["true"], stdin=given)
    assert (result.stdout, result.stderr, result.returncode) == (given, b"bye\n", 3)
    monkeypatch.setattr("socle.remote.make_ssh", lambda *_: ["sh", "-c", "exec 0<&-; echo done"])
    assert run_ssh(WORKSPACE, "edge1", ["true"], stdin=given).stdout == b"done\n"
