"""A site with backups is not installed empty: all but its first content is made, and it is said why."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from socle.errors import Unreachable
from socle.sites import waiting
from socle.sites.difference import SiteDifference
from socle.stages.base import Change

REPOSITORY = SimpleNamespace(name="a", association="a", path="/srv/vault/a", host="vault1", sites=("wp-a", "wp-b"))


def make_site(name: str, *keys: str) -> SiteDifference:
    changes = tuple(
        Change(stage="sites", action="create", kind=key.partition(":")[0], name=name, association="a") for key in keys
    )
    return SiteDifference(name, changes, make=tuple({"key": key} for key in keys), keys=keys, stamp="done")


NEW = make_site("wp-a", "file:/x", "step:install:table:wp_a.wp_options")
OLD = make_site("wp-b", "file:/y")


def load(monkeypatch: pytest.MonkeyPatch, answer: Any) -> tuple[dict[str, str], list[Any]]:
    """What is held when the vault answers so, and what it was asked."""
    asked: list[Any] = []

    def run(_workspace: Any, host: str, payload: Any, _seconds: float) -> Any:
        asked.append((host, payload))
        if isinstance(answer, Exception):
            raise answer
        return {"repositories": {"a": answer}}

    monkeypatch.setattr(waiting, "run_vault", run)
    secrets = SimpleNamespace(repository=lambda _name: {"key": "k"})
    context = SimpleNamespace(workspace=None, secrets=secrets, plan=SimpleNamespace(repositories=(REPOSITORY,)))
    return waiting.load_held(context, {"web1": (NEW, OLD), "edge1": (NEW,)}), asked  # type: ignore[arg-type]


def test_only_what_would_be_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    held, asked = load(monkeypatch, {})
    assert held == {}
    wanted = {"path": "/srv/vault/a", "key": "k", "sites": ["wp-a"]}
    assert asked == [("vault1", {"mode": "saved", "repositories": {"a": wanted}})]


def test_a_site_with_backups_waits_for_its_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    held, _ = load(monkeypatch, {"wp-a": "2026-11-26T01:30:00Z"})
    assert held == {
        "wp-a": "not installed: it has backups, the newest of 2026-11-26T01:30:00Z; run: socle restore a --into place"
    }


def test_no_answer_is_not_the_answer_that_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held, _ = load(monkeypatch, Unreachable("vault1 is down"))
    assert held == {"wp-a": "not installed: whether it has backups to restore is not known: vault1 is down"}


def test_a_site_that_is_installed_does_not_wait_when_its_host_was_made_anew() -> None:
    noted = tuple(change.model_copy(update={"action": "update"}) for change in NEW.changes)
    assert waiting.find_empty({"web1": (NEW,)}) == {"wp-a"}
    assert waiting.find_empty({"web1": (replace(NEW, changes=noted),)}) == set()


def test_a_site_on_an_empty_volume_waits_too_and_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = replace(make_site("wp-b", "file:/y", "unit:socle-wp-b.service"), bare=True)
    monkeypatch.setattr(f"{__name__}.OLD", bare)
    held, asked = load(monkeypatch, {"wp-b": "2026-11-26T01:30:00Z"})
    assert asked[0][1]["repositories"]["a"]["sites"] == ["wp-a", "wp-b"]
    assert set(held) == {"wp-b"}
    site = waiting.hold(bare)
    assert [wire["key"] for wire in site.make] == ["file:/y"]
    assert [change.kind for change in site.changes] == ["file"]
    assert site.payload()["held"]


def test_a_held_site_has_all_but_its_first_content_and_is_not_finished() -> None:
    held = waiting.hold(NEW)
    assert held.make == ({"key": "file:/x"},)
    assert [change.kind for change in held.changes] == ["file"]
    assert (held.keys, held.stamp) == (NEW.keys, "")
