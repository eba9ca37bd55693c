"""Removing an environment's hosts, and its data when that is asked for: `socle lab down`.

What to remove is read from the markers in Incus, not from Pulumi's state, so it works when that is lost.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from socle.errors import SocleError
from socle.incus import records
from socle.incus.client import IncusClient, IncusError
from socle.incus.connect import open_client
from socle.incus.instances import run_delete_instance
from socle.incus.listing import Cache
from socle.incus.marker import ENVIRONMENT, OWNER, is_ours
from socle.load.workspace import Workspace
from socle.model.platform import Platform
from socle.runs.talk import Talk
from socle.stages.base import Change, Context
from socle.stages.hosts_context import load_named_server

_PARALLEL = 4


def run_destroy(workspace: Workspace, platform: Platform, talk: Talk, data: bool) -> list[Change]:
    """Stop and remove all hosts of the environment, those of the lab too; with `data` also its volumes,
    records, networks and project. Safe to repeat. What does not carry our marker stays, and is said."""
    environment = workspace.name
    with open_client(platform.incus, workspace.state, workspace.project) as client:
        cache = Cache(client)
        changes = _run_records(workspace, platform, talk) if data else []
        changes += _run_instances(client, cache, environment)
        if data:
            changes += _run_volumes(client, cache, environment)
            changes += _run_networks(client, environment, "networks", "network")
            changes += _run_networks(client, environment, "network-acls", "network access list")
            changes += _run_project(client, environment, talk)
            shutil.rmtree(workspace.state / "pulumi", ignore_errors=True)
    shutil.rmtree(workspace.state / "pulumi" / "stamps", ignore_errors=True)
    return changes


def find_remaining(client: IncusClient, environment: str) -> list[str]:
    """What of the environment is still there, as `kind name`."""
    cache = Cache(client)
    groups = {
        "host": cache.instances(),
        "volume": cache.volumes(),
        "network": cache.networks(),
        "acl": cache.acls(),
    }
    return [
        f"{kind} {name}"
        for kind, found in groups.items()
        for name, thing in sorted(found.items())
        if is_ours(thing, environment)
    ]


def _run_instances(client: IncusClient, cache: Cache, environment: str) -> list[Change]:
    ours = [found for found in cache.instances().values() if is_ours(found, environment)]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        list(pool.map(lambda found: run_delete_instance(client, found), ours))
    return [_make_change("host", found["name"]) for found in ours]


def _run_volumes(client: IncusClient, cache: Cache, environment: str) -> list[Change]:
    changes = []
    for name, found in cache.volumes().items():
        if is_ours(found, environment):
            client.delete_volume(name)
            kind, _, owner = found["config"].get(OWNER, "").partition(":")
            association = owner if kind == "association" else ""
            changes.append(_make_change("volume", name, association))
    return changes


def _run_networks(client: IncusClient, environment: str, kind: str, noun: str) -> list[Change]:
    ours = [found["name"] for found in client.list_networks(kind) if is_ours(found, environment)]
    for name in ours:
        client.delete_network(name, kind)
    return [_make_change(noun, name) for name in ours]


def _run_project(client: IncusClient, environment: str, talk: Talk) -> list[Change]:
    try:
        if not client.has_project() or not is_ours(client.get_project(), environment):
            return []
        client.delete_project()
    except IncusError as error:
        talk.say(f"The project {client.project} stays: {error}")
        return []
    return [_make_change("project", client.project)]


def _run_records(workspace: Workspace, platform: Platform, talk: Talk) -> list[Change]:
    """In a lab the DNS server goes with the rest. Elsewhere our records go, if the server can be reached."""
    server = load_named_server(platform.dns.server, workspace.state)
    if server is None or platform.lab:
        return []
    removed: list[Change] = []
    for zone in platform.dns.zones:
        try:
            removed += _run_zone(server, zone, workspace.name)
        except SocleError as error:
            talk.say(f"Records stay: {error}")
    return removed


def _run_zone(server: records.DnsServer, zone: str, environment: str) -> Iterable[Change]:
    for found in records.load_records(server, zone).values():
        if found["environment"] == environment:
            records.run_remove(server, found)
            yield _make_change("record", f"{found['name']} {found['type']}")


def _make_change(kind: str, name: str, association: str = "") -> Change:
    return Change(stage="hosts", action="delete", kind=kind, name=name, association=association)


def run_adopt(context: Context, kind: str, name: str) -> None:
    """Let the next apply take up an existing `host` or `volume` that socle did not make: an explicit act.

    Raises IncusError when there is none, or when it belongs to another environment.
    """
    workspace, environment = context.workspace, context.plan.environment
    with open_client(context.platform.incus, workspace.state, workspace.project) as client:
        found = client.get_volume(name) if kind == "volume" else client.get_instance(name)
        holder = found["config"].get(ENVIRONMENT)
        if holder not in (None, environment):
            raise IncusError(f"the {kind} {name} belongs to the environment {holder}")
        if kind == "volume":
            client.update_volume(name, {ENVIRONMENT: environment})
            return
        with client.editing_instance(name) as body:
            body["config"][ENVIRONMENT] = environment
