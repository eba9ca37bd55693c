"""How the sites stage cuts its work into round trips."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from socle.errors import SocleError
from socle.sites.difference import Seen, SiteDifference
from socle.sites.exchange import Payload
from socle.stages import sites as stage
from socle.stages.base import Change


def make_site(number: int, *keys: str) -> SiteDifference:
    name = f"wp-{number}"
    change = Change(stage="sites", action="create", kind="file", name=name, association="a")
    return SiteDifference(name, (change,), make=tuple({"key": key} for key in keys), keys=keys)


NEW = [make_site(number, "file:/x", f"step:install:{number}") for number in range(45)]
CHANGED = [make_site(number, "file:/x") for number in range(100, 300)]


class Hosts:
    """Hosts that remember which sites each round trip brought, and what was said meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trips: list[dict[str, list[str]]] = []
        self.said: list[str] = []
        self.down: set[str] = set()
        self.failing: set[str] = set()
        monkeypatch.setattr(stage, "run_apply", self.apply)
        talk = SimpleNamespace(say=self.said.append, detail=lambda _text: None)
        self.run = stage._Run(SimpleNamespace(talk=talk), None)  # type: ignore[arg-type]

    def apply(self, _state: object, payloads: Mapping[str, Payload]) -> dict[str, Any]:
        trip = {host: list(load(payload)["sites"]) for host, payload in payloads.items()}
        self.trips.append(trip)
        return {
            host: SocleError("no answer") if host in self.down else {"errors": dict.fromkeys(self.failing, "broken")}
            for host in trip
        }


def load(payload: Payload) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode("".join(payload.readlines()[1:]))))
    return data


def test_what_installs_nothing_goes_in_one_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(monkeypatch)
    hosts.run.wave({"web1": tuple(CHANGED)})
    assert [len(trip["web1"]) for trip in hosts.trips] == [200]
    assert hosts.said == []


def test_new_sites_go_a_few_at_a_time_and_show_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(monkeypatch)
    hosts.run.wave({"web1": (*NEW, *CHANGED[:5]), "web2": tuple(NEW[:3])})
    assert [{host: len(sites) for host, sites in trip.items()} for trip in hosts.trips] == [
        {"web1": 5, "web2": 3},
        {"web1": 20},
        {"web1": 20},
        {"web1": 5},
    ]
    assert hosts.said == ["  web1: 5 of 50 sites", "  web1: 25 of 50 sites", "  web1: 45 of 50 sites"]
    assert len(hosts.run.done) == 53


def test_a_host_that_does_not_answer_is_not_asked_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(monkeypatch)
    hosts.down = {"web1"}
    hosts.run.wave({"web1": tuple(NEW), "web2": (make_site(500, "step:x:500"),)})
    assert len(hosts.trips) == 1
    assert len(hosts.run.errors) == 45
    assert [change.name for change in hosts.run.done] == ["wp-500"]


def test_a_site_that_failed_is_not_asked_for_in_the_next_wave(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(monkeypatch)
    hosts.failing = {"wp-1"}
    hosts.run.wave({"web1": tuple(NEW[:2])})
    hosts.run.wave({"edge1": tuple(NEW[:2])})
    assert hosts.trips[1] == {"edge1": ["wp-0"]}


def test_what_people_should_know_is_said() -> None:
    seen = {"web1": {"wp-a": Seen(note="its database wp_a is gone"), "wp-b": Seen()}}
    assert list(stage.make_notes(seen)) == ["wp-a on web1: its database wp_a is gone"]
