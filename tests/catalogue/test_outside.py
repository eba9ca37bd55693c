"""The files of the lab's host outside, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from socle.lab.outside import OWN_ZONE, Outside
from socle.load.catalogue import load_catalogue

STACKS = Path(__file__).parents[2] / "stacks"
ENTRY = load_catalogue(STACKS)["outside"]
EXPECTED = STACKS / "outside/expected"
OUTSIDE = Outside(ipv4="10.64.1.2", ipv6="fd50:1::2", zones=("example", "test"), tsig="socle:hmac-sha256:c2VjcmV0")
DEPLOY: Any = ENTRY.module("deploy")
FILES = DEPLOY.render_files(OUTSIDE)


@pytest.mark.parametrize("path", sorted(FILES))
def test_file(path: str) -> None:
    assert FILES[path] == (EXPECTED / path.lstrip("/")).read_text()


def test_every_expected_file_is_rendered() -> None:
    found = {f"/{path.relative_to(EXPECTED)}" for path in EXPECTED.rglob("*") if path.is_file()}
    assert found == set(FILES)


def test_the_tsig_secret_is_in_one_file_only() -> None:
    assert [path for path, text in FILES.items() if "c2VjcmV0" in text] == ["/etc/knot/tsig.conf"]


def test_zones_are_changed_and_transferred_with_the_key_only() -> None:
    text = FILES["/etc/knot/knot.conf"]
    assert text.count("action:") == 1
    assert "key: socle\n    action: [ transfer, update ]" in text


def test_without_ipv6_nothing_speaks_of_it() -> None:
    files = DEPLOY.render_files(Outside(**{**OUTSIDE.__dict__, "ipv6": ""}))
    assert "AAAA" not in files[f"/var/lib/knot/{OWN_ZONE}.zone"]
    assert "listen: [ 127.0.0.1@53, 10.64.1.2@53 ]" in files["/etc/knot/knot.conf"]
    assert files["/etc/smtpd.conf"].count("listen on") == 1
    assert files["/etc/mail/socle.cnf"].endswith("subjectAltName = DNS:mail.outside.test, IP:10.64.1.2\n")


def test_it_plays_the_outside_world_in_the_lab_only() -> None:
    assert ENTRY.service.kind == "lab"
