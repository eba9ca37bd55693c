"""The provider's protocol over a fake kind: what Pulumi is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pulumi.provider.experimental import provider as protocol

from socle.errors import Problem, Refused
from socle.stages.hosts_pulumi import load_module

MODULE = load_module(Path(__file__).resolve().parents[3] / "stacks" / "platform" / "provider.py")
URN = "urn:pulumi:s::socle::incus:index:Thing::x"
STATE = {"name": "x", "config": {"a": "1"}, "list": [{"b": "é"}], "flag": True}


class Thing:
    """A kind whose world is one dictionary."""

    compared = ("config",)
    replaced = ("name",)

    def __init__(self, world: dict[str, Any]) -> None:
        self.world = world
        self.calls: list[str] = []

    def identify(self, inputs: dict[str, Any]) -> str:
        return str(inputs["name"])

    def observe(self, identifier: str) -> dict[str, Any] | None:
        return self.world.get(identifier)

    def create(self, inputs: dict[str, Any]) -> None:
        self.calls.append("create")
        if inputs["name"] in self.world:
            raise Refused([Problem("Incus", 0, "x", "expected none")])

    def update(self, identifier: str, _state: dict[str, Any], _inputs: dict[str, Any]) -> None:
        self.calls.append(f"update {identifier}")

    def delete(self, identifier: str, _state: dict[str, Any]) -> None:
        self.calls.append(f"delete {identifier}")


def make(world: dict[str, Any]) -> tuple[Any, Thing]:
    provider, kind = MODULE.Provider(), Thing(world)
    provider._backend.__dict__["kinds"] = {"Thing": kind}
    return provider, kind


def properties(state: dict[str, Any]) -> Any:
    return MODULE.make_properties(state)


def test_values_go_to_pulumi_and_back() -> None:
    assert MODULE.parse_properties(properties(STATE)) == STATE


def test_internal_properties_are_dropped() -> None:
    assert MODULE.parse_properties(properties({"__internal": "x", "a": "1"})) == {"a": "1"}


def test_preview_of_a_creation_makes_nothing() -> None:
    provider, kind = make({})
    answer = asyncio.run(provider.create(protocol.CreateRequest(URN, properties(STATE), 0, True)))
    assert (answer.resource_id, kind.calls) == ("", [])


def test_creation_answers_the_name() -> None:
    provider, kind = make({})
    answer = asyncio.run(provider.create(protocol.CreateRequest(URN, properties(STATE), 0, False)))
    assert (answer.resource_id, kind.calls) == ("x", ["create"])


def test_errors_carry_their_exit_code_between_marks() -> None:
    provider, _ = make({"x": {}})
    with pytest.raises(RuntimeError, match=r"^\[\[REFUSED\|Incus: x: expected none\]\]$"):
        asyncio.run(provider.create(protocol.CreateRequest(URN, properties(STATE), 0, False)))


def test_reading_what_is_gone_answers_no_id() -> None:
    provider, _ = make({})
    answer = asyncio.run(provider.read(protocol.ReadRequest(URN, "x", properties(STATE), properties(STATE))))
    assert answer.resource_id == ""


def test_refresh_shows_drift_of_what_is_ours_only() -> None:
    provider, _ = make({"x": {"name": "x", "config": {"a": "2", "user.note": "by hand"}}})
    answer = asyncio.run(provider.read(protocol.ReadRequest(URN, "x", properties(STATE), properties(STATE))))
    assert MODULE.parse_properties(answer.properties) == {**STATE, "config": {"a": "2"}}
    assert MODULE.parse_properties(answer.inputs) == STATE


def test_import_reads_all_that_socle_speaks_of() -> None:
    spoken = {"limits.memory": "1", "user.socle.owner": "host:x"}
    observed = {"name": "x", "config": {**spoken, "user.note": "by hand"}}
    provider, _ = make({"x": observed})
    answer = asyncio.run(provider.read(protocol.ReadRequest(URN, "x", {}, {})))
    assert MODULE.parse_properties(answer.properties) == {"name": "x", "config": spoken}
    assert MODULE.parse_properties(answer.inputs) == {"name": "x", "config": spoken}


@pytest.mark.parametrize(
    ("news", "changed", "replaces"),
    [
        (STATE, False, []),
        ({**STATE, "list": []}, False, []),
        ({**STATE, "config": {"a": "2"}}, True, []),
        ({**STATE, "name": "y"}, True, ["name"]),
    ],
)
def test_difference(news: dict[str, Any], changed: bool, replaces: list[str]) -> None:
    provider, _ = make({})
    request = protocol.DiffRequest(URN, "x", properties(STATE), properties(news), [])
    answer = asyncio.run(provider.diff(request))
    assert (answer.changes, answer.replaces) == (changed, replaces)


def test_preview_of_an_update_changes_nothing() -> None:
    provider, kind = make({})
    for preview in (True, False):
        request = protocol.UpdateRequest(URN, "x", properties(STATE), properties(STATE), 0, [], preview)
        asyncio.run(provider.update(request))
    assert kind.calls == ["update x"]
