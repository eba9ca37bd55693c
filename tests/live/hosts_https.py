"""Incus over HTTPS for the live tests: a client certificate for the test's projects only, taken back at the end."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from socle.files import run_write
from socle.incus.client import IncusClient

_ADDRESS = "core.https_address"


@contextmanager
def listening(client: IncusClient) -> Iterator[str]:
    """The daemon's HTTPS address: the one it has, else one of ours on the loopback for as long as needed."""
    address = client.get("")["config"].get(_ADDRESS)
    if address:
        yield address
        return
    address = f"127.0.0.1:{20000 + secrets.randbelow(10000)}"
    client.run("PATCH", "", {"config": {_ADDRESS: address}})
    try:
        yield address
    finally:
        client.run("PATCH", "", {"config": {_ADDRESS: ""}})


def make_certificate(name: str) -> tuple[bytes, bytes, bytes]:
    """A self-signed client certificate for a day: PEM, key, DER."""
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA384())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), secret, certificate.public_bytes(Encoding.DER)


@contextmanager
def trusted(client: IncusClient, state: Path, projects: list[str]) -> Iterator[dict[str, str]]:
    """The `incus` part of platform.yml for HTTPS with a certificate restricted to `projects`."""
    public, secret, der = make_certificate(client.project)
    run_write(state / "incus.crt", public)
    run_write(state / "incus.key", secret)
    run_write(state / "server.crt", client.get("")["environment"]["certificate"].encode())
    body = {
        "name": client.project,
        "type": "client",
        "restricted": True,
        "projects": projects,
        "certificate": base64.b64encode(der).decode(),
    }
    with listening(client) as address:
        client.run("POST", "/certificates", body)
        try:
            names = {"certificate": "incus.crt", "key": "incus.key", "server_certificate": "server.crt"}
            yield {"url": f"https://{address}", **names}
        finally:
            digest = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex()
            client.run("DELETE", f"/certificates/{digest}")
