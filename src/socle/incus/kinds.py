"""Kinds of resources of the Pulumi provider: how each is observed, made, mended and removed.

A state has the same keys as the inputs that asked for it, so a difference is a comparison. `observe` reads
the cache of this process; what changes things asks Incus again, since a cache says nothing of a race.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from socle.errors import Problem, Refused
from socle.incus.client import IncusClient, Json, NotFound
from socle.incus.listing import Cache
from socle.incus.marker import check_ours

State = dict[str, Any]

_SPOKEN = ("user.socle.", "limits.memory", "boot.autostart", "security.privileged")
_UNITS = {
    "": 1,
    "B": 1,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}


class Kind(Protocol):
    """One kind of resource. Identifiers are names, so that anything can be imported by its name."""

    compared: tuple[str, ...]
    """Keys whose difference is a change."""
    replaced: tuple[str, ...]
    """Those of them that cannot be changed on a thing that exists."""

    def identify(self, inputs: State) -> str:
        """The identifier of what these inputs ask for."""

    def observe(self, identifier: str) -> State | None:
        """What there is, in the words of the inputs; None when there is none."""

    def create(self, inputs: State) -> None:
        """Make it; take up and mend what carries our marker. Raises Refused for a namesake that does not."""

    def update(self, identifier: str, state: State, inputs: State, /) -> None:
        """Bring it from `state` to `inputs`."""

    def delete(self, identifier: str, state: State, /) -> None:
        """Remove it; nothing to do when it is gone."""


def find_differences(state: State, inputs: State, compared: Iterable[str]) -> list[str]:
    """Names of the compared keys that differ. What the inputs leave out is left as it is: the size of a
    volume whose request is gone."""
    return [key for key in compared if key in inputs and state.get(key) != inputs[key]]


def restrict_config(observed: State, inputs: State) -> State:
    """The observed state with only those configuration keys that the inputs speak of: Incus adds its own, and
    a person may set others. Without inputs (import), those that socle ever speaks of."""
    if "config" not in observed or "instance" in observed:
        return observed
    wanted = inputs.get("config")
    config = {
        key: value
        for key, value in observed["config"].items()
        if (key.startswith(_SPOKEN) if wanted is None else key in wanted)
    }
    return {**observed, "config": config}


def drop_volatile(config: dict[str, str]) -> dict[str, str]:
    """Configuration without what Incus writes by itself."""
    return {key: value for key, value in config.items() if not key.startswith(("volatile.", "image."))}


def parse_size(text: str | None) -> int | None:
    """Bytes of a size as Incus writes it, such as `64MiB` or `67108864`; None for no size."""
    if not text:
        return None
    number = text.rstrip("BKMGTibkmgt")
    return int(number) * _UNITS[text[len(number) :].upper()]


def make_shrink_problem(name: str, observed: int, wanted: int) -> Problem:
    """Less room than there is could lose data."""
    return Problem(
        "Incus", 0, f"volume {name}", f"expected a quota of at least {observed} bytes as it has now, not {wanted}",
        "raise the quota in the request, or shrink the volume by hand after a look at its content",
    )  # fmt: skip


def _removed(state: State, inputs: State) -> dict[str, str]:
    return {key: "" for key in state.get("config", {}) if key not in inputs["config"]}


class NetworkKind:
    """A bridge. Inputs: name, config."""

    compared: tuple[str, ...] = ("config",)
    replaced: tuple[str, ...] = ("name",)

    def __init__(self, client: IncusClient, cache: Cache, environment: str) -> None:
        self._client, self._cache, self._environment = client, cache, environment

    def identify(self, inputs: State) -> str:
        return str(inputs["name"])

    def observe(self, identifier: str) -> State | None:
        found = self._cache.networks().get(identifier)
        return {"name": identifier, "config": drop_volatile(found["config"])} if found else None

    def create(self, inputs: State) -> None:
        name = inputs["name"]
        if found := self._cache.networks().get(name):
            check_ours("network", found, self._environment)
            self.update(name, {}, inputs)
            return
        self._client.create_network({"name": name, "type": "bridge", "config": inputs["config"]})

    def update(self, identifier: str, state: State, inputs: State) -> None:
        self._client.update_network(identifier, {"config": {**_removed(state, inputs), **inputs["config"]}})

    def delete(self, identifier: str, _state: State) -> None:
        found = self._cache.networks().get(identifier)
        if found:
            check_ours("network", found, self._environment)
            self._client.delete_network(identifier)


class AclKind:
    """A network access list. Inputs: name, ingress and egress rules, config."""

    compared: tuple[str, ...] = ("ingress", "egress", "config")
    replaced: tuple[str, ...] = ("name",)

    def __init__(self, client: IncusClient, cache: Cache, environment: str) -> None:
        self._client, self._cache, self._environment = client, cache, environment

    def identify(self, inputs: State) -> str:
        return str(inputs["name"])

    def observe(self, identifier: str) -> State | None:
        found = self._cache.acls().get(identifier)
        if not found:
            return None
        rules = {way: [_drop_empty(rule) for rule in found.get(way) or []] for way in ("ingress", "egress")}
        return {"name": identifier, "config": found["config"], **rules}

    def create(self, inputs: State) -> None:
        name = inputs["name"]
        if found := self._cache.acls().get(name):
            check_ours("network access list", found, self._environment)
            self.update(name, {}, inputs)
            return
        self._client.create_network(inputs, "network-acls")

    def update(self, identifier: str, _state: State, inputs: State) -> None:
        body = {key: inputs[key] for key in self.compared}
        self._client.update_network(identifier, body, "network-acls")

    def delete(self, identifier: str, _state: State) -> None:
        found = self._cache.acls().get(identifier)
        if found:
            check_ours("network access list", found, self._environment)
            self._client.delete_network(identifier, "network-acls")


def _drop_empty(rule: Json) -> Json:
    return {key: value for key, value in rule.items() if value != ""}


class VolumeKind:
    """A custom volume with a quota. Inputs: name, config, and size (bytes, as text; absent: leave it).

    It is never deleted from here, nor made smaller: data goes only by `socle retire`.
    """

    compared: tuple[str, ...] = ("config", "size")
    replaced: tuple[str, ...] = ("name",)

    def __init__(self, client: IncusClient, cache: Cache, environment: str) -> None:
        self._client, self._cache, self._environment = client, cache, environment

    def identify(self, inputs: State) -> str:
        return str(inputs["name"])

    def observe(self, identifier: str) -> State | None:
        found = self._cache.volumes().get(identifier)
        if not found:
            return None
        config = drop_volatile(found["config"])
        size = parse_size(config.pop("size", None))
        return {"name": identifier, "config": config, **({} if size is None else {"size": str(size)})}

    def create(self, inputs: State) -> None:
        name = inputs["name"]
        self._client.wait_idle(f"/storage-pools/{self._client.pool}/volumes/custom/{name}")
        if found := self._cache.volumes().get(name):
            check_ours("volume", found, self._environment)
            self.update(name, self.observe(name) or {}, inputs)
            return
        self._client.create_volume(name, {**inputs["config"], **_make_size(inputs)})

    def update(self, identifier: str, state: State, inputs: State) -> None:
        check_growth(identifier, state, inputs)
        self._client.update_volume(identifier, {**inputs["config"], **_make_size(inputs)})

    def delete(self, identifier: str, _state: State) -> None:
        if identifier in self._cache.volumes():
            expected = "expected no deletion of a volume: they hold data"
            raise Refused([Problem("Incus", 0, f"volume {identifier}", expected, "use socle retire")])


def _make_size(inputs: State) -> dict[str, str]:
    return {"size": inputs["size"]} if inputs.get("size") else {}


def check_growth(name: str, state: State, inputs: State) -> None:
    """Raises Refused when the inputs ask for a smaller volume than there is."""
    observed, wanted = state.get("size"), inputs.get("size")
    if observed and wanted and int(wanted) < int(observed):
        raise Refused([make_shrink_problem(name, int(observed), int(wanted))])


class AttachmentKind:
    """A volume mounted in a host: one device of it. Inputs: instance, name, config (the device).

    A resource of its own, so that one more site changes nothing of the host's own resource.
    """

    compared: tuple[str, ...] = ("config",)
    replaced: tuple[str, ...] = ("instance", "name")

    def __init__(self, client: IncusClient, cache: Cache, locks: InstanceLocks) -> None:
        self._client, self._cache, self._locks = client, cache, locks

    def identify(self, inputs: State) -> str:
        return f"{inputs['instance']}/{inputs['name']}"

    def observe(self, identifier: str) -> State | None:
        instance, _, name = identifier.partition("/")
        device = self._cache.instances().get(instance, {}).get("devices", {}).get(name)
        return {"instance": instance, "name": name, "config": device} if device else None

    def create(self, inputs: State) -> None:
        with self._locks.of(inputs["instance"]), self._client.editing_instance(inputs["instance"]) as body:
            body["devices"][inputs["name"]] = inputs["config"]

    def update(self, _identifier: str, _state: State, inputs: State) -> None:
        self.create(inputs)

    def delete(self, identifier: str, _state: State) -> None:
        instance, _, name = identifier.partition("/")
        try:
            with self._locks.of(instance), self._client.editing_instance(instance) as body:
                body["devices"].pop(name, None)
        except NotFound:
            return  # The host went first.


class InstanceLocks(Protocol):
    """One change at a time of each instance."""

    def of(self, name: str) -> Any:
        """The lock of `name`."""
