"""Who is believed over HTTPS: exactly one certificate, whatever the environment says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from socle.errors import InvalidInput, Unreachable
from socle.incus.connect import Reach, make_paths, open_client
from tests.live.hosts_https import make_certificate


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"metadata": ["/1.0/projects/mine"]}')

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path, name: str) -> Iterator[str]:
    """A server with a self-signed certificate `<name>.crt` that asks for the client's `client.crt`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(folder / "client.crt")
    server = HTTPServer(("127.0.0.1", 0), Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("client", "server", "other"):
        public, secret, _ = make_certificate(name)
        (tmp_path / f"{name}.crt").write_bytes(public)
        (tmp_path / f"{name}.key").write_bytes(secret)
    return tmp_path


def make_reach(url: str) -> Reach:
    return Reach(url, "client.crt", "client.key", "server.crt")


def test_the_pinned_server_is_believed_and_shown_our_certificate(folder: Path) -> None:
    with serving(folder, "server") as url, open_client(make_reach(url), folder, "mine") as client:
        assert client.has_project()


def test_another_server_is_not_believed(folder: Path) -> None:
    with (
        serving(folder, "other") as url,
        open_client(make_reach(url), folder, "mine") as client,
        pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.has_project()


def test_proxies_and_authorities_of_the_environment_are_not_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "other.crt"))
    with serving(folder, "server") as url, open_client(make_reach(url), folder, "mine") as client:
        assert client.has_project()


def test_a_missing_certificate_is_named(folder: Path) -> None:
    (folder / "client.key").unlink()
    with pytest.raises(InvalidInput, match=r"client\.crt: incus: expected a PEM certificate and its key"):
        open_client(make_reach("https://127.0.0.1:1"), folder, "mine")


def test_paths_are_those_of_the_state_folder() -> None:
    paths = make_paths(make_reach("https://incus1:8443"), Path("/state"))
    assert paths == {
        "certificate": "/state/client.crt",
        "key": "/state/client.key",
        "server_certificate": "/state/server.crt",
    }
    assert make_paths(Reach(), Path("/state")) == {}
