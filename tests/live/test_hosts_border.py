"""What the networks let through, and DNS records on a real authoritative server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import pytest

from socle.errors import Exit, PartlyDone, Refused, SocleError
from socle.files import run_write
from socle.incus.client import NETWORKS_PROJECT
from socle.incus.records import DnsServer, load_records
from socle.model.plan import Host, Network, Nic, Record
from socle.stages.base import Context
from socle.stages.hosts import HostsStage
from socle.stages.hosts_context import run_ensure_project
from socle.stages.hosts_resources import make_network_config
from tests.live.hosts_environment import (
    IMAGE,
    MIB,
    Environment,
    find_free_subnet,
    make_platform,
    making_environment,
)

pytestmark = pytest.mark.live
STAGE = HostsStage(IMAGE)
ZONE = "asso.example"
TSIG = "socle:hmac-sha256:c29jbGUtdGVzdC1rZXktc29jbGUtdGVzdC1rZXk="
LISTEN = "nohup python3 -m http.server --directory /var/empty 8000 >/dev/null 2>&1 &"
CONNECT = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 4, (sys.argv[3], 0))"
KNOT = f"""server:
    listen: ADDRESS@53
key:
  - id: socle
    algorithm: hmac-sha256
    secret: {TSIG.split(":")[2]}
acl:
  - id: socle
    key: socle
    action: [transfer, update]
zone:
  - domain: {ZONE}
    storage: /var/lib/knot
    file: zone
    acl: socle
"""
CONTENT = f"""$ORIGIN {ZONE}.
@ 300 SOA ns hostmaster 1 3600 600 86400 5
@ 300 NS ns
ns 300 A 192.0.2.53
taken 300 A 192.0.2.99
"""


def make_public(mark: str) -> Network:
    subnet = find_free_subnet()
    ipv6 = IPv6Interface(f"fd{mark[:2]}:{mark}::1/64")
    bridge = f"sl{mark}-public"
    ipv4 = IPv4Interface((int(subnet.network_address) + 1, 24))
    return Network(name="public", bridge=bridge, ipv4=ipv4, ipv6=ipv6, managed=False)


def make_outer(network: Network, name: str, number: int) -> Host:
    address = IPv4Address(int(network.ipv4.network.network_address) + number)
    assert network.ipv6
    ipv6 = IPv6Interface((int(network.ipv6.network.network_address) + number, 64))
    nic = Nic(network="public", device="eth0", ipv4=IPv4Interface((address, 24)), ipv6=ipv6)
    return Host(
        name=name,
        role="outer",
        memory=512 * MIB,
        disk=2048 * MIB,
        nics=(nic,),
        address=address,
        inputs=(),
        services=(),
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """`web1` on the inner network, `out1` and `out2` on a public one that was there before."""
    with making_environment(tmp_path_factory.mktemp("border"), hosts=1, volumes=0) as made:
        public = make_public(made.context.workspace.mark)
        with made.client() as client:
            run_ensure_project(client, made.plan.environment)
            config = make_network_config(public, made.plan.environment, {})
            client.create_network({"name": public.bridge, "type": "bridge", "config": config})
        outer = (make_outer(public, "out1", 10), make_outer(public, "out2", 11))
        whole = made.with_plan(networks=(*made.plan.networks, public), hosts=(*made.plan.hosts, *outer))
        STAGE.apply(whole.context)
        for host in ("web1", "out1", "out2"):
            whole.ssh(host, LISTEN)
        yield whole


def can_connect(environment: Environment, start: str, address: str, port: int, source: str = "") -> bool:
    """Whether `start` reaches a port."""
    return environment.ssh(start, "python3", "-c", f"'{CONNECT}'", address, str(port), f"'{source}'").returncode == 0


def address_of(environment: Environment, host: str) -> str:
    return str(environment.plan.host(host).address)


@pytest.mark.parametrize("port", [22, 8000])
def test_outer_hosts_do_not_reach_inner_ones(environment: Environment, port: int) -> None:
    assert not can_connect(environment, "out1", address_of(environment, "web1"), port)


def test_a_border_removed_by_hand_is_put_back(environment: Environment) -> None:
    """Also the proof that the test above can fail."""
    bridge, inner = environment.plan.networks[0].bridge, address_of(environment, "web1")
    with environment.client() as client:
        client.update_network(bridge, {"config": {"security.acls": ""}})
    assert can_connect(environment, "out1", inner, 8000)
    assert changes_of(environment.context) == {f"update network {bridge}"}
    assert not can_connect(environment, "out1", inner, 8000)


@pytest.mark.parametrize("port", [22, 8000])
def test_inner_hosts_reach_outer_ones(environment: Environment, port: int) -> None:
    assert can_connect(environment, "web1", address_of(environment, "out1"), port)


def test_outer_hosts_reach_each_other(environment: Environment) -> None:
    nic = environment.plan.host("out2").nics[0]
    assert nic.ipv6
    for address in (str(nic.ipv4.ip), str(nic.ipv6.ip)):
        assert can_connect(environment, "out1", address, 22), address


def test_the_controller_comes_in_by_ssh_only(environment: Environment) -> None:
    address = address_of(environment, "web1")
    assert environment.ssh("web1", "true").returncode == 0
    command = ["curl", "--noproxy", "*", "-s", "-m", "4", f"http://{address}:8000/"]
    assert subprocess.run(command, check=False).returncode != 0
    listening = environment.ssh("web1", "python3", "-c", f"'{CONNECT}'", address, "8000", "''")
    assert listening.returncode == 0  # It was there to be reached.


def test_a_host_cannot_take_another_address(environment: Environment) -> None:
    mine = environment.plan.host("out1").nics[0].ipv4
    other = str(IPv4Address(int(mine.ip) + 40))
    target = address_of(environment, "out2")
    assert can_connect(environment, "out1", target, 22, str(mine.ip))
    environment.ssh("out1", "ip", "address", "add", f"{other}/24", "dev", "eth0")
    try:
        assert not can_connect(environment, "out1", target, 22, other)
    finally:
        environment.ssh("out1", "ip", "address", "del", f"{other}/24", "dev", "eth0")


# DNS.


def make_record(name: str, kind: str = "A", value: str = "192.0.2.1") -> Record:
    values = (value,)
    return Record.model_validate(
        {"name": f"{name}.{ZONE}", "zone": ZONE, "type": kind, "ttl": 60, "values": values, "association": "amis"}
    )


@pytest.fixture(scope="module")
def server(environment: Environment) -> DnsServer:
    """Knot on `out1`, serving the zone."""
    address = address_of(environment, "out1")
    install = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y knot"
    result = environment.ssh("out1", f"({install}) 2>&1", timeout=300)
    assert result.returncode == 0, result.stdout.decode()[-500:]
    with environment.client() as client:
        client.put_file("out1", "/etc/knot/knot.conf", KNOT.replace("ADDRESS", address).encode())
        client.put_file("out1", "/var/lib/knot/zone", CONTENT.encode())
    result = environment.ssh("out1", "chown knot: /var/lib/knot/zone && systemctl restart knot && sleep 1 2>&1")
    assert result.returncode == 0, environment.ssh("out1", "journalctl -n 20 -u knot").stdout.decode()
    key = environment.context.workspace.state / "tsig.key"
    run_write(key, f"{TSIG}\n".encode())
    return DnsServer(address, key)


def with_records(environment: Environment, server: DnsServer, *records: Record, lab: bool = False) -> Context:
    context = environment.with_plan(records=records).context
    return replace(context, platform=make_platform({}, server.address, lab))


def ask(server: DnsServer, name: str, kind: str) -> list[str]:
    """What the authoritative server answers."""
    query = dns.message.make_query(f"{name}.{ZONE}", dns.rdatatype.from_text(kind))
    answer = dns.query.udp(query, server.address, timeout=5).answer
    return sorted(rdata.to_text() for rrset in answer for rdata in rrset)


def changes_of(context: Context) -> set[str]:
    return {
        f"{change.action} {change.kind} {change.name} {change.association}".strip() for change in STAGE.apply(context)
    }


def test_records_are_served_mended_and_removed(environment: Environment, server: DnsServer) -> None:
    www, www6 = make_record("www"), make_record("www", "AAAA", "2001:db8::1")
    context = with_records(environment, server, www, www6)
    assert changes_of(context) == {"create record www.asso.example A amis", "create record www.asso.example AAAA amis"}
    assert (ask(server, "www", "A"), ask(server, "www", "AAAA")) == (["192.0.2.1"], ["2001:db8::1"])
    assert changes_of(context) == set()

    knotc = "knotc zone-begin asso.example; knotc zone-unset asso.example www A; knotc zone-commit asso.example"
    assert environment.ssh("out1", knotc).returncode == 0
    assert ask(server, "www", "A") == []
    assert changes_of(context) == {"create record www.asso.example A amis"}
    assert ask(server, "www", "A") == ["192.0.2.1"]

    other = with_records(environment, server, make_record("www", value="192.0.2.7"))
    assert changes_of(other) == {"update record www.asso.example A amis", "delete record www.asso.example AAAA"}
    assert (ask(server, "www", "A"), ask(server, "www", "AAAA")) == (["192.0.2.7"], [])
    assert changes_of(with_records(environment, server)) == {"delete record www.asso.example A"}
    assert set(load_records(server, ZONE)) == {f"{ZONE}/ns.{ZONE}/A", f"{ZONE}/taken.{ZONE}/A"}


def test_a_record_of_others_is_refused(environment: Environment, server: DnsServer) -> None:
    context = with_records(environment, server, make_record("taken"))
    for act in (STAGE.preview, STAGE.apply):
        with pytest.raises(Refused, match=r"DNS: taken\.asso\.example A: expected none"):
            act(context)
    assert ask(server, "taken", "A") == ["192.0.2.99"]


def test_names_resolve_inside_the_lab(environment: Environment, server: DnsServer) -> None:
    changes_of(with_records(environment, server, make_record("inside", value="192.0.2.8"), lab=True))
    assert environment.ssh("web1", "getent", "ahostsv4", f"inside.{ZONE}").stdout.startswith(b"192.0.2.8")
    changes_of(with_records(environment, server))


def test_no_key_reaches_the_state(environment: Environment, server: DnsServer) -> None:
    state = environment.context.workspace.state
    content = b"".join(path.read_bytes() for path in (state / "pulumi").rglob("*") if path.is_file())
    assert server.address.encode() in content
    assert TSIG.split(":")[2].encode() not in content


def test_a_dead_dns_server_stops_its_own_stack_only(
    environment: Environment, server: DnsServer, tmp_path: Path
) -> None:
    key = tmp_path / "tsig.key"
    run_write(key, f"{TSIG}\n".encode())
    dead = replace(server, address="127.0.0.1", key=key)
    context = with_records(environment, dead, make_record("www"))
    with environment.client() as client, client.editing_instance("web1") as body:
        body["config"]["limits.memory"] = "300MiB"
    with pytest.raises(SocleError) as caught:
        STAGE.apply(context)
    assert caught.value.exit is Exit.PARTIAL
    assert isinstance(caught.value, PartlyDone)
    assert "DNS server 127.0.0.1 does not answer" in str(caught.value)
    with environment.client() as client:
        assert client.get_instance("web1")["config"]["limits.memory"] == str(256 * MIB)
        assert client.get(f"/networks/{environment.plan.networks[0].bridge}", NETWORKS_PROJECT)
