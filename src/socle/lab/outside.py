"""The host `outside`: what the lab needs of the Internet. Made by `lab up` before any plan is applied.

It serves DNS for the platform's zones, signs certificates as an ACME authority, and looks at sites as a
visitor does. It is not in the Plan. What others need of it is written into the state folder:
`outside.json`, `tsig.key`, `acme-root.pem`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from socle import ssh
from socle.errors import SocleError
from socle.files import run_write
from socle.incus.client import IncusClient
from socle.incus.instances import InstanceKind, Locks
from socle.incus.kinds import NetworkKind, State, find_differences, restrict_config
from socle.incus.listing import Cache
from socle.incus.marker import OWNER
from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Host, Network, Nic, Plan
from socle.remote import connected, run_ssh, working_on
from socle.runs.talk import Talk
from socle.stages.base import Context
from socle.stages.hosts_context import run_ensure_project
from socle.stages.hosts_resources import Settings, make_instance, make_network_config
from socle.stages.services import make_folder_digest, run_mend_packages
from socle.stages.stamps import load_stamps, run_stamps

NAME = "outside"
NUMBER = 2
"""Its place in the public network: 10.x.y.2."""
OWN_ZONE = "outside.test"
MEMORY = 256 * 1024**2
DISK = 2 * 1024**3
_TSIG = "socle:hmac-sha256"


@dataclass(frozen=True)
class Outside:
    """What `outside` is told. `tsig` is a secret: `name:algorithm:base64`."""

    ipv4: str
    ipv6: str
    """Empty when the public network has none."""
    zones: tuple[str, ...]
    tsig: str


def run_outside(context: Context, client: IncusClient, image: str) -> None:
    """Make the public network and the host `outside`, or what is missing of them; `image` is an alias.

    Raises Refused when something of that name is not ours, Unreachable, SocleError.
    """
    workspace, plan = context.workspace, context.plan
    public = next(network for network in plan.networks if network.name == "public")
    host = make_host(public)
    outside = Outside(
        ipv4=str(host.address),
        ipv6=str(host.nics[0].ipv6.ip) if host.nics[0].ipv6 else "",
        zones=tuple(context.platform.dns.zones),
        tsig=run_make_tsig(workspace.state / "tsig.key"),
    )
    settings = _run_identity(context, public, host, image)
    _run_machine(client, plan, public, host, settings)
    _run_software(workspace, outside, context.talk, full=context.full)
    addresses = {"ipv4": outside.ipv4, "ipv6": outside.ipv6}
    run_write(workspace.state / "outside.json", json.dumps(addresses).encode())


def make_host(public: Network) -> Host:
    """`outside` as a host, with its only place in the public network."""
    ipv4 = type(public.ipv4)((public.ipv4.network[NUMBER], public.ipv4.network.prefixlen))
    ipv6 = public.ipv6 and type(public.ipv6)((public.ipv6.network[NUMBER], public.ipv6.network.prefixlen))
    return Host(
        name=NAME,
        role=NAME,
        memory=MEMORY,
        disk=DISK,
        nics=(Nic(network=public.name, device="eth0", ipv4=ipv4, ipv6=ipv6),),
        address=ipv4.ip,
        inputs=(),
        services=(NAME,),
    )


def make_forwards(zones: Sequence[str], address: str) -> dict[str, str]:
    """Which zones the lab's resolvers ask `outside` for."""
    return dict.fromkeys((OWN_ZONE, *zones), address)


def run_make_tsig(path: Path) -> str:
    """The TSIG key in `path` (`name:algorithm:base64`, 0600), made once."""
    if not path.is_file():
        secret = base64.b64encode(secrets.token_bytes(32)).decode()
        run_write(path, f"{_TSIG}:{secret}\n".encode())
    return path.read_text().strip()


def _run_identity(context: Context, public: Network, host: Host, image: str) -> Settings:
    """Keys made, and the ssh client told of the host before the host exists."""
    folder = context.workspace.ssh
    key = ssh.run_make_host_key(folder, NAME)
    ssh.run_write_client(folder, {NAME: str(host.address)})
    return Settings(
        provider={},
        pool=context.platform.incus.pool,
        image=image,
        folder=folder,
        controller_key=ssh.run_make_controller_key(folder, context.plan.environment),
        host_keys={NAME: key},
        bridges=frozenset({public.bridge}),
        forwards=make_forwards(context.platform.dns.zones, str(host.address)),
    )


def _run_machine(client: IncusClient, plan: Plan, public: Network, host: Host, settings: Settings) -> None:
    run_ensure_project(client, plan.environment)
    cache = Cache(client)
    network: State = {
        "name": public.bridge,
        "config": make_network_config(public, plan.environment, settings.forwards),
    }
    instance = make_instance(plan, host, settings)
    # Not `host:`: hosts that no plan has are stopped by the hosts stage.
    instance["config"][OWNER] = f"lab:{NAME}"
    for kind, inputs in (
        (NetworkKind(client, cache, plan.environment), network),
        (InstanceKind(client, cache, plan.environment, Locks()), instance),
    ):
        observed = kind.observe(kind.identify(inputs))
        if observed is None or find_differences(restrict_config(observed, inputs), inputs, kind.compared):
            kind.create(inputs)


def _run_software(workspace: Workspace, outside: Outside, talk: Talk, full: bool) -> None:
    """Install what is on it, unless its stamp says that this very version is there."""
    entry = workspace.stacks / NAME
    inputs = json.dumps([make_folder_digest(entry), outside.ipv4, outside.ipv6, outside.zones, outside.tsig])
    stamp = hashlib.sha256(inputs.encode()).hexdigest()
    root = workspace.state / "acme-root.pem"
    if not full and root.is_file() and load_stamps(workspace, NAME, [NAME])[NAME] == stamp:
        return
    deploy = load_module(entry / "deploy.py")
    with connected(workspace, [NAME], talk) as remote, working_on(remote, NAME) as host:
        run_mend_packages(workspace, NAME)
        deploy.deploy(host, outside)
    found = run_ssh(workspace, NAME, ["cat", deploy.ROOT_CERTIFICATE])
    if found.returncode:
        raise SocleError("outside: its certificate authority made no root certificate", "run again")
    run_write(root, found.stdout, 0o644)
    run_stamps(workspace, NAME, {NAME: stamp})
