"""The platform's own certificates: verified by a real TLS connection, renewed in time, never half made."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509

from socle import authority
from socle.errors import Refused
from socle.load.workspace import Workspace

ADDRESS = IPv4Address("127.0.0.2")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, environment="lab", state=tmp_path)


def connect(workspace: Workspace, name: str) -> None:
    """Serve once with the host's certificate, and connect to it as to `name`. Raises ssl.SSLError."""
    folder = workspace.state / "authority"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "vault1.pem", folder / "vault1.key")
    client = ssl.create_default_context(cadata=authority.load_authority(workspace).decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        thread.join(10)


def test_a_host_is_verified_by_its_address_and_by_nothing_else(workspace: Workspace) -> None:
    authority.run_ensure_certificate(workspace, "vault1", ADDRESS)
    connect(workspace, "127.0.0.2")
    connect(workspace, "127.0.0.1")  # through a tunnel
    with pytest.raises(ssl.SSLError, match="IP address mismatch"):
        connect(workspace, "127.0.0.3")


def test_what_is_good_stays(workspace: Workspace) -> None:
    authority.run_ensure_certificate(workspace, "vault1", ADDRESS)
    before = authority.load_certificate(workspace, "vault1")
    root = authority.load_authority(workspace)
    authority.run_ensure_certificate(workspace, "vault1", ADDRESS)
    authority.run_ensure_certificate(workspace, "vault2", IPv4Address("127.0.0.9"))
    assert authority.load_certificate(workspace, "vault1") == before
    assert authority.load_authority(workspace) == root


def test_it_is_renewed_when_two_months_are_left_and_for_another_address(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority, "_HOST_DAYS", authority._RENEW_DAYS - 1)
    authority.run_ensure_certificate(workspace, "vault1", ADDRESS)
    short = authority.load_certificate(workspace, "vault1")
    monkeypatch.setattr(authority, "_HOST_DAYS", authority._RENEW_DAYS + 1)
    authority.run_ensure_certificate(workspace, "vault1", ADDRESS)
    renewed, _ = authority.load_certificate(workspace, "vault1")
    assert renewed != short[0]
    left = x509.load_pem_x509_certificate(renewed).not_valid_after_utc - datetime.now(UTC)
    assert left > timedelta(days=authority._RENEW_DAYS)
    authority.run_ensure_certificate(workspace, "vault1", IPv4Address("127.0.0.7"))
    assert authority.load_certificate(workspace, "vault1")[0] != renewed
    connect(workspace, "127.0.0.7")


def test_a_pair_cut_by_a_kill_is_made_again(workspace: Workspace) -> None:
    authority.run_ensure_certificate(workspace, "vault1", ADDRESS)
    (workspace.state / "authority/vault1.pem").unlink()
    with pytest.raises(Refused, match="run: socle apply"):
        authority.load_certificate(workspace, "vault1")
    authority.run_ensure_certificate(workspace, "vault1", ADDRESS)
    connect(workspace, "127.0.0.2")


def test_keys_are_for_their_owner_only(workspace: Workspace) -> None:
    authority.run_ensure_certificate(workspace, "vault1", ADDRESS)
    assert {path.stat().st_mode & 0o777 for path in (workspace.state / "authority").iterdir()} == {0o600}


def test_before_the_first_apply_it_is_said(workspace: Workspace) -> None:
    with pytest.raises(Refused, match="expected the certificate of the platform's authority"):
        authority.load_authority(workspace)
