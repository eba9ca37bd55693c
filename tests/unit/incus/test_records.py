"""Record sets and whose they are, from a zone's content; the key file."""

from __future__ import annotations

from pathlib import Path

import dns.zone
import pytest

from socle.errors import Refused, SocleError
from socle.incus.records import DnsServer, RecordKind, make_state, parse_zone
from socle.model.plan import Record

ZONE = """
@ 300 IN SOA ns hostmaster 1 3600 600 86400 300
@ 300 IN NS ns
ns 300 IN A 192.0.2.53
www 300 IN A 192.0.2.2
www 300 IN A 192.0.2.1
www 300 IN AAAA 2001:db8::1
_socle.www 300 IN TXT "heritage=socle,environment=test-1,type=A"
_socle.www 300 IN TXT "heritage=other,environment=test-1,type=AAAA"
alias 60 IN CNAME www.asso.example.
_socle.alias 60 IN TXT "heritage=socle,environment=test-2,type=CNAME"
"""
WWW = Record(
    name="www.asso.example",
    zone="asso.example",
    type="A",
    ttl=300,
    values=("192.0.2.2", "192.0.2.1"),
    association="amis",
)  # fmt: skip


def load_zone() -> dns.zone.Zone:
    return dns.zone.from_text(ZONE, "asso.example", relativize=False)


def test_record_sets_carry_whose_they_are() -> None:
    found = parse_zone(load_zone(), "asso.example")
    owners = {key: value["environment"] for key, value in found.items()}
    assert owners == {
        "asso.example/ns.asso.example/A": "",
        "asso.example/www.asso.example/A": "test-1",
        "asso.example/www.asso.example/AAAA": "",
        "asso.example/alias.asso.example/CNAME": "test-2",
    }


def test_what_is_served_equals_what_was_wanted() -> None:
    found = parse_zone(load_zone(), "asso.example")
    assert found["asso.example/www.asso.example/A"] == make_state(WWW, "test-1")
    assert found["asso.example/alias.asso.example/CNAME"]["values"] == ["www.asso.example"]


@pytest.mark.parametrize("environment", ["test-2", "test-1"])
def test_a_record_set_of_others_is_refused(environment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("socle.incus.records.load_records", lambda *_: parse_zone(load_zone(), "asso.example"))
    written: list[bool] = []
    monkeypatch.setattr("socle.incus.records.run_replace", lambda *given: written.append(given[2]))
    kind = RecordKind(DnsServer("192.0.2.53", tmp_path / "tsig.key"))
    if environment == "test-1":
        kind.create(make_state(WWW, environment))
        assert written == [True]
        return
    with pytest.raises(Refused, match=r"DNS: www\.asso\.example A: expected none in zone asso\.example"):
        kind.create(make_state(WWW, environment))
    assert written == []


def test_only_ours_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("socle.incus.records.load_records", lambda *_: parse_zone(load_zone(), "asso.example"))
    removed: list[str] = []
    monkeypatch.setattr("socle.incus.records.run_remove", lambda _, found: removed.append(found["name"]))
    kind = RecordKind(DnsServer("192.0.2.53", tmp_path / "tsig.key"))
    for name in ("ns.asso.example/A", "www.asso.example/AAAA", "gone.asso.example/A", "www.asso.example/A"):
        kind.delete(f"asso.example/{name}", {"environment": "test-1"})
    assert removed == ["www.asso.example"]


def test_the_key_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "tsig.key"
    path.write_text("socle:hmac-sha256:c2VjcmV0LXNlY3JldC1zZWNyZXQ=\n")
    key = DnsServer("192.0.2.53", path).load_keyring()
    assert (key.name.to_text(), key.algorithm.to_text(), key.secret) == (
        "socle.",
        "hmac-sha256.",
        b"secret-secret-secret",
    )


@pytest.mark.parametrize("content", ["", "socle:hmac-sha256", "socle:hmac-sha256:not base64!"])
def test_a_wrong_key_file_is_said_without_its_content(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tsig.key"
    path.write_text(content)
    with pytest.raises(SocleError, match=r"tsig\.key: expected one line name:algorithm:base64") as caught:
        DnsServer("192.0.2.53", path).load_keyring()
    assert "not base64" not in str(caught.value)
