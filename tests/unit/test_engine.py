"""The engine's pure parts, and starting it when there is nothing to do or nothing answers."""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from socle.errors import SocleError, Unreachable
from socle.lab import engine, limits


def test_only_limits_that_are_too_low_are_raised() -> None:
    current = {"kernel.keys.maxkeys": 200, "fs.inotify.max_user_instances": 8192, "net.ipv4.ip_forward": 0}
    assert limits.make_raised(current) == {"kernel.keys.maxkeys": 2000, "net.ipv4.ip_forward": 1}


def test_render_sysctl() -> None:
    assert limits.render_sysctl() == (
        "# Written by socle: what several system containers on one machine need.\n"
        "kernel.keys.maxkeys = 2000\n"
        "kernel.keys.maxbytes = 2000000\n"
        "fs.inotify.max_user_instances = 1024\n"
        "net.ipv4.ip_forward = 1\n"
    )


def test_the_daemon_belongs_to_no_terminal() -> None:
    command = engine.make_detached(engine.make_incusd_command(Path("/var/log/socle/incusd.log")))
    assert command == [
        *("setsid", "--fork", "/usr/libexec/incus/incusd"),
        *("--group", "incus-admin", "--logfile", "/var/log/socle/incusd.log"),
    ]


def test_nothing_of_the_callers_environment_reaches_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "secret")
    assert engine.make_incusd_environment() == {
        "PATH": "/usr/libexec/incus:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "INCUS_EXEC_PATH": "/usr/libexec/incus/incusd",
        "LD_LIBRARY_PATH": "/usr/lib/incus",
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([b"/usr/libexec/incus/incusd", b"--group", b"incus-admin", b""], True),
        ([b"/usr/libexec/incus/incusd", b""], True),
        ([b"/usr/libexec/incus/incusd", b"forkproxy", b"--", b""], False),
        ([b"[lxc monitor] /var/lib/incus/containers web1", b""], False),
        ([b"grep", b"/usr/libexec/incus/incusd", b""], False),
        ([b""], False),
    ],
)
def test_helpers_are_not_taken_for_the_daemon(arguments: list[bytes], expected: bool) -> None:
    assert engine.is_daemon(arguments) is expected


def test_a_device_that_is_forbidden_or_missing_cannot_be_opened(tmp_path: Path) -> None:
    assert engine.load_can_open(Path("/dev/null"))
    assert not engine.load_can_open(tmp_path / "fuse")


class _Handler(BaseHTTPRequestHandler):
    ready = True

    def do_GET(self) -> None:
        status = 200 if self.ready or self.path == "/1.0" else 500
        body = b'{"metadata": {"environment": {"server_version": "6.0.4"}}}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it so
        """Say nothing: the base class writes to standard error."""


class _Server(socketserver.ThreadingUnixStreamServer):
    def get_request(self) -> tuple[object, tuple[str, int]]:
        return super().get_request()[0], ("unix", 0)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Handler]]:
    """Something that answers as incusd does, on a socket of its own."""
    handler = type("Handler", (_Handler,), {})
    monkeypatch.setattr(engine, "SOCKET", tmp_path / "unix.socket")
    monkeypatch.setattr(engine, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(engine, "run_limits", dict)
    with _Server(str(tmp_path / "unix.socket"), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield handler
        server.shutdown()


def test_a_running_engine_is_left_alone(daemon: type[_Handler], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_is_lxcfs_alive", lambda: True)
    monkeypatch.setattr(engine, "_run_detached", lambda *_: pytest.fail("started a second daemon"))
    info = engine.run_engine()
    assert (info.version, info.started, info.raised) == ("6.0.4", (), {})


def test_lxcfs_that_died_alone_is_started(daemon: type[_Handler], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_is_lxcfs_alive", lambda: False)
    monkeypatch.setattr(engine, "load_has_systemd", lambda: False)
    monkeypatch.setattr(engine, "_run_lxcfs", lambda: ("lxcfs",))
    assert engine.run_engine().started == ("lxcfs",)


def _make_client(pool: dict[str, object], seen: list[str]) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json={"metadata": pool})

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://incus")


@pytest.mark.parametrize(
    ("status", "used_by", "expected"),
    [
        ("Created", ["/1.0/images/x"], []),
        ("Unavailable", [], ["DELETE /1.0/storage-pools/p", "POST /1.0/storage-pools"]),
    ],
)
def test_a_pool_killed_halfway_is_made_again(
    monkeypatch: pytest.MonkeyPatch, status: str, used_by: list[str], expected: list[str]
) -> None:
    seen: list[str] = []
    pool = {"name": "p", "driver": "btrfs", "status": status, "used_by": used_by}
    monkeypatch.setattr(engine, "make_client", lambda **_: _make_client(pool, seen))
    assert engine.run_pool("p").created is bool(expected)
    assert seen == ["GET /1.0/storage-pools/p", *expected]


def test_an_unavailable_pool_that_is_used_is_never_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[str] = []
    pool = {"name": "p", "driver": "btrfs", "status": "Unavailable", "used_by": ["/1.0/instances/web1"]}
    monkeypatch.setattr(engine, "make_client", lambda **_: _make_client(pool, seen))
    monkeypatch.setattr(engine, "LOGS", tmp_path)
    with pytest.raises(SocleError, match="unavailable, with data in it"):
        engine.run_pool("p")
    assert seen == ["GET /1.0/storage-pools/p"]


def test_a_daemon_that_still_starts_is_not_ready(daemon: type[_Handler]) -> None:
    daemon.ready = False
    assert engine.load_version() is None


def test_a_dead_daemons_socket_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "unix.socket"
    _Server(str(path), _Handler).server_close()
    assert path.exists()
    monkeypatch.setattr(engine, "SOCKET", path)
    assert engine.load_version() is None


def test_waiting_ends_and_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SOCKET", tmp_path / "nothing")
    monkeypatch.setattr(engine, "LOGS", tmp_path)
    monkeypatch.setattr(engine, "_READY_SECONDS", 0.3)
    monkeypatch.setattr(engine, "load_daemons", list)
    monkeypatch.setattr(engine, "load_has_systemd", lambda: False)
    with pytest.raises(Unreachable, match=rf"does not stay up.*{tmp_path}/incusd.log"):
        engine._run_wait()


def test_a_detached_command_gets_a_session_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    engine._run_detached(["sh", "-c", "ps -o sid= -p $$; env; umask"], {"PATH": os.environ["PATH"]}, log)
    deadline = 100
    while len(log.read_text().splitlines()) < 3 and deadline:
        deadline -= 1
        threading.Event().wait(0.05)
    session, *rest = log.read_text().split()
    assert int(session) != os.getsid(0)
    assert rest[-1] == "0022"
    assert not any(line.startswith("HOME=") for line in rest)
