"""The Incus provider: a real Pulumi provider. Nothing is pickled, no secret reaches it.

The protocol is here; what each kind of resource does is in `socle.incus`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pulumi.provider.experimental import provider as protocol
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import main as serve

from socle.errors import Exit, SocleError
from socle.incus.connect import Reach, open_client
from socle.incus.kinds import Kind, State, check_growth, find_differences, restrict_config
from socle.incus.listing import Cache
from socle.incus.records import DnsServer
from socle.incus.registry import make_kinds

VERSION = "0.1.0"


def parse_properties(properties: Mapping[str, PropertyValue]) -> State:
    """Plain values of a property map. Numbers do not occur: sizes travel as text, whole."""
    return {key: parse_property(value) for key, value in properties.items() if not key.startswith("__")}


def parse_property(value: PropertyValue) -> Any:
    """The plain value of one property."""
    inner = value.value
    if isinstance(inner, Mapping):
        return {key: parse_property(one) for key, one in inner.items()}
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return [parse_property(one) for one in inner]
    return inner


def make_properties(state: State) -> dict[str, PropertyValue]:
    """The property map of plain values."""
    return {key: make_property(value) for key, value in state.items()}


def make_property(value: Any) -> PropertyValue:
    """The property of one plain value."""
    if isinstance(value, Mapping):
        return PropertyValue({key: make_property(one) for key, one in value.items()})
    if isinstance(value, (list, tuple)):
        return PropertyValue([make_property(one) for one in value])
    return PropertyValue(value)


class Backend:
    """The kinds of resources, connected on first use: checking a configuration opens nothing."""

    def __init__(self, config: Mapping[str, str]) -> None:
        self._config = config

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """Kinds by type name."""
        config, environment = self._config, self._config["environment"]
        client = open_client(self._make_reach(), Path(), config["project"])
        return make_kinds(client, Cache(client), environment, self._make_dns())

    def _make_reach(self) -> Reach:
        names = ("url", "certificate", "key", "server_certificate", "pool")
        return Reach(**{name: self._config[name] for name in names if name in self._config})

    def _make_dns(self) -> DnsServer | None:
        address = self._config.get("dns_server")
        return DnsServer(address, Path(self._config["tsig_key"])) if address else None


class Provider(protocol.Provider):
    """Create, read, diff, update, delete. Work is done in threads: a host that starts holds up no other."""

    def __init__(self) -> None:
        self._backend = Backend({})

    async def get_schema(self, _request: protocol.GetSchemaRequest) -> protocol.GetSchemaResponse:
        return protocol.GetSchemaResponse(json.dumps({"name": "incus", "version": VERSION}))

    async def check_config(self, request: protocol.CheckRequest) -> protocol.CheckResponse:
        return protocol.CheckResponse(request.new_inputs)

    async def diff_config(self, _request: protocol.DiffRequest) -> protocol.DiffResponse:
        return protocol.DiffResponse()

    async def configure(self, request: protocol.ConfigureRequest) -> protocol.ConfigureResponse:
        self._backend = Backend(parse_properties(request.args))
        return protocol.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: protocol.CheckRequest) -> protocol.CheckResponse:
        return protocol.CheckResponse(request.new_inputs)

    async def create(self, request: protocol.CreateRequest) -> protocol.CreateResponse:
        if request.preview:
            return protocol.CreateResponse("", request.properties)
        inputs = parse_properties(request.properties)
        kind = self._kind(request.type)
        await self._work(lambda: kind.create(inputs))
        return protocol.CreateResponse(kind.identify(inputs), request.properties)

    async def read(self, request: protocol.ReadRequest) -> protocol.ReadResponse:
        """Refresh when inputs are known, import when they are not."""
        inputs = parse_properties(request.inputs)
        kind = self._kind(request.type)
        observed = await self._work(lambda: kind.observe(request.resource_id))
        if observed is None:
            return protocol.ReadResponse("")
        state = restrict_config(observed, inputs)
        properties = make_properties({**inputs, **state})
        return protocol.ReadResponse(request.resource_id, properties, request.inputs or properties)

    async def diff(self, request: protocol.DiffRequest) -> protocol.DiffResponse:
        kind = self._kind(request.type)
        state, inputs = parse_properties(request.old_state), parse_properties(request.new_inputs)
        if request.type.endswith(":Volume"):
            await self._work(lambda: check_growth(request.resource_id, state, inputs))
        changed = find_differences(state, inputs, kind.compared)
        replaced = find_differences(state, inputs, kind.replaced)
        return protocol.DiffResponse(bool(changed or replaced), replaced, diffs=[*changed, *replaced])

    async def update(self, request: protocol.UpdateRequest) -> protocol.UpdateResponse:
        if not request.preview:
            state, inputs = parse_properties(request.olds), parse_properties(request.news)
            kind = self._kind(request.type)
            await self._work(lambda: kind.update(request.resource_id, state, inputs))
        return protocol.UpdateResponse(request.news)

    async def delete(self, request: protocol.DeleteRequest) -> None:
        kind, state = self._kind(request.type), parse_properties(request.properties)
        await self._work(lambda: kind.delete(request.resource_id, state))

    def _kind(self, token: str) -> Kind:
        return self._backend.kinds[token.rsplit(":", 1)[-1]]

    async def _work(self, call: Callable[[], Any]) -> Any:
        """Run a blocking call. Errors carry their exit code, which the stage reads back."""
        try:
            return await asyncio.to_thread(call)
        except SocleError as error:
            raise RuntimeError(render_error(error)) from None


def render_error(error: SocleError) -> str:
    """An error as one message between marks: Pulumi puts its own words around it."""
    return f"[[{Exit(error.exit).name}|{error}]]"


if __name__ == "__main__":
    serve(sys.argv[1:], VERSION, Provider())
