"""Choosing snapshots of several sites: one that has none, or whose vault is away, stops no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from socle.errors import SocleError, Unreachable
from socle.restore import repository
from socle.restore.choose import At, Snapshot
from socle.restore.repository import Chosen, choose_all, run_choose
from tests.unit.restore.samples import make_site

PATHS = ("/srv/sites/wp-a", "/var/lib/socle/backups/staging/wp-a")
GOOD = {"site": "wp-a", "association": "a", "database": {"name": "wp_a"}}


class FakeRestic:
    """A repository with snapshots and their manifests, by the first digit of their ids."""

    def __init__(self, **manifests: Any) -> None:
        self._manifests = manifests

    def snapshots(self, site: str, arrivals: Any) -> list[Snapshot]:
        tags = (f"site={site}",)
        return [Snapshot(name * 64, "t", arrivals[name], PATHS, tags) for name in self._manifests]

    def manifest(self, snapshot: Snapshot, _site: str) -> Any:
        return self._manifests[snapshot.id[0]]


def test_a_newer_one_that_is_not_good_is_passed_over_and_said() -> None:
    restic: Any = FakeRestic(a=GOOD, b=None)
    chosen = run_choose(restic, {"a": 1.0, "b": 2.0}, make_site(), At())
    assert (chosen.snapshot.id[0], chosen.manifest) == ("a", GOOD)
    assert chosen.refused == {"b" * 64: "its manifest cannot be read"}


def test_none_that_is_good_is_an_error_that_names_them() -> None:
    restic: Any = FakeRestic(b=None)
    with pytest.raises(SocleError, match="bbbbbbbb: its manifest cannot be read"):
        run_choose(restic, {"b": 2.0}, make_site(), At())


def test_one_association_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other, away = make_site(), make_site(name="wp-b", association="b"), make_site(name="wp-c", association="c")

    @contextmanager
    def opened(_context: Any, name: str) -> Iterator[str]:
        if name == "c":
            raise Unreachable("no tunnel to vault1")
        yield name

    def choose(_restic: Any, _arrivals: Any, site: Any, _at: Any) -> Chosen:
        if site.association == "b":
            raise SocleError("nothing good")
        return Chosen(site, Snapshot("a" * 64, "t", 1.0, (), ()), {})

    monkeypatch.setattr(repository, "opened", opened)
    monkeypatch.setattr(repository, "find_repository", lambda _, association: association)
    monkeypatch.setattr(repository, "load_arrivals", lambda *_: {})
    monkeypatch.setattr(repository, "run_choose", choose)
    context: Any = type("Context", (), {"workspace": None})
    chosen, failed = choose_all(context, [own, other, away], At())
    assert [one.site for one in chosen] == [own]
    assert failed == {"wp-b": "nothing good", "wp-c": "no tunnel to vault1"}
