"""Giving out what must never change: host numbers, networks, a host and a uid for each site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network

from socle.errors import InvalidInput, Problem, Refused
from socle.load.inputs import Inputs
from socle.model.allocation import FIRST_HOST_NUMBER, LAST_UID, Allocations, NetworkAllocation, SiteAllocation
from socle.model.names import make_site_name
from socle.model.platform import Platform
from socle.planning.repositories import make_repository_allocations

_CANDIDATES = IPv4Network("10.64.0.0/10")


def make_platform_allocations(
    platform: Platform, previous: Allocations, mark: str, in_use: Iterable[IPv4Network]
) -> Allocations:
    """Numbers for hosts and addresses for networks not yet given. `in_use`: what this machine's routes take.

    Raises InvalidInput when a network that platform.yml declares is not free, Refused when none is left.
    """
    hosts = dict(previous.hosts)
    for name in sorted(set(platform.hosts) - set(hosts)):
        hosts[name] = max(hosts.values(), default=FIRST_HOST_NUMBER - 1) + 1
    networks = dict(previous.networks)
    own = [network.ipv4 for network in networks.values()]
    taken = [*in_use, *own]
    for index, name in enumerate(("public", "inner")):
        if name in networks:
            continue
        settings = platform.networks.get(name)  # type: ignore[call-overload]
        ipv4 = settings.ipv4 if settings and settings.ipv4 else next(_find_free(taken, mark))
        # An existing bridge has its addresses on this machine: those are not somebody else's.
        _check_free(name, ipv4, own if settings and settings.bridge else taken)
        ipv6 = settings.ipv6 if settings and settings.ipv6 else _make_ula(mark, index)
        networks[name] = NetworkAllocation(ipv4=ipv4, ipv6=ipv6 if name == "public" else None)
        own.append(ipv4)
        taken.append(ipv4)
    return previous.model_copy(update={"hosts": hosts, "networks": networks})


def _check_free(name: str, ipv4: IPv4Network, taken: list[IPv4Network]) -> None:
    other = next((network for network in taken if ipv4.overlaps(network)), None)
    if other is not None:
        expected = f"expected a network that is free: {ipv4} overlaps {other}, which is in use"
        remedy = "choose another one, or leave ipv4 out and a free one is chosen"
        raise InvalidInput([Problem("platform.yml", 0, f"networks.{name}.ipv4", expected, remedy)])


def _find_free(taken: list[IPv4Network], mark: str) -> Iterator[IPv4Network]:
    """/24 networks that overlap none of `taken`, beginning at a place that depends on the clone."""
    count = 2 ** (24 - _CANDIDATES.prefixlen)
    for step in range(count):
        number = (int(mark, 16) + step) % count
        candidate = IPv4Network((int(_CANDIDATES.network_address) + number * 256, 24))
        if not any(candidate.overlaps(network) for network in taken):
            yield candidate
    raise Refused([Problem("platform.yml", 0, "networks", "expected a free network in 10.64.0.0/10", "give them here")])


def _make_ula(mark: str, index: int) -> IPv6Network:
    """A unique local address range (RFC 4193) that depends on the clone."""
    return IPv6Network(f"fd50:{mark}:{index}::/64")


def make_site_allocations(inputs: Inputs, associations: Iterable[str]) -> Allocations:
    """Accept `associations`: a host and a uid for each of their sites that has none yet.

    Raises InvalidInput for an association without request, Refused when there is no host or no number left.
    """
    sites = _make_remembered(inputs)
    given = {(site.association, site.service) for site in sites.values()}
    next_uid = inputs.allocations.next_uid
    problems: list[Problem] = []
    for association in associations:
        if association not in inputs.requests:
            remedy = f"known: {', '.join(inputs.requests) or 'none'}"
            raise InvalidInput([Problem(f"associations/{association}.yml", 0, "", "expected this request", remedy)])
        for service in inputs.requests[association].wanted():
            if (association, service) in given:
                continue
            name = make_site_name(inputs.catalogue[service].service.tag, association)
            host = _choose_host(inputs, service, sites.values())
            problems += _find_refusals(inputs, association, service, name, sites, host, next_uid)
            if not problems:
                quota = int(inputs.requests[association].wanted()[service].quota)
                sites[name] = SiteAllocation(
                    association=association, service=service, host=host, uid=next_uid, quota=quota
                )
                next_uid += 1
    if problems:
        raise Refused(problems)
    given_vaults = inputs.allocations.repositories
    repositories = make_repository_allocations(inputs.platform, inputs.catalogue, sites, given_vaults)
    return inputs.allocations.model_copy(update={"sites": sites, "repositories": repositories, "next_uid": next_uid})


def _make_remembered(inputs: Inputs) -> dict[str, SiteAllocation]:
    """The sites given so far, each with the largest quota that its request ever asked for."""
    sites: dict[str, SiteAllocation] = {}
    for name, given in inputs.allocations.sites.items():
        request = inputs.requests.get(given.association)
        options = request.wanted().get(given.service) if request else None
        grown = options is not None and int(options.quota) > (given.quota or 0)
        sites[name] = given.model_copy(update={"quota": int(options.quota)}) if options and grown else given
    return sites


def _choose_host(inputs: Inputs, service: str, sites: Iterable[SiteAllocation]) -> str:
    """The host of the service's role with the fewest sites; the first by name when equal; "" if none."""
    role = inputs.catalogue[service].service.role
    names = sorted(name for name, host in inputs.platform.hosts.items() if host.role == role)
    load = Counter(site.host for site in sites)
    return min(names, key=lambda name: (load[name], name), default="")


def _find_refusals(
    inputs: Inputs,
    association: str,
    service: str,
    name: str,
    sites: dict[str, SiteAllocation],
    host: str,
    uid: int,
) -> Iterator[Problem]:
    source = inputs.sources[association]
    key = ("services", service)
    if name in sites:
        other = sites[name].association
        remedy = "rename the file of one of them"
        yield source.problem(key, f"expected a site name of its own: {name} is that of {other}", remedy)
    if not host:
        role = inputs.catalogue[service].service.role
        yield source.problem(key, f"expected a host of role {role} for it", "declare one in platform.yml")
    if uid > LAST_UID:
        yield source.problem(key, f"expected a free uid up to {LAST_UID}: all are given")
