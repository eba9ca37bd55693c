"""Sources are asked at once, and none holds the others up; certificates are read as a visitor reads them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from socle.authority import run_ensure_certificate
from socle.clock.certificates import make_trust
from socle.clock.runs import Record, run_save
from socle.clock.schedule import load_schedule
from socle.clock.watch import load_watch
from socle.errors import SocleError, Unreachable
from socle.load.workspace import Workspace
from socle.reports import observe
from socle.reports.edge import find_edge, load_shown
from socle.reports.parallel import run_parallel
from socle.runs.talk import Talk
from socle.secrets import SecretStore
from socle.stages.base import Context
from tests.make import CATALOGUE, make_inputs
from tests.unit.reports.made import PLAN

NAME = "web1"


def fail() -> str:
    raise ValueError("broken")


def test_a_slow_source_holds_nobody_up() -> None:
    start = time.monotonic()
    found = run_parallel({"slow": lambda: time.sleep(5) or "late", "quick": lambda: "here", "bad": fail}, seconds=0.2)
    assert time.monotonic() - start < 1
    assert found["quick"] == "here"
    assert isinstance(found["bad"], ValueError)
    assert isinstance(found["slow"], TimeoutError)
    assert list(found) == ["slow", "quick", "bad"]


def test_few_workers_do_all_jobs() -> None:
    assert run_parallel({n: (lambda n=n: n * n) for n in range(50)}, seconds=5, workers=3) == {
        n: n * n for n in range(50)
    }
    assert run_parallel({}, seconds=1) == {}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A state folder with an authority of its own, that visitors of the lab trust."""
    made = Workspace(tmp_path, "lab", tmp_path)
    run_ensure_certificate(made, NAME, IPv4Address("127.0.0.1"))
    (tmp_path / "acme-root.pem").write_bytes((tmp_path / "authority/authority.pem").read_bytes())
    return made


@pytest.fixture
def server(workspace: Workspace) -> Iterator[int]:
    """A TLS server for NAME on a port of this machine; it ends the handshake for any other name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(workspace.state / f"authority/{NAME}.pem", workspace.state / f"authority/{NAME}.key")

    def choose(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if name == "nobody.example" else None

    context.sni_callback = choose  # type: ignore[assignment]
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(plain, server_side=True) as connection:
                        connection.recv(1)
                except OSError:
                    continue

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_certificate_is_read_with_its_dates(workspace: Workspace, server: int) -> None:
    shown = load_shown(NAME, "127.0.0.1", make_trust(workspace.state), 5, server)
    assert shown.problem == ""
    assert shown.end is not None
    assert shown.begins is not None
    assert timedelta(days=300) < shown.end - datetime.now(UTC) < shown.end - shown.begins


def test_what_convinces_no_visitor_is_said(workspace: Workspace, server: int) -> None:
    other = load_shown("other.example", "127.0.0.1", make_trust(workspace.state), 5, server)
    assert (other.end, "not trusted: Hostname mismatch" in other.problem) == (None, True)
    stranger = load_shown(NAME, "127.0.0.1", ssl.create_default_context(), 5, server)
    assert stranger.problem.startswith("not trusted: ")
    nobody = load_shown("nobody.example", "127.0.0.1", make_trust(workspace.state), 5, server)
    assert nobody.problem.startswith("no certificate: ")


def test_an_edge_that_does_not_answer_is_out_of_reach(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        start = time.monotonic()
        with pytest.raises(Unreachable):
            load_shown(NAME, "127.0.0.1", make_trust(workspace.state), 0.2, port)
        assert time.monotonic() - start < 2
    with pytest.raises(Unreachable):
        load_shown(NAME, "127.0.0.1", make_trust(workspace.state), 0.2, port)


def test_the_edge_is_found_in_the_plan() -> None:
    assert find_edge(PLAN) == "10.64.1.10"
    assert find_edge(PLAN.model_copy(update={"hosts": ()})) == ""


def test_nothing_out_of_reach_blocks_the_status(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = make_inputs()
    store = SecretStore(workspace.secrets)
    context = Context(workspace, inputs.platform, PLAN, CATALOGUE, store, Talk(quiet=True))

    def hang(*_: object) -> None:
        time.sleep(20)

    def refuse(*_: object) -> None:
        raise SocleError("no\nschedule")

    monkeypatch.setattr(observe, "load_instances", hang)
    monkeypatch.setattr(observe, "load_volumes", refuse)
    monkeypatch.setattr(observe, "load_shown", hang)
    monkeypatch.setattr(observe, "load_missed", refuse)
    start = time.monotonic()
    found = observe.load_observed(context, ())
    assert time.monotonic() - start < 2
    assert {one.source for one in found.unknown} == {"incus hosts", "incus volumes", "edge", "secrets", "schedule"}
    assert (found.instances, found.volumes, found.escrow, found.missed) == (None, None, None, ())
    assert next(one.reason for one in found.unknown if one.source == "schedule") == "no schedule"
    assert "no answer within" in next(one.reason for one in found.unknown if one.source == "edge")


def test_each_volume_is_read_by_itself(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = make_inputs()
    context = Context(workspace, inputs.platform, PLAN, CATALOGUE, SecretStore(workspace.secrets), Talk(quiet=True))

    class Client:
        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def get_pool(self) -> None:
            pass

        def get_volume_state(self, name: str) -> dict[str, object]:
            if name == "web1_httpd":
                raise SocleError("gone")
            return {"usage": {"used": 5, "total": 10}}

    monkeypatch.setattr(observe, "_open", lambda _: Client())
    monkeypatch.setattr(observe, "load_certificates", lambda *_: {})
    found = observe.load_observed(context, ())
    assert found.volumes == {volume.name: (5, 10) for volume in PLAN.volumes if volume.name != "web1_httpd"}
    assert "volume web1_httpd" in {one.source for one in found.unknown}


def test_missed_runs_are_those_that_the_clock_tells(workspace: Workspace) -> None:
    platform = make_inputs().platform.model_copy(update={"lab": False})
    context = Context(workspace, platform, PLAN, CATALOGUE, SecretStore(workspace.secrets), Talk(quiet=True))
    verbs = ("audit", "backup")
    folder = workspace.root / "backups"
    folder.mkdir()
    entry = "{name: %s, at: daily 04:40, run: audit, grace: 1}"
    (folder / "schedule.yml").write_text(f"entries: [{entry % 'one'}, {entry % 'two'}]")
    assert [one.name for one in observe.load_missed(context, verbs)] == ["schedule"]
    timezone, now = ZoneInfo(PLAN.timezone), datetime.now(UTC)
    for name, ago in (("one", timedelta(0)), ("two", timedelta(days=3))):
        began = (now - ago).isoformat()
        record = Record(name, since=(now - timedelta(days=9)).isoformat(), at="daily 04:40", began=began, ended=began)
        (workspace.state / "clock").mkdir(exist_ok=True)
        run_save(workspace.state, record)
    watch = load_watch(workspace, load_schedule(workspace, timezone, verbs, now), timezone, now)
    missed = observe.load_missed(context, verbs)
    assert [one.name for one in missed] == [one.name for one in watch.missed()] == ["two"]
    assert missed[0].remedy == "run: socle schedule run two"
