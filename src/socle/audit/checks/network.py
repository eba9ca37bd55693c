"""What can be reached: listening ports, seen from inside and from outside, and the firewall in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

from socle.audit.check import Failed, Found, check, expect, hosts
from socle.audit.roles import render_role
from socle.audit.scene import Scene
from socle.model.plan import Host

_MANAGEMENT = frozenset({("tcp", 22)})
_EXPORTER = 9100
_ON_LOOPBACK = frozenset({(53, "systemd-resolve")})
"""What may listen on the loopback of any host, by port and program."""
_FEARED = (21, 22, 23, 25, 53, 80, 110, 111, 143, 443, 445, 631, 873, 993, 2019, 2049, 2375, 3000, 3306, 3389)
_MORE_FEARED = (4444, 5000, 5432, 5900, 6379, 8000, 8080, 8443, 8888, 9000, 9090, 9100, 9200, 10000, 11211, 27017)
_CONNECT = r"""
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def connect(place):
    try:
        socket.create_connection(tuple(place), timeout=4).close()
        return True
    except OSError:
        return False
places = json.load(sys.stdin)
with ThreadPoolExecutor(256) as pool:
    print(json.dumps([p for p, is_open in zip(places, pool.map(connect, places)) if is_open]))
"""
_UNDONE = "find out what listens there (ss -lntup) and stop it; a service's ports are declared in its service.py"


class Socket(NamedTuple):
    """A listening socket."""

    protocol: str
    address: str
    port: int
    program: str

    def __str__(self) -> str:
        return f"{self.protocol} {self.address}:{self.port} ({self.program})"

    @property
    def is_local(self) -> bool:
        """Whether only this host reaches it."""
        return self.address != "*" and ip_address(self.address).is_loopback


def parse_sockets(text: str) -> list[Socket]:
    """The output of `ss -lntupH`."""
    found = []
    for line in text.splitlines():
        fields = line.split(maxsplit=6)
        place, _, port = fields[4].rpartition(":")
        program = fields[6].split('"')[1] if len(fields) > 6 and '"' in fields[6] else "?"
        address = place.partition("%")[0].strip("[]")
        found.append(Socket(fields[0], address, int(port), program))
    return found


def make_declared(host: Host) -> set[tuple[str, int]]:
    """What the plan lets in, by protocol and port."""
    return {(given.protocol, port) for given in host.inputs for port in given.ports} | _MANAGEMENT


def find_undeclared(sockets: list[Socket], host: Host) -> Iterator[Socket]:
    """Sockets that neither the plan nor the baseline explains."""
    declared = make_declared(host)
    for one in sockets:
        exporter = (one.protocol, one.port, one.address) == ("tcp", _EXPORTER, str(host.address))
        local = one.is_local and (one.port, one.program) in _ON_LOOPBACK
        if not exporter and not local and (one.is_local or (one.protocol, one.port) not in declared):
            yield one


def _is_same(one: Socket, other: Socket) -> bool:
    return (one.protocol, one.port) == (other.protocol, other.port)


def _read_sockets(scene: Scene, host: str) -> list[Socket]:
    return parse_sockets(scene.on(host).check_output("ss -lntupH"))


@check("ports", each=hosts, remedy=_UNDONE)
def nothing_undeclared_listens(scene: Scene, host: Host) -> str:
    """Nothing listens on a host but what is declared."""
    sockets = _read_sockets(scene, host.name)
    if undeclared := list(find_undeclared(sockets, host)):
        places = {
            f"{one.protocol}/{one.port}": [other for other in undeclared if _is_same(one, other)] for one in undeclared
        }
        raise Found(
            (host.name, place, f"not declared: {', '.join(map(str, found))}") for place, found in places.items()
        )
    return f"{len(sockets)} sockets, all declared: {', '.join(sorted({f'{s.protocol}/{s.port}' for s in sockets}))}"


def make_places(host: Host, sockets: list[Socket]) -> list[tuple[str, int]]:
    """Addresses and TCP ports to try from outside: what is declared, what listens, and what is often attacked."""
    addresses = [str(address.ip) for nic in host.nics for address in (nic.ipv4, nic.ipv6) if address]
    listening = {one.port for one in sockets if one.protocol == "tcp"}
    ports = {port for protocol, port in make_declared(host) if protocol == "tcp"}
    return [(address, port) for address in addresses for port in sorted({*ports, *listening, *_FEARED, *_MORE_FEARED})]


def make_open(host: Host) -> set[tuple[str, int]]:
    """What anyone may reach, by public address and TCP port."""
    ports = {port for given in host.inputs if given.protocol == "tcp" and not given.sources for port in given.ports}
    public = [nic for nic in host.nics if nic.network == "public"]
    addresses = [str(address.ip) for nic in public for address in (nic.ipv4, nic.ipv6) if address]
    return {(address, port) for address in addresses for port in ports}


@check("ports-outside", each=hosts, remedy="compare with: nft list ruleset; socle apply --full loads the rules again")
def strangers_reach_only_what_is_for_anyone(scene: Scene, host: Host) -> str:
    """From outside, only what is declared for anyone can be reached."""
    places = make_places(host, _read_sockets(scene, host.name))
    result = scene.feed("outside", f"python3 -I -c '{_CONNECT}'", json.dumps(places))
    reached = {(address, port) for address, port in json.loads(result.stdout)}
    wanted = make_open(host)
    if undeclared := sorted(reached - wanted):
        raise Failed(f"answers strangers: {', '.join(f'{address} tcp/{port}' for address, port in undeclared)}")
    closed = sorted(wanted - reached)
    # Without this, a scan that sees nothing would pass.
    expect(not closed, f"should answer and does not: {', '.join(f'{address} tcp/{port}' for address, port in closed)}")
    ports = sorted({port for _, port in wanted})
    return f"{len(places)} connections tried, open: {', '.join(map(str, ports)) or 'none'}"


_LIST = "nft --stateless list ruleset"
# In a network of its own the declared rules are loaded, and read back in the kernel's own words.
_EXPECTED = f'unshare --net sh -c \'nft -f - && nft "include \\"/etc/nftables.d/*.nft\\"" && {_LIST}\''


@check("firewall", each=hosts, remedy="socle apply --full loads the declared rules; who changed them: journalctl -b")
def rules_in_force_are_those_declared(scene: Scene, host: Host) -> str:
    """The firewall in the kernel is the one that the plan declares."""
    given = scene.fact("baseline")[host.name]
    declared = render_role(scene.workspace.root / "roles", "firewall", "nftables.conf.j2", given)
    wanted = scene.feed(host.name, _EXPECTED, declared)
    expect(wanted.rc == 0, f"not checked: the declared rules cannot be loaded: {wanted.stderr.strip()[:300]}")
    live = scene.on(host.name).check_output(_LIST)
    return compare_rules(wanted.stdout, live)


def compare_rules(wanted: str, live: str) -> str:
    """What both rulesets say; Failed with the lines that only one of them has."""
    one, other = ([line.strip() for line in text.strip().splitlines()] for text in (wanted, live))
    lost, added = [line for line in one if line not in other], [line for line in other if line not in one]
    differences = [*(f"missing: {line}" for line in lost), *(f"added: {line}" for line in added)]
    expect(one == other, "; ".join(differences[:6]) or "the same rules in another order")
    expect("policy drop;" in live, "no chain drops by default")
    return f"{len(one)} lines in the kernel, as declared; policy drop"


CHECKS = (nothing_undeclared_listens, strangers_reach_only_what_is_for_anyone, rules_in_force_are_those_declared)
