"""make_plan: from what people wrote and what socle remembers to everything that should exist."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface
from typing import Literal

from socle.errors import InvalidInput, Problem, Refused
from socle.load.inputs import Inputs
from socle.model.allocation import NetworkAllocation, SiteAllocation
from socle.model.names import make_data_name, make_database_name
from socle.model.plan import Host, Input, Network, Nic, Orphan, Plan, Record, Repository, Site, Volume
from socle.model.request import Request
from socle.model.service import CONTROLLER, Kind, Service, SiteOptions
from socle.planning.capacity import find_shortages
from socle.planning.repositories import is_saved, make_repositories, make_repository_allocations
from socle.planning.rules import find_problems, find_refusals, make_domain

SITES = "/srv/sites"
DATABASE_SHARE = 4
"""A quarter of a site's quota is for its database, which shares a server and counts all the same."""
_MANAGEMENT_NETWORK = "inner"


def make_plan(inputs: Inputs) -> Plan:
    """The Plan. Pure: no clock, no disk, no network; the same inputs give the same bytes.

    Raises InvalidInput or Refused with all problems together, before anything is changed.
    """
    problems, refusals, not_given = find_problems(inputs), find_refusals(inputs), list(_find_not_given(inputs))
    if problems:
        raise InvalidInput([*problems, *refusals, *not_given])
    if refusals:
        raise Refused(refusals)
    if not_given:
        raise InvalidInput(not_given)
    plan = _assemble(inputs)
    shortages = find_shortages(plan, inputs.platform, inputs.catalogue, inputs.platform_path)
    if shortages:
        raise Refused(shortages)
    return plan


def _find_not_given(inputs: Inputs) -> Iterator[Problem]:
    """What platform.yml declares and has no address or number yet. Without this a new host would be ignored."""
    path, given = inputs.platform_path, inputs.allocations
    if not {"public", "inner"} <= set(given.networks):
        remedy = "run: socle request accept --all" if not inputs.platform.lab else "run: socle lab up"
        yield Problem(path, 0, "networks", "expected networks to have addresses", remedy)
        return
    for name in sorted(set(inputs.platform.hosts) - set(given.hosts)):
        yield Problem(path, 0, f"hosts.{name}", "expected a number for this host", "run: socle request accept --all")
    wanted = make_repository_allocations(inputs.platform, inputs.catalogue, given.sites, given.repositories)
    for name in sorted(set(wanted) - set(given.repositories)):
        expected = f"expected a vault for the backups of {name}"
        yield Problem(path, 0, "hosts", expected, "run: socle request accept --all")


def _assemble(inputs: Inputs) -> Plan:
    platform = inputs.platform
    networks = tuple(_make_network(inputs, name) for name in ("public", "inner"))
    accepted = tuple(_find_accepted(inputs))
    sites = tuple(_make_site(inputs, name, given, *asked) for name, given, asked in accepted)
    orphans = tuple(_make_orphans(inputs))
    hosts = tuple(
        _make_host(inputs, name, networks) for name in sorted(platform.hosts) if name in inputs.allocations.hosts
    )
    repositories = tuple(make_repositories(inputs, hosts, sites, orphans))
    volumes = (*_make_volumes(inputs, hosts, sites, orphans), *map(_make_repository_volume, repositories))
    return Plan(
        environment=inputs.environment,
        syndicate=platform.syndicate,
        domain=platform.domain,
        timezone=platform.timezone,
        acme_directory=platform.acme.directory,
        networks=networks,
        hosts=hosts,
        volumes=tuple(sorted(volumes, key=lambda volume: volume.name)),
        records=tuple(_make_records(inputs, sites, hosts)),
        sites=sites,
        policy=inputs.policy,
        repositories=repositories,
        orphans=orphans,
        waiting=tuple(_find_waiting(inputs)),
    )


def _find_accepted(inputs: Inputs) -> Iterator[tuple[str, SiteAllocation, tuple[Request, SiteOptions]]]:
    wanted = {identifier: request.wanted() for identifier, request in inputs.requests.items()}
    for name, given in sorted(inputs.allocations.sites.items()):
        options = wanted.get(given.association, {}).get(given.service)
        if options is not None:
            yield name, given, (inputs.requests[given.association], options)


def _make_orphans(inputs: Inputs) -> Iterator[Orphan]:
    accepted = {name for name, _, _ in _find_accepted(inputs)}
    for name, given in sorted(inputs.allocations.sites.items()):
        if name not in accepted:
            quota = given.quota or 0
            yield Orphan(
                name=name,
                association=given.association,
                service=given.service,
                host=given.host,
                uid=given.uid,
                quota=quota,
                database_quota=_make_database_quota(inputs, given.service, quota),
            )


def _make_database_quota(inputs: Inputs, service: str, quota: int) -> int:
    """Bytes of a quota that are the database's. A service that left the catalogue is taken to have none."""
    entry = inputs.catalogue.find(service)
    return quota // DATABASE_SHARE if entry and entry.service.database else 0


def _find_waiting(inputs: Inputs) -> Iterator[str]:
    given = {(site.association, site.service) for site in inputs.allocations.sites.values()}
    for identifier, request in sorted(inputs.requests.items()):
        if any((identifier, service) not in given for service in request.wanted()):
            yield identifier


def _make_network(inputs: Inputs, name: str) -> Network:
    given: NetworkAllocation = inputs.allocations.networks[name]
    settings = inputs.platform.networks.get(name)  # type: ignore[call-overload]
    bridge = settings.bridge if settings else None
    mark = inputs.environment.rpartition("-")[2]
    return Network(
        name=name,
        bridge=bridge or f"sl{mark}-{name}",
        ipv4=IPv4Interface((given.ipv4[1], given.ipv4.prefixlen)),
        ipv6=IPv6Interface((given.ipv6[1], given.ipv6.prefixlen)) if given.ipv6 else None,
        managed=bridge is None and not (inputs.platform.lab and name == "public"),
    )


def _make_host(inputs: Inputs, name: str, networks: tuple[Network, ...]) -> Host:
    settings = inputs.platform.hosts[name]
    number = inputs.allocations.hosts[name]
    by_name = {network.name: network for network in networks}
    nics = tuple(
        _make_nic(by_name[network], f"eth{index}", number)
        for index, network in enumerate(_find_networks(inputs, settings.role))
    )
    services = tuple(_find_services(inputs, name, settings.role))
    return Host(
        name=name,
        role=settings.role,
        memory=int(settings.memory),
        disk=int(settings.disk),
        nics=nics,
        address=next(nic.ipv4.ip for nic in nics if nic.network == _MANAGEMENT_NETWORK),
        inputs=tuple(_make_inputs(inputs, services, by_name[_MANAGEMENT_NETWORK])),
        forwards=tuple(_find_forwards(inputs, services)),
        services=services,
    )


def _find_networks(inputs: Inputs, role: str) -> tuple[str, ...]:
    """Where hosts of a role are: the first has the default route. Only what is for anyone is in public."""
    return ("public", "inner") if inputs.catalogue.is_public(role) else ("inner",)


def _make_nic(network: Network, device: str, number: int) -> Nic:
    ipv4 = IPv4Interface((network.ipv4.network[number], network.ipv4.network.prefixlen))
    ipv6 = network.ipv6 and IPv6Interface((network.ipv6.network[number], network.ipv6.network.prefixlen))
    return Nic(network=network.name, device=device, ipv4=ipv4, ipv6=ipv6)


def _find_services(inputs: Inputs, host: str, role: str) -> Iterator[str]:
    """What is installed on a host, in order: the software of its role, and what the sites on it need."""
    used = {site.service for site in inputs.allocations.sites.values() if site.host == host}
    wanted = [
        entry.service.name
        for entry in inputs.catalogue
        if entry.service.role == role and (entry.service.kind is Kind.HOST or entry.service.name in used)
    ]
    seen: dict[str, None] = {}
    for name in wanted:
        for needed in inputs.catalogue.requirements(name):
            if inputs.catalogue[needed].service.role == role:
                seen.setdefault(needed)
    yield from seen


def _make_inputs(inputs: Inputs, services: tuple[str, ...], network: Network) -> Iterator[Input]:
    for name in services:
        for flow in inputs.catalogue[name].service.flows:
            if flow.source == CONTROLLER:
                continue
            yield Input(
                protocol=flow.protocol,
                ports=flow.ports,
                sources=tuple(_find_sources(inputs, flow.source, network)),
                comment=f"{flow.source} to {name}",
            )


def _find_forwards(inputs: Inputs, services: tuple[str, ...]) -> Iterator[int]:
    for name in services:
        for flow in inputs.catalogue[name].service.flows:
            if flow.source == CONTROLLER:
                yield from flow.ports


def _find_sources(inputs: Inputs, source: str, network: Network) -> Iterator[str]:
    """Addresses of a role's hosts. None at all would mean anyone, so a role without hosts gets a dead address."""
    if source == "anyone":
        return
    roles = _find_saved_roles(inputs) if source == "saved" else {source}
    hosts = sorted(name for name, host in inputs.platform.hosts.items() if host.role in roles)
    numbers = [inputs.allocations.hosts[name] for name in hosts if name in inputs.allocations.hosts]
    yield from (f"{network.ipv4.network[number]}/32" for number in numbers)
    if not numbers:
        yield "192.0.2.0/32"  # RFC 5737: never routed.


def _find_saved_roles(inputs: Inputs) -> set[str]:
    """The roles of hosts that hold sites to save."""
    return {entry.service.role for entry in inputs.catalogue if is_saved(inputs.catalogue, entry.service.name)}


def _make_site(inputs: Inputs, name: str, given: SiteAllocation, request: Request, options: SiteOptions) -> Site:
    service: Service = inputs.catalogue[given.service].service
    own = set(type(options).model_fields) - set(SiteOptions.model_fields)
    return Site(
        name=name,
        association=given.association,
        association_name=request.name,
        service=given.service,
        host=given.host,
        uid=given.uid,
        database=make_database_name(name) if service.database else None,
        path=f"{SITES}/{name}",
        unit=f"socle-{name}.service",
        domain=make_domain(options, given.association, inputs.platform.domain),
        redirects=options.redirects,
        quota=int(options.quota),
        database_quota=_make_database_quota(inputs, given.service, int(options.quota)),
        memory=int(service.site_memory),
        options=options.model_dump(mode="json", include=own),
        secrets=tuple(secret.name for secret in service.secrets),
    )


def _make_volumes(
    inputs: Inputs, hosts: tuple[Host, ...], sites: tuple[Site, ...], orphans: tuple[Orphan, ...]
) -> Iterator[Volume]:
    yield from map(_make_volume, sites)
    yield from map(_make_kept_volume, orphans)
    for host in hosts:
        for service in host.services:
            if data := inputs.catalogue[service].service.data:
                name = make_data_name(host.name, service)
                yield Volume(name=name, host=host.name, path=data.path, size=int(data.size), association="")


def _make_volume(site: Site) -> Volume:
    size = site.quota - site.database_quota
    return Volume(name=site.name, host=site.host, path=site.path, size=size, association=site.association)


def _make_kept_volume(orphan: Orphan) -> Volume:
    path = f"{SITES}/{orphan.name}"
    return Volume(name=orphan.name, host=orphan.host, path=path, size=None, association=orphan.association)


def _make_repository_volume(one: Repository) -> Volume:
    return Volume(name=one.volume, host=one.host, path=one.path, size=one.quota, association=one.association)


def _make_records(inputs: Inputs, sites: tuple[Site, ...], hosts: tuple[Host, ...]) -> Iterator[Record]:
    """An address for each name of each site that is in a zone of ours; the others are their owner's to make."""
    edge = [nic for host in hosts if host.role == "edge" for nic in host.nics if nic.network == "public"]
    addresses: dict[Literal["A", "AAAA"], tuple[str, ...]] = {
        "A": tuple(str(nic.ipv4.ip) for nic in edge),
        "AAAA": tuple(str(nic.ipv6.ip) for nic in edge if nic.ipv6),
    }
    for site in sites:
        for name in (site.domain, *site.redirects):
            zone = _find_zone(name, inputs.platform.dns.zones)
            for kind, values in addresses.items():
                if zone and values:
                    yield Record(
                        name=name,
                        zone=zone,
                        type=kind,
                        ttl=inputs.platform.dns.ttl,
                        values=values,
                        association=site.association,
                    )


def _find_zone(name: str, zones: tuple[str, ...]) -> str | None:
    held = [zone for zone in zones if name == zone or name.endswith(f".{zone}")]
    return max(held, key=len, default=None)
