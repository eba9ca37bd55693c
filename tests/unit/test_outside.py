"""The lab's host outside: where it is, what it is told, and what is written once."""

from __future__ import annotations

import base64
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from socle.lab.outside import make_forwards, make_host, run_make_tsig
from socle.model.plan import Network

PUBLIC = Network(
    name="public",
    bridge="sl1a2b-public",
    ipv4=IPv4Interface("10.64.1.1/24"),
    ipv6=IPv6Interface("fd50:1::1/64"),
    managed=False,
)


def test_it_is_number_two_of_the_public_network() -> None:
    host = make_host(PUBLIC)
    assert str(host.address) == "10.64.1.2"
    assert [(str(nic.ipv4), str(nic.ipv6), nic.device) for nic in host.nics] == [
        ("10.64.1.2/24", "fd50:1::2/64", "eth0")
    ]
    assert make_host(PUBLIC.model_copy(update={"ipv6": None})).nics[0].ipv6 is None


def test_resolvers_ask_it_for_the_platforms_zones_and_its_own() -> None:
    assert make_forwards(("example", "test"), "10.64.1.2") == {
        "outside.test": "10.64.1.2",
        "example": "10.64.1.2",
        "test": "10.64.1.2",
    }


def test_the_tsig_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "tsig.key"
    key = run_make_tsig(path)
    name, algorithm, secret = key.split(":")
    assert (name, algorithm, len(base64.b64decode(secret))) == ("socle", "hmac-sha256", 32)
    assert path.stat().st_mode & 0o777 == 0o600
    assert run_make_tsig(path) == key
    assert run_make_tsig(tmp_path / "other.key") != key
