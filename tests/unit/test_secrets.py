"""Secrets are encrypted for operators and escrow, stay what they are, and leave no plain copy."""

from __future__ import annotations

from pathlib import Path

import pyrage
import pytest
from pyrage import x25519

from socle.errors import Refused
from socle.model.plan import Site
from socle.model.service import Secret
from socle.planning.allocate import make_site_allocations
from socle.planning.make_plan import make_plan
from socle.secrets import SecretStore
from tests.make import make_inputs

DECLARED = [Secret(name="admin_password"), Secret(name="salt", length=64)]


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    store = SecretStore(tmp_path)
    store.run_create()
    return store


def make_site() -> Site:
    inputs = make_inputs()
    allocations = make_site_allocations(inputs, ["amis-du-lac"])
    return make_plan(make_inputs(allocations=allocations)).sites[0]


def test_values_are_generated_once_and_kept(store: SecretStore, tmp_path: Path) -> None:
    site = make_site()
    assert store.run_ensure(site.association, site.name, DECLARED[:1])
    first = dict(store.site(site))
    assert store.run_ensure(site.association, site.name, DECLARED)
    assert not store.run_ensure(site.association, site.name, DECLARED)
    again = SecretStore(tmp_path).site(site)
    assert again["admin_password"] == first["admin_password"]
    assert (len(again["admin_password"]), len(again["salt"])) == (43, 64)


def test_nothing_on_disk_is_plain_or_readable_by_others(store: SecretStore, tmp_path: Path) -> None:
    site = make_site()
    store.run_ensure(site.association, site.name, DECLARED)
    value = store.site(site)["admin_password"].encode()
    for path in tmp_path.iterdir():
        assert value not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


def test_what_is_sealed_is_known_by_a_digest(store: SecretStore) -> None:
    store.run_escrow()
    assert store.sealed("a") == ""
    store.run_seal("a")
    first = store.sealed("a")
    store.run_seal("a")
    assert len({first, store.sealed("a"), ""}) == 3


def test_escrow_reads_everything_and_stays_nowhere(store: SecretStore, tmp_path: Path) -> None:
    site = make_site()
    store.run_ensure(site.association, site.name, DECLARED)
    assert not store.has_escrow()
    key = store.run_escrow()
    assert store.has_escrow()
    text = pyrage.decrypt((tmp_path / "amis-du-lac.age").read_bytes(), [x25519.Identity.from_str(key)])
    assert store.site(site)["salt"].encode() in text
    assert not [path for path in tmp_path.iterdir() if key.encode() in path.read_bytes()]


def test_a_lost_operator_key_is_not_silently_replaced(store: SecretStore, tmp_path: Path) -> None:
    store.run_ensure("a", "pg-a", DECLARED)
    (tmp_path / "operator.key").unlink()
    with pytest.raises(Refused, match="operator's key"):
        SecretStore(tmp_path).run_create()


def test_another_key_is_one_clear_error(store: SecretStore, tmp_path: Path) -> None:
    site = make_site()
    store.run_ensure(site.association, site.name, DECLARED)
    (tmp_path / "operator.key").write_text(str(x25519.Identity.generate()))
    with pytest.raises(Refused, match="cannot be read with the operator's key"):
        SecretStore(tmp_path).site(site)


@pytest.mark.parametrize("content", [None, "", "AGE-SECRET-KEY-nonsense"])
def test_a_lost_or_broken_key_is_one_clear_error(store: SecretStore, tmp_path: Path, content: str | None) -> None:
    site = make_site()
    store.run_ensure(site.association, site.name, DECLARED)
    path = tmp_path / "operator.key"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(Refused, match=r"operator.key: expected .*platform's backup"):
        SecretStore(tmp_path).site(site)


def test_lost_recipients_are_one_clear_error(store: SecretStore, tmp_path: Path) -> None:
    (tmp_path / "recipients.txt").unlink()
    with pytest.raises(Refused, match=r"recipients.txt: expected .*platform's backup"):
        store.run_ensure("a", "pg-a", DECLARED)


def test_a_missing_secret_is_named(store: SecretStore) -> None:
    with pytest.raises(Refused, match=r"no admin_password .*socle apply"):
        store.site(make_site())
