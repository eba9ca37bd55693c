"""What travels to the agent and back."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from socle import agent
from socle.sites import exchange
from socle.sites.exchange import AgentFailed, Payload, make_command, parse_answer


def run_agent(payload: Payload) -> subprocess.CompletedProcess[str]:
    """The very command and input that go to a host, run here."""
    code = str(make_command().bits[-1].obj)
    stdin = "".join(payload.readlines())
    return subprocess.run([sys.executable, "-I", "-c", code], input=stdin, capture_output=True, text=True, check=False)


def test_the_agent_runs_alone_from_its_standard_input() -> None:
    result = run_agent(Payload({"mode": "unknown"}))
    assert result.returncode == 1
    assert "KeyError: 'unknown'" in result.stderr, "every module was loaded, without socle being installed"


def test_a_payload_cut_by_a_kill_does_nothing() -> None:
    payload = Payload({"mode": "apply", "sites": {}})
    payload._text = payload._text[:-8]
    assert run_agent(payload).returncode == 1


def test_every_module_of_the_agent_is_sent() -> None:
    folder = Path(exchange.__file__).parent / "agent"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(exchange._AGENT)


def test_a_payload_never_shows_itself() -> None:
    payload = Payload({"sites": {"a": "CANARY-7f3a"}})
    assert "CANARY" not in f"{payload} {payload!r} {[payload]}"
    assert "CANARY" not in str(make_command())


def test_long_payloads_are_cut_into_lines() -> None:
    lines = Payload({"x": [str(number**7) for number in range(20000)]}).readlines()
    assert max(map(len, lines[1:])) <= 8193
    assert len(lines) > 3


def test_answers() -> None:
    def pack(value: object) -> list[str]:
        return base64.encodebytes(zlib.compress(json.dumps(value).encode())).decode().splitlines()

    assert parse_answer("web1", pack({"sites": {}})) == {"sites": {}}
    with pytest.raises(AgentFailed, match="web1: busy"):
        parse_answer("web1", pack({"failed": "busy"}))
    with pytest.raises(AgentFailed, match="did not answer: no python"):
        parse_answer("web1", ["garbage"], "no python")
    bottomless = base64.encodebytes(zlib.compress(b"[" * 100_000 + b"]" * 100_000)).decode().splitlines()
    for nonsense in (bottomless, pack([]), ["x"], [base64.b64encode(b"x").decode()]):
        with pytest.raises(AgentFailed):
            parse_answer("web1", nonsense)


def test_an_answer_is_unpacked_as_far_as_it_may_be_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "ANSWER_BYTES", 1000)
    with pytest.raises(AgentFailed):
        parse_answer("web1", [base64.b64encode(zlib.compress(json.dumps({"sites": "x" * 9999}).encode())).decode()])
