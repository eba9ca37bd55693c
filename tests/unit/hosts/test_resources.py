"""What the plan becomes: whole inputs, whole files."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path

import pytest

from socle.incus.marker import READY
from socle.model.plan import Host, Network, Nic, Plan, Record, Volume
from socle.stages.hosts_inventory import render_hosts
from socle.stages.hosts_resources import (
    Settings,
    make_acl,
    make_digest,
    make_instance,
    make_network_config,
    make_stacks,
    render_hosts_file,
    render_network_unit,
)

PUBLIC = Network(
    name="public",
    bridge="slabcd-public",
    ipv4=IPv4Interface("10.1.1.1/24"),
    ipv6=IPv6Interface("fd12:1::1/64"),
    managed=False,
)
INNER = Network(name="inner", bridge="slabcd-inner", ipv4=IPv4Interface("10.1.2.1/24"), managed=True)
EDGE = Host(
    name="edge1",
    role="edge",
    memory=2**30,
    disk=2**33,
    nics=(
        Nic(
            network="public",
            device="eth0",
            ipv4=IPv4Interface("10.1.1.10/24"),
            ipv6=IPv6Interface("fd12:1::10/64"),
        ),
        Nic(network="inner", device="eth1", ipv4=IPv4Interface("10.1.2.10/24")),
    ),
    address=IPv4Address("10.1.2.10"),
    inputs=(),
    services=(),
)
WEB = Host(
    name="web1",
    role="web",
    memory=2**31,
    disk=2**33,
    nics=(Nic(network="inner", device="eth0", ipv4=IPv4Interface("10.1.2.11/24")),),
    address=IPv4Address("10.1.2.11"),
    inputs=(),
    services=(),
)
VOLUME = Volume(name="wp-amis", host="web1", path="/srv/sites/wp-amis", size=2**26, association="amis")
RECORD = Record(name="amis.example", zone="example", type="A", ttl=300, values=("10.1.1.10",), association="amis")
PLAN = Plan(
    environment="lab-abcd",
    syndicate="SITPI",
    domain="asso.example",
    timezone="Europe/Paris",
    acme_directory="https://ca.example/directory",
    networks=(PUBLIC, INNER),
    hosts=(EDGE, WEB),
    volumes=(VOLUME,),
    records=(RECORD,),
    sites=(),
    orphans=(),
    waiting=(),
)
SETTINGS = Settings(
    provider={"environment": "lab-abcd", "project": "socle-lab-abcd", "pool": "socle"},
    pool="socle",
    image="debian",
    folder=Path("/state/ssh"),
    controller_key="ssh-ed25519 AAAA socle@lab-abcd",
    host_keys={"edge1": "ssh-ed25519 BBBB edge1", "web1": "ssh-ed25519 CCCC web1"},
    bridges=frozenset({"slabcd-public"}),
    forwards={"example": "10.1.1.2"},
)
MARKER = {"user.socle.environment": "lab-abcd"}


def test_one_stack_per_host_so_that_cost_follows_change() -> None:
    stacks = make_stacks(PLAN, SETTINGS)
    names = {stack: [(one.type, one.name, one.association) for one in wanted] for stack, wanted in stacks.items()}
    assert names == {
        "networks": [("NetworkAcl", "slabcd-inner", ""), ("Network", "slabcd-inner", "")],
        "host-edge1": [("Instance", "edge1", "")],
        "host-web1": [
            ("Instance", "web1", ""),
            ("Volume", "wp-amis", "amis"),
            ("Attachment", "wp-amis", "amis"),
        ],
        "records": [("RecordSet", "amis.example/A", "amis")],
    }


def test_one_more_association_touches_only_its_own_resources() -> None:
    other = VOLUME.model_copy(update={"name": "wp-other", "association": "other", "path": "/srv/sites/wp-other"})
    before = make_stacks(PLAN, SETTINGS)
    after = make_stacks(PLAN.model_copy(update={"volumes": (VOLUME, other)}), SETTINGS)
    assert [one for one in after["host-web1"] if one not in before["host-web1"]] == [
        one for one in after["host-web1"] if one.association == "other"
    ]
    changed = [stack for stack in after if after[stack] != before[stack]]
    assert changed == ["host-web1"]


def test_a_host_speaks_only_under_its_own_addresses() -> None:
    inputs = make_instance(PLAN, EDGE, SETTINGS)
    assert inputs["devices"] == {
        "root": {"type": "disk", "path": "/", "pool": "socle", "size": "8589934592"},
        "eth0": {
            "type": "nic",
            "name": "eth0",
            "network": "slabcd-public",
            "ipv4.address": "10.1.1.10",
            "security.mac_filtering": "true",
            "security.ipv4_filtering": "true",
            "ipv6.address": "fd12:1::10",
            "security.ipv6_filtering": "true",
        },
        "eth1": {
            "type": "nic",
            "name": "eth1",
            "network": "slabcd-inner",
            "ipv4.address": "10.1.2.10",
            "security.mac_filtering": "true",
            "security.ipv4_filtering": "true",
        },
    }


def test_an_existing_bridge_that_incus_does_not_manage_is_used_as_it_is() -> None:
    device = make_instance(PLAN, EDGE, replace(SETTINGS, bridges=frozenset()))["devices"]["eth0"]
    assert (device["nictype"], device["parent"], device.get("network")) == ("bridged", "slabcd-public", None)


def test_a_host_is_marked_limited_and_identified() -> None:
    inputs = make_instance(PLAN, WEB, SETTINGS)
    ready = inputs["config"].pop(READY)
    assert inputs["config"] == {
        **MARKER,
        "user.socle.owner": "host:web1",
        "limits.memory": "2147483648",
        "boot.autostart": "true",
        "security.privileged": "false",
    }
    assert inputs["identity"] == "/state/ssh/hosts/web1"
    assert inputs["files"][-1] == {
        "path": "/root/.ssh/authorized_keys",
        "content": "ssh-ed25519 AAAA socle@lab-abcd\n",
        "mode": "0600",
    }
    other_key = replace(SETTINGS, host_keys={"web1": "ssh-ed25519 DDDD web1"})
    assert make_instance(PLAN, WEB, other_key)["config"][READY] != ready


def test_network_units_are_whole() -> None:
    assert render_network_unit(PLAN, EDGE, EDGE.nics[0]) == (
        "[Match]\nName=eth0\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\nAddress=10.1.1.10/24\n"
        "Gateway=10.1.1.1\nDNS=10.1.1.1\nAddress=fd12:1::10/64\nGateway=fd12:1::1\n"
    )
    assert render_network_unit(PLAN, EDGE, EDGE.nics[1]) == (
        "[Match]\nName=eth1\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\nAddress=10.1.2.10/24\n"
    )


def test_hosts_file_is_whole() -> None:
    assert render_hosts_file(WEB) == ("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.1.2.11 web1\n")


def test_the_border_lets_in_the_controller_by_ssh_only() -> None:
    assert make_acl(INNER, "lab-abcd")["ingress"] == [
        {
            "action": "allow",
            "state": "enabled",
            "source": "10.1.2.1",
            "protocol": "tcp",
            "destination_port": "22",
            "description": "controller",
        }
    ]
    config = make_stacks(PLAN, SETTINGS)["networks"][1].inputs["config"]
    assert config["security.acls"] == "slabcd-inner"
    assert config["security.acls.default.ingress.action"] == "drop"


def test_network_configuration_is_whole() -> None:
    assert make_network_config(PUBLIC, "lab-abcd", {"example": "10.1.1.2"}) == {
        **MARKER,
        "user.socle.owner": "network:public",
        "ipv4.address": "10.1.1.1/24",
        "ipv4.nat": "true",
        "ipv4.dhcp": "false",
        "ipv6.address": "fd12:1::1/64",
        "ipv6.nat": "true",
        "ipv6.dhcp": "false",
        "dns.mode": "managed",
        "raw.dnsmasq": "server=/example/10.1.1.2",
    }
    assert make_network_config(INNER, "lab-abcd", {})["ipv6.address"] == "none"


def test_a_volume_whose_request_is_gone_keeps_its_size() -> None:
    plan = PLAN.model_copy(update={"volumes": (VOLUME.model_copy(update={"size": None}),)})
    volume = make_stacks(plan, SETTINGS)["host-web1"][1]
    assert "size" not in volume.inputs


@pytest.mark.parametrize("change", ["inputs", "provider", "code"])
def test_a_stamp_is_of_inputs_provider_and_code(change: str) -> None:
    wanted, provider, code = make_stacks(PLAN, SETTINGS)["records"], SETTINGS.provider, "c1"
    before = make_digest(wanted, provider, code)
    if change == "inputs":
        wanted = ()
    if change == "provider":
        provider = {**provider, "dns_server": "10.1.1.2"}
    if change == "code":
        code = "c2"
    assert make_digest(wanted, provider, code) != before


def test_inventory_is_whole() -> None:
    assert render_hosts(PLAN).decode() == (
        "# Written by socle from the plan. Changes made here are lost.\n"
        "# Read by Ansible, pyinfra and testinfra.\n"
        "all:\n"
        "  children:\n"
        "    edge:\n"
        "      hosts:\n"
        "        edge1:\n"
        "          ansible_host: 10.1.2.10\n"
        "          ansible_user: root\n"
        "    web:\n"
        "      hosts:\n"
        "        web1:\n"
        "          ansible_host: 10.1.2.11\n"
        "          ansible_user: root\n"
    )
