"""Rules that need more than one file to check: who owns a domain, which towns are members, reserved names."""

from __future__ import annotations

from collections.abc import Iterator

from socle.errors import Problem
from socle.load.inputs import Inputs
from socle.load.yaml_source import Key
from socle.model.domains import render_domain
from socle.model.service import SiteOptions
from socle.planning.repositories import ROLE

_SHOWN = 5
"""Names of sites that a message holds before it counts the others."""


def make_domain(options: SiteOptions, association: str, platform_domain: str) -> str:
    """The address of a site: its own domain, else the identifier under the platform's."""
    return options.domain or f"{association}.{platform_domain}"


def find_problems(inputs: Inputs) -> list[Problem]:
    """What is wrong between the files: all of it, each with its file and line."""
    return [
        *_find_roles(inputs),
        *_find_towns(inputs),
        *_find_reserved(inputs),
        *_find_reserved_domains(inputs),
        *_find_domains(inputs),
        *_find_same_number(inputs),
        *_find_small_networks(inputs),
    ]


def find_refusals(inputs: Inputs) -> list[Problem]:
    """Hosts that hold data and are declared no more, or for something else: applied, it would take sites away."""
    roles = {entry.service.name: entry.service.role for entry in inputs.catalogue}
    held: dict[tuple[str, str], list[str]] = {}
    for name, given in sorted(inputs.allocations.sites.items()):
        held.setdefault((given.host, roles.get(given.service, "")), []).append(name)
    for name, vault in sorted(inputs.allocations.repositories.items()):
        held.setdefault((vault.host, ROLE), []).append(f"the backups of {name}")
    return [
        problem
        for (host, role), sites in sorted(held.items())
        for problem in _find_changed_host(inputs, host, role, sites)
    ]


def _find_changed_host(inputs: Inputs, host: str, role: str, sites: list[str]) -> Iterator[Problem]:
    shown = ", ".join(sites[:_SHOWN]) + (f" and {len(sites) - _SHOWN} more" if len(sites) > _SHOWN else "")
    settings = inputs.platform.hosts.get(host)
    if settings is None:
        expected = f"expected this host: it holds {shown}"
        remedy = f"declare {host} again, under this name: sites do not follow a host that is renamed or removed"
        yield Problem(inputs.platform_path, 0, f"hosts.{host}", expected, remedy)
    elif role and settings.role != role:
        expected = f"expected role {role}: it holds {shown}; found {settings.role}"
        remedy = f"give {host} its role back, and declare another host of role {settings.role}"
        yield Problem(inputs.platform_path, 0, f"hosts.{host}.role", expected, remedy)


def _find_roles(inputs: Inputs) -> Iterator[Problem]:
    """Roles that nothing in the catalogue is for."""
    known = inputs.catalogue.roles
    for name, settings in sorted(inputs.platform.hosts.items()):
        if settings.role not in known:
            expected = f"expected a role of the catalogue, found {settings.role!r}"
            yield Problem(inputs.platform_path, 0, f"hosts.{name}.role", expected, f"roles: {', '.join(known)}")


def _find_towns(inputs: Inputs) -> Iterator[Problem]:
    towns = inputs.platform.towns
    for identifier, request in inputs.requests.items():
        if request.town not in towns:
            known = ", ".join(f"{code} ({name})" for code, name in sorted(towns.items()))
            source = inputs.sources[identifier]
            yield source.problem(("town",), f"expected a member town, found {request.town}", f"member towns: {known}")


def _find_reserved(inputs: Inputs) -> Iterator[Problem]:
    for identifier in sorted(set(inputs.platform.reserved) & set(inputs.requests)):
        yield inputs.sources[identifier].problem(
            (), f"expected another identifier: {identifier} is reserved in platform.yml", "rename the file"
        )


def _find_reserved_domains(inputs: Inputs) -> Iterator[Problem]:
    """A reserved name under the platform's domain or a zone of ours is not taken by saying it in full either."""
    zones = {inputs.platform.domain, *inputs.platform.dns.zones}
    reserved = {f"{name}.{zone}" for name in inputs.platform.reserved for zone in zones}
    for identifier, key, name in _find_names(inputs):
        if name in reserved and identifier not in inputs.platform.reserved:
            expected = f"expected another domain: {render_domain(name)} is reserved in platform.yml"
            yield inputs.sources[identifier].problem(key, expected, "choose a name that is not in its list reserved")


def _find_domains(inputs: Inputs) -> Iterator[Problem]:
    """Each domain once, in all its spellings (cases B2 and B8): file order never decides a winner."""
    owners: dict[str, tuple[str, Key]] = {inputs.platform.domain: ("", ())}
    for identifier, key, name in _find_names(inputs):
        if (owner := owners.setdefault(name, (identifier, key))) != (identifier, key):
            yield _make_claimed_twice(inputs, identifier, key, name, owner)


def _find_names(inputs: Inputs) -> Iterator[tuple[str, Key, str]]:
    """Every domain and redirect: whose, where it is written, the name."""
    for identifier, request in inputs.requests.items():
        for service, options in request.wanted().items():
            here: Key = ("services", service)
            yield identifier, (*here, "domain"), make_domain(options, identifier, inputs.platform.domain)
            for index, name in enumerate(options.redirects):
                yield identifier, (*here, "redirects", index), name


def _find_small_networks(inputs: Inputs) -> Iterator[Problem]:
    """A network without an address for the number of a host. The last address is the broadcast's."""
    last = max(inputs.allocations.hosts.values(), default=0)
    for name, given in sorted(inputs.allocations.networks.items()):
        for network in (given.ipv4, given.ipv6):
            if network is not None and network.num_addresses - 1 <= last:
                expected = f"expected a network with at least {last + 2} addresses, found {network}"
                remedy = "choose a larger one, such as a /24 (hosts are numbered from 10)"
                yield Problem(inputs.platform_path, 0, f"networks.{name}", expected, remedy)


def _find_same_number(inputs: Inputs) -> Iterator[Problem]:
    """Two requests with one legal number are one association, or a copy that was not completed."""
    owners: dict[tuple[str, str], str] = {}
    for identifier, request in inputs.requests.items():
        for key, number in (("rna_number", request.rna_number), ("siren", request.siren)):
            other = owners.setdefault((key, number), identifier) if number else identifier
            if other != identifier:
                source = inputs.sources[other]
                place = f"{source.path}:{source.line((key,))}"
                expected = f"expected a number nobody else has: {number} is that of {place}"
                remedy = "if it is the same association, keep one request with all its services"
                yield inputs.sources[identifier].problem((key,), expected, remedy)


def _make_claimed_twice(inputs: Inputs, identifier: str, key: Key, name: str, owner: tuple[str, Key]) -> Problem:
    other, other_key = owner
    place = f"{inputs.sources[other].path}:{inputs.sources[other].line(other_key)}" if other else "platform.yml"
    expected = f"expected a domain nobody else has: {render_domain(name)} is claimed by {place}"
    return inputs.sources[identifier].problem(key, expected, "only one site can answer there: change one of the two")
