"""The platform's own certificate authority, for what only our hosts speak to: vaults.

Its certificates are for addresses that no public authority signs, and the hosts that save must not depend on
one to be up at night. It is made once per environment, in the state folder; a host's certificate is made
anew when less than two months of it are left, or when the host has another address.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from socle.errors import Problem, Refused
from socle.files import run_write
from socle.load.workspace import Workspace

_OWN_YEARS = 20
_HOST_DAYS = 397
_RENEW_DAYS = 60
_LOCAL = IPv4Address("127.0.0.1")
"""Through a tunnel of ssh, a vault is reached at this address."""
_Key = ec.EllipticCurvePrivateKey


def _folder(workspace: Workspace) -> Path:
    return workspace.state / "authority"


def load_authority(workspace: Workspace) -> bytes:
    """PEM of the authority's certificate: what hosts trust. Raises Refused before it is made."""
    path = _folder(workspace) / "authority.pem"
    if not path.is_file():
        expected = "expected the certificate of the platform's authority"
        raise Refused([Problem(str(path), 0, "", expected, "run: socle apply, which makes it")])
    return path.read_bytes()


def load_certificate(workspace: Workspace, host: str) -> tuple[bytes, bytes]:
    """PEM of a host's certificate and of its key. Raises Refused before they are made."""
    certificate, key = (_folder(workspace) / f"{host}.{kind}" for kind in ("pem", "key"))
    if not (certificate.is_file() and key.is_file()):
        expected = "expected the host's certificate and its key"
        raise Refused([Problem(str(certificate), 0, "", expected, "run: socle apply, which makes them")])
    return certificate.read_bytes(), key.read_bytes()


def run_ensure_certificate(workspace: Workspace, host: str, address: IPv4Address) -> None:
    """Make the authority and the host's certificate, or what is missing or too old of them."""
    folder = _folder(workspace)
    folder.mkdir(mode=0o700, exist_ok=True)
    authority, authority_key = _run_ensure_authority(folder, workspace.name)
    path, key_path = folder / f"{host}.pem", folder / f"{host}.key"
    if key_path.is_file() and path.is_file() and _is_good(path.read_bytes(), authority, address):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _make_host(host, address, key, authority, authority_key)
    # The certificate last: a kill in between leaves a pair that does not match, and `_is_good` reads it alone.
    path.unlink(missing_ok=True)
    run_write(key_path, _dump_key(key))
    run_write(path, certificate.public_bytes(serialization.Encoding.PEM))


def _run_ensure_authority(folder: Path, name: str) -> tuple[x509.Certificate, _Key]:
    path, key_path = folder / "authority.pem", folder / "authority.key"
    if not path.is_file():
        key = ec.generate_private_key(ec.SECP256R1())
        run_write(key_path, _dump_key(key))
        run_write(path, _make_own(f"socle {name}", key).public_bytes(serialization.Encoding.PEM))
    loaded = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)  # noqa: S101 - for the type: we wrote it above
    return x509.load_pem_x509_certificate(path.read_bytes()), loaded


def _is_good(pem: bytes, authority: x509.Certificate, address: IPv4Address) -> bool:
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    fresh = certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=_RENEW_DAYS)
    return fresh and certificate.issuer == authority.subject and address in names.get_values_for_type(x509.IPAddress)


def _dump_key(key: _Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _make_builder(subject: str, issuer: x509.Name | None, key: _Key, life: timedelta) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))  # a host whose clock is a day late still saves
        .not_valid_after(now + life)
    )


def _make_own(subject: str, key: _Key) -> x509.Certificate:
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return (
        _make_builder(subject, None, key, timedelta(days=365 * _OWN_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _make_host(
    host: str, address: IPv4Address, key: _Key, authority: x509.Certificate, authority_key: _Key
) -> x509.Certificate:
    names = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(address), x509.IPAddress(_LOCAL)])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _make_builder(host, authority.subject, key, timedelta(days=_HOST_DAYS))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
