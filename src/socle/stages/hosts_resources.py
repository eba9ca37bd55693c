"""What the hosts stage wants in the world, as plain data: pure functions of the Plan.

Three kinds of stacks, small so that cost follows change: `networks`, one `host-<name>` per host with its
volumes and their attachments, and `records`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from socle import ssh
from socle.incus.kinds import State
from socle.incus.marker import READY, make_marker
from socle.incus.records import make_state
from socle.model.plan import Host, Network, Nic, Plan, Record, Volume

NETWORKS = "networks"
RECORDS = "records"
_HOST_PREFIX = "host-"
_ALLOW = {"action": "allow", "state": "enabled"}


@dataclass(frozen=True)
class Settings:
    """What the program needs beside the Plan. Paths and public keys only: nothing of it is secret."""

    provider: Mapping[str, str]
    """The provider's configuration: how to reach Incus and the DNS server, by paths of files."""
    pool: str
    image: str
    folder: Path
    """`<state>/ssh`."""
    controller_key: str
    host_keys: Mapping[str, str]
    """Public key of each host."""
    bridges: frozenset[str]
    """Networks that Incus manages: those that are not are reached as plain bridges."""
    forwards: Mapping[str, str]
    """Zones that resolvers of our networks ask a given server for, by name of the zone."""


@dataclass(frozen=True)
class Wanted:
    """One resource: its type in the provider, its name in the stack, its inputs. `after`: (type, name)."""

    type: str
    name: str
    inputs: State
    association: str = ""
    after: tuple[tuple[str, str], ...] = ()


def make_stacks(plan: Plan, settings: Settings) -> dict[str, tuple[Wanted, ...]]:
    """All resources by stack, networks first and records last."""
    stacks = {NETWORKS: tuple(_make_networks(plan, settings))}
    for host in plan.hosts:
        stacks[f"{_HOST_PREFIX}{host.name}"] = tuple(_make_host(plan, host, settings))
    return {**stacks, RECORDS: tuple(_make_record(record, plan) for record in plan.records)}


def find_host(stack: str) -> str:
    """The host that a stack is for; "" when it is for none."""
    return stack.removeprefix(_HOST_PREFIX) if stack.startswith(_HOST_PREFIX) else ""


def make_digest(wanted: tuple[Wanted, ...], provider: Mapping[str, str], code: str) -> str:
    """What a stack was made from. `code`: digest of the programs that make it."""
    data = [code, dict(provider), [[one.type, one.name, one.inputs, one.after] for one in wanted]]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


# Networks.


def _make_networks(plan: Plan, settings: Settings) -> Iterator[Wanted]:
    for network in plan.networks:
        if network.managed:
            acl = make_acl(network, plan.environment)
            yield Wanted("NetworkAcl", acl["name"], acl)
            config = {
                **make_network_config(network, plan.environment, settings.forwards),
                **_make_border(acl["name"]),
            }
            inputs = {"name": network.bridge, "config": config}
            yield Wanted("Network", network.bridge, inputs, after=(("NetworkAcl", acl["name"]),))


def make_network_config(network: Network, environment: str, forwards: Mapping[str, str]) -> dict[str, str]:
    """Incus's configuration of a bridge of ours, with its resolver. Used by `lab up` for `public` too.

    No DHCP: hosts have the addresses of the Plan, and nothing else gets one.
    """
    lines = "\n".join(f"server=/{zone}/{server}" for zone, server in sorted(forwards.items()))
    ipv6 = {"ipv6.nat": "true", "ipv6.dhcp": "false"} if network.ipv6 else {}
    return {
        **make_marker(environment, f"network:{network.name}"),
        "ipv4.address": str(network.ipv4),
        "ipv4.nat": "true",
        "ipv4.dhcp": "false",
        "ipv6.address": str(network.ipv6) if network.ipv6 else "none",
        **ipv6,
        # Without it and without DHCP, Incus starts no resolver at all.
        "dns.mode": "managed",
        **({"raw.dnsmasq": lines} if lines else {}),
    }


def make_acl(network: Network, environment: str) -> State:
    """The border of an inner network: from outside the bridge, only the controller (its address there is the
    gateway's) comes in, by SSH. What hosts of the bridge say to each other is for their own firewall."""
    gateways = [str(address.ip) for address in (network.ipv4, network.ipv6) if address]
    ssh_in = [
        {
            **_ALLOW,
            "source": gateway,
            "protocol": "tcp",
            "destination_port": "22",
            "description": "controller",
        }
        for gateway in gateways
    ]
    return {
        "name": network.bridge,
        "config": make_marker(environment, f"network:{network.name}"),
        "ingress": ssh_in,
        "egress": [],
    }


def _make_border(acl: str) -> dict[str, str]:
    return {
        "security.acls": acl,
        "security.acls.default.ingress.action": "drop",
        "security.acls.default.egress.action": "allow",
    }


# Hosts.


def _make_host(plan: Plan, host: Host, settings: Settings) -> Iterator[Wanted]:
    yield Wanted("Instance", host.name, make_instance(plan, host, settings))
    for volume in plan.volumes:
        if volume.host == host.name:
            yield _make_volume(volume, plan)
            yield _make_attachment(volume, settings.pool)


def make_instance(plan: Plan, host: Host, settings: Settings) -> State:
    """The inputs of a host."""
    files = make_files(plan, host, settings.controller_key)
    return {
        "name": host.name,
        "image": settings.image,
        "status": "Running",
        "address": str(host.address),
        "identity": str(ssh.make_host_folder(settings.folder, host.name)),
        "files": files,
        "config": {
            **make_marker(plan.environment, f"host:{host.name}"),
            READY: _make_identity_digest(files, settings.host_keys.get(host.name, "")),
            "limits.memory": str(host.memory),
            "boot.autostart": "true",
            "security.privileged": "false",
        },
        "devices": {
            "root": {"type": "disk", "path": "/", "pool": settings.pool, "size": str(host.disk)},
            **{nic.device: _make_device(plan, nic, settings) for nic in host.nics},
        },
    }


def _make_identity_digest(files: list[dict[str, str]], host_key: str) -> str:
    data = [files, host_key.split()[:2]]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _find_network(plan: Plan, name: str) -> Network:
    return next(network for network in plan.networks if network.name == name)


def _make_device(plan: Plan, nic: Nic, settings: Settings) -> dict[str, str]:
    """A network interface that may speak only under its own addresses."""
    network = _find_network(plan, nic.network)
    known = network.managed or network.bridge in settings.bridges
    link = {"network": network.bridge} if known else {"nictype": "bridged", "parent": network.bridge}
    ipv6 = {"ipv6.address": str(nic.ipv6.ip), "security.ipv6_filtering": "true"} if nic.ipv6 else {}
    return {
        "type": "nic",
        "name": nic.device,
        **link,
        "ipv4.address": str(nic.ipv4.ip),
        "security.mac_filtering": "true",
        "security.ipv4_filtering": "true",
        **ipv6,
    }


def make_files(plan: Plan, host: Host, controller_key: str) -> list[dict[str, str]]:
    """Files of a host's identity, written before its first start. The SSH host key is not among them."""
    units = [
        _make_file(f"/etc/systemd/network/10-{nic.device}.network", render_network_unit(plan, host, nic))
        for nic in host.nics
    ]
    return [
        *units,
        _make_file("/etc/hostname", f"{host.name}\n"),
        _make_file("/etc/hosts", render_hosts_file(host)),
        _make_file("/root/.ssh/authorized_keys", f"{controller_key}\n", "0600"),
    ]


def _make_file(path: str, content: str, mode: str = "0644") -> dict[str, str]:
    return {"path": path, "content": content, "mode": mode}


def render_hosts_file(host: Host) -> str:
    """/etc/hosts: only the host itself. The others are found by DNS, or by the address the Plan gives."""
    return f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{host.address} {host.name}\n"


def render_network_unit(plan: Plan, host: Host, nic: Nic) -> str:
    """systemd.network(5) of one interface: static; the first has the default routes and the resolver."""
    network = _find_network(plan, nic.network)
    first = nic == host.nics[0]
    lines = [
        "[Match]",
        f"Name={nic.device}",
        "",
        "[Network]",
        "DHCP=no",
        "IPv6AcceptRA=no",
        f"Address={nic.ipv4}",
    ]
    if first:
        lines += [f"Gateway={network.ipv4.ip}", f"DNS={network.ipv4.ip}"]
    if nic.ipv6:
        lines.append(f"Address={nic.ipv6}")
        if first and network.ipv6:
            lines.append(f"Gateway={network.ipv6.ip}")
    return "\n".join(lines) + "\n"


# Volumes and records.


def _make_volume(volume: Volume, plan: Plan) -> Wanted:
    size = {} if volume.size is None else {"size": str(volume.size)}
    owner = f"association:{volume.association}" if volume.association else f"service:{volume.name}"
    inputs = {"name": volume.name, "config": make_marker(plan.environment, owner), **size}
    return Wanted("Volume", volume.name, inputs, volume.association)


def _make_attachment(volume: Volume, pool: str) -> Wanted:
    device = {"type": "disk", "pool": pool, "source": volume.name, "path": volume.path}
    inputs = {"instance": volume.host, "name": volume.name, "config": device}
    after = (("Instance", volume.host), ("Volume", volume.name))
    return Wanted("Attachment", volume.name, inputs, volume.association, after)


def _make_record(record: Record, plan: Plan) -> Wanted:
    name = f"{record.name}/{record.type}"
    return Wanted("RecordSet", name, make_state(record, plan.environment), record.association)
