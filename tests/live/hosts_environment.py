"""A tiny environment of its own for live tests: project, bridges, state folder, and a free subnet."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, cast

from socle.incus.client import IncusClient
from socle.incus.connect import open_client
from socle.lab.image import make_recipe
from socle.load.workspace import Workspace
from socle.model.plan import Host, Network, Nic, Plan, Volume
from socle.model.platform import IncusSettings, Platform
from socle.runs.talk import Talk
from socle.stages.base import Context
from socle.stages.hosts import HostsStage
from socle.stages.hosts_destroy import run_destroy

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGE = make_recipe().alias
MIB = 2**20
VOLUME_SIZE = 64 * MIB


@dataclass(frozen=True)
class Environment:
    """An environment of the tests' own. `context` is what the stage is given."""

    context: Context
    subnet: IPv4Network

    @property
    def plan(self) -> Plan:
        return self.context.plan

    def with_plan(self, **changes: Any) -> Environment:
        """The same environment with another plan."""
        return replace(self, context=replace(self.context, plan=self.plan.model_copy(update=changes)))

    def full(self) -> Context:
        return replace(self.context, full=True)

    def client(self) -> IncusClient:
        """A connection of the test's own, by the socket."""
        return open_client(IncusSettings(), Path(), self.context.workspace.project)

    def ssh(self, host: str, *command: str, timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
        """A command on a host, as every tool of socle reaches it."""
        config = str(self.context.workspace.ssh / "config")
        arguments = ["ssh", "-F", config, "-o", "BatchMode=yes", host, "--", *command]
        return subprocess.run(arguments, capture_output=True, timeout=timeout, check=False)


def find_free_subnet() -> IPv4Network:
    """A random /24 that no route of this machine touches."""
    routes = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=True).stdout
    used = [IPv4Network(line.split()[0], strict=False) for line in routes.splitlines() if line[0].isdigit()]
    for _ in range(100):
        subnet = IPv4Network((f"10.{100 + secrets.randbelow(150)}.{secrets.randbelow(256)}.0", 24))
        if not any(subnet.overlaps(other) for other in used):
            return subnet
    raise RuntimeError("no free subnet found")


def make_host(network: Network, name: str, number: int) -> Host:
    address = IPv4Address(int(network.ipv4.network.network_address) + number)
    nic = Nic(network=network.name, device="eth0", ipv4=IPv4Interface((address, 24)))
    return Host(
        name=name, role="web", memory=256 * MIB, disk=1024 * MIB, nics=(nic,), address=address, inputs=(), services=()
    )  # fmt: skip


def make_volume(host: str, association: str, size: int | None = VOLUME_SIZE) -> Volume:
    name = f"wp-{association}"
    return Volume(name=name, host=host, path=f"/srv/sites/{name}", size=size, association=association)


def make_plan(environment: str, mark: str, subnet: IPv4Network, hosts: int, volumes: int) -> Plan:
    gateway = IPv4Interface((int(subnet.network_address) + 1, subnet.prefixlen))
    network = Network(name="inner", bridge=f"sl{mark}-inner", ipv4=gateway, managed=True)
    names = [f"web{number}" for number in range(1, hosts + 1)]
    return Plan(
        environment=environment,
        syndicate="Test",
        domain="asso.example",
        timezone="Europe/Paris",
        acme_directory="https://ca.example/directory",
        networks=(network,),
        hosts=tuple(make_host(network, name, 10 + index) for index, name in enumerate(names)),
        volumes=tuple(make_volume(names[index % hosts], f"asso{index}") for index in range(volumes)),
        records=(),
        sites=(),
        orphans=(),
        waiting=(),
    )


def make_platform(incus: dict[str, str], dns: str = "outside", lab: bool = False) -> Platform:
    return Platform.model_validate(
        {
            "syndicate": "Test",
            "domain": "asso.example",
            "towns": {"38421": "Saint-Martin-d'Hères"},
            "hosts": {"web1": {"role": "web", "memory": "256MiB"}},
            "incus": incus,
            "lab": lab,
            "dns": {"server": dns, "zones": ["asso.example"]},
            "acme": {"directory": "https://ca.example/directory"},
            "pool_size": "10GiB",
        }
    )


def make_workspace(folder: Path) -> Workspace:
    root = folder / "clone"
    (root / "inventories" / "test").mkdir(parents=True)
    (root / "associations").mkdir()
    (root / "stacks").symlink_to(REPOSITORY / "stacks")
    workspace = Workspace(root=root, environment="test", state=folder / "state")
    workspace.run_prepare()
    return workspace


def make_context(workspace: Workspace, plan: Plan, incus: dict[str, str], dns: str = "outside") -> Context:
    return Context(
        workspace=workspace,
        platform=make_platform(incus, dns),
        plan=plan,
        catalogue=cast(Any, None),
        secrets=cast(Any, None),
        talk=Talk(quiet=True),
    )


@contextmanager
def making_environment(
    folder: Path, hosts: int = 1, volumes: int = 1, incus: dict[str, str] | None = None
) -> Iterator[Environment]:
    """An environment, removed at the end with all it holds."""
    workspace = make_workspace(folder)
    subnet = find_free_subnet()
    plan = make_plan(workspace.name, workspace.mark, subnet, hosts, volumes)
    try:
        yield Environment(make_context(workspace, plan, incus or {}), subnet)
    finally:
        run_destroy(workspace, make_platform({}), Talk(quiet=True), data=True)


def load_environment(folder: Path) -> Context:
    """The environment of another process, from the plan it left in its folder."""
    plan = Plan.model_validate_json((folder / "plan.json").read_text())
    workspace = Workspace(root=folder / "clone", environment="test", state=folder / "state")
    return make_context(workspace, plan, {})


if __name__ == "__main__":
    HostsStage(IMAGE).apply(load_environment(Path(sys.argv[1])))
