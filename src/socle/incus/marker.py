"""How we know what is ours: two configuration keys on everything we make in Incus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from socle.errors import Problem, Refused

ENVIRONMENT = "user.socle.environment"
OWNER = "user.socle.owner"
READY = "user.socle.ready"
"""On hosts: digest of the identity they were given. Missing until a host has been seen to answer."""

EXPIRES = "user.socle.expires"
"""On hosts to be thrown away: when they may be, in epoch seconds."""


def make_marker(environment: str, owner: str) -> dict[str, str]:
    """The configuration keys that say: made by socle, for `environment`, because of `owner` (`kind:name`)."""
    return {ENVIRONMENT: environment, OWNER: owner}


def is_ours(thing: Mapping[str, Any], environment: str) -> bool:
    """Whether an object of Incus carries the marker of `environment`."""
    return bool(thing.get("config", {}).get(ENVIRONMENT) == environment)


def find_owner(thing: Mapping[str, Any]) -> str:
    """Why an object of ours was made (`kind:name`); empty when it does not say."""
    return str(thing.get("config", {}).get(OWNER, ""))


def make_namesake_problem(kind: str, name: str) -> Problem:
    """There is already one, and it is not ours."""
    expected = f"expected no {kind} of this name, or one that socle made for this environment"
    return Problem(
        "Incus",
        0,
        f"{kind} {name}",
        expected,
        "rename or remove it, or take it over: see stacks/platform/README.md",
    )


def check_ours(kind: str, thing: Mapping[str, Any], environment: str) -> None:
    """Raises Refused when `thing` is not ours."""
    if not is_ours(thing, environment):
        raise Refused([make_namesake_problem(kind, str(thing["name"]))])
