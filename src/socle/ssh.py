"""SSH between the controller and its hosts: keys made here, known before the first connection.

`<state>/ssh/` holds the controller's key, a folder per host with the key it is given at creation, and the
files that every tool reads: `config` and `known_hosts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from socle.errors import SocleError
from socle.files import run_write
from socle.model.plan import Plan

CONTROLLER_KEY = "id_ed25519"
HOST_KEY = "ssh_host_ed25519_key"
_ADDRESS = "address"
_HEADER = "# Written by socle. Changes made here are lost.\n"


def run_make_key(path: Path, comment: str) -> str:
    """The public key beside the private key at `path`; both made when there is none. A key is never replaced.

    The private key is written last and whole: without it, a kill left nothing that counts.
    """
    public = path.with_name(f"{path.name}.pub")
    if not path.is_file():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        run_write(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)
        run_write(public, _render_public(key, comment), 0o644)
    elif not public.is_file():
        run_write(public, _render_public(_load_key(path), comment), 0o644)
    return public.read_text().strip()


def _load_key(path: Path) -> Ed25519PrivateKey:
    key = load_ssh_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SocleError(f"{path}: expected an Ed25519 key", "bring the right one back")
    return key


def _render_public(key: Ed25519PrivateKey, comment: str) -> bytes:
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return line + f" {comment}\n".encode()


def run_make_controller_key(folder: Path, environment: str) -> str:
    """The controller's public key: what every host lets in as root."""
    return run_make_key(folder / CONTROLLER_KEY, f"socle@{environment}")


def make_host_folder(folder: Path, host: str) -> Path:
    """Where the controller keeps what it gives `host`: its SSH key."""
    return folder / "hosts" / host


def run_make_host_key(folder: Path, host: str) -> str:
    """The public key of `host`, made before the host is."""
    return run_make_key(make_host_folder(folder, host) / HOST_KEY, host)


def render_known_hosts(addresses: Mapping[str, str], keys: Mapping[str, str]) -> str:
    """known_hosts (sshd(8)): each host by name and by address. Hosts without a key are left out."""
    lines = []
    for host in sorted(addresses.keys() & keys.keys()):
        algorithm, key = keys[host].split()[:2]
        lines.append(f"{host},{addresses[host]} {algorithm} {key}\n")
    return _HEADER + "".join(lines)


def render_config(addresses: Mapping[str, str], folder: Path) -> str:
    """ssh_config(5): one block per host, nothing left to the person's own configuration."""
    return _HEADER + "".join(_render_block(host, addresses[host], folder) for host in sorted(addresses))


def _render_block(host: str, address: str, folder: Path) -> str:
    return (
        f"\nHost {host} {address}\n"
        f"  HostName {address}\n"
        "  User root\n"
        f"  IdentityFile {folder / CONTROLLER_KEY}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder / 'known_hosts'}\n"
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  HostKeyAlgorithms ssh-ed25519\n"
        "  PasswordAuthentication no\n"
        "  ConnectTimeout 10\n"
        "  ServerAliveInterval 15\n"
        "  ServerAliveCountMax 4\n"
    )


def make_addresses(plan: Plan) -> dict[str, str]:
    """Where the controller reaches each host, by name."""
    return {host.name: str(host.address) for host in plan.hosts}


def run_write_client(folder: Path, addresses: Mapping[str, str]) -> bool:
    """Write `config` and `known_hosts` for these hosts and for those written before (the lab's, which no plan
    has). Each has its key in its folder already. Whether one of the files changed."""
    for host, address in addresses.items():
        run_write(make_host_folder(folder, host) / _ADDRESS, f"{address}\n".encode(), 0o600)
    known = load_addresses(folder)
    keys = {host: run_make_host_key(folder, host) for host in known}
    changed = run_write(folder / "config", render_config(known, folder).encode(), 0o600)
    return run_write(folder / "known_hosts", render_known_hosts(known, keys).encode(), 0o600) or changed


def load_addresses(folder: Path) -> dict[str, str]:
    """Where the controller reaches each host that it was told of, by name."""
    notes = (folder / "hosts").glob(f"*/{_ADDRESS}")
    return {note.parent.name: note.read_text().strip() for note in notes}
