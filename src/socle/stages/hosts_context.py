"""What the hosts stage works with: connections, keys and settings of one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from socle import ssh
from socle.errors import Refused
from socle.files import run_write
from socle.incus.client import IncusClient, NotFound
from socle.incus.connect import make_paths, open_client
from socle.incus.marker import is_ours, make_marker, make_namesake_problem
from socle.incus.records import DnsServer
from socle.stages.base import Context
from socle.stages.hosts_inventory import render_hosts
from socle.stages.hosts_pulumi import Runner
from socle.stages.hosts_resources import Settings, Wanted, make_stacks
from socle.stages.hosts_survey import Survey, load_code_digest

TSIG_KEY = "tsig.key"
_PROJECT_CONFIG = {
    "features.images": "false",
    "features.networks": "false",
    "features.profiles": "true",
    "features.storage.volumes": "true",
}


@dataclass(frozen=True)
class Run:
    """One run of the stage."""

    context: Context
    client: IncusClient
    survey: Survey
    settings: Settings
    stacks: dict[str, tuple[Wanted, ...]]
    runner: Runner
    code: str


@contextmanager
def opened(context: Context, image: str) -> Iterator[Run]:
    """Connect, and make the keys that are missing. Changes nothing outside the state folder."""
    workspace, plan = context.workspace, context.plan
    workspace.run_prepare()
    server = load_dns_server(context)
    with open_client(context.platform.incus, workspace.state, workspace.project) as client:
        survey = Survey(client, plan.environment, server)
        settings = _load_settings(context, image, survey, server)
        stacks = make_stacks(plan, settings)
        platform = workspace.stacks / "platform"
        runner = Runner(workspace.state, platform)
        yield Run(context, client, survey, settings, stacks, runner, load_code_digest(platform))


def load_dns_server(context: Context) -> DnsServer | None:
    """The DNS server: an address, a host of the plan, or a host of the lab by the addresses it left in the
    state folder. None when that host is not there yet."""
    name, state = context.platform.dns.server, context.workspace.state
    planned = next((str(host.address) for host in context.plan.hosts if host.name == name), None)
    return load_named_server(name, state) or (DnsServer(planned, state / TSIG_KEY) if planned else None)


def load_named_server(name: str, state: Path) -> DnsServer | None:
    """The DNS server by its address, or by the note that a host of the lab left. None when there is neither."""
    try:
        return DnsServer(str(ip_address(name)), state / TSIG_KEY)
    except ValueError:
        note = state / f"{name}.json"
        address = json.loads(note.read_text())["ipv4"] if note.is_file() else None
        return DnsServer(str(address), state / TSIG_KEY) if address else None


def _load_settings(context: Context, image: str, survey: Survey, server: DnsServer | None) -> Settings:
    folder, plan = context.workspace.ssh, context.plan
    forwards = dict.fromkeys(context.platform.dns.zones, server.address) if server and context.platform.lab else {}
    return Settings(
        provider=_make_provider(context, server),
        pool=context.platform.incus.pool,
        image=image,
        folder=folder,
        controller_key=ssh.run_make_controller_key(folder, plan.environment),
        host_keys={host.name: ssh.run_make_host_key(folder, host.name) for host in plan.hosts},
        bridges=frozenset(name for name, found in survey.cache.networks().items() if found.get("managed")),
        forwards=forwards,
    )


def _make_provider(context: Context, server: DnsServer | None) -> dict[str, str]:
    incus, workspace = context.platform.incus, context.workspace
    reach = {"url": incus.url, **make_paths(incus, workspace.state)} if incus.url else {}
    dns = {"dns_server": server.address, "tsig_key": str(server.key)} if server else {}
    return {
        "environment": context.plan.environment,
        "project": workspace.project,
        "pool": incus.pool,
        **reach,
        **dns,
    }


def run_ensure_project(client: IncusClient, environment: str) -> bool:
    """Make the environment's project when there is none. Raises Refused when it is not ours."""
    try:
        if not is_ours(client.get_project(), environment):
            raise Refused([make_namesake_problem("project", client.project)])
        return False
    except NotFound:
        owner = make_marker(environment, "environment:project")
        client.create_project({**_PROJECT_CONFIG, **owner}, "Written by socle.")
        return True


def run_write_files(context: Context, settings: Settings) -> None:
    """Write hosts.yml and what SSH needs, when their content changes."""
    run_write(context.workspace.inventory / "hosts.yml", render_hosts(context.plan), 0o644)
    ssh.run_write_client(settings.folder, ssh.make_addresses(context.plan))
