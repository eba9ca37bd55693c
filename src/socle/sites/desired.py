"""What should exist on each host because of each site. Pure: declarations in, resources out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from socle.load.catalogue import Catalogue
from socle.model.plan import Plan, Site
from socle.sites.resources import Mount, Resource, User, make_stamp, make_wires

Secrets = Mapping[str, Mapping[str, str]]
"""Values of each site's secrets, by the site's name."""


@dataclass(frozen=True)
class Wanted:
    """The resources of one site on one host, in wire form, and the stamp that says they are all made."""

    site: str
    association: str
    wires: tuple[dict[str, Any], ...]
    stamp: str

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(wire["key"] for wire in self.wires)

    @property
    def mounts(self) -> tuple[str, ...]:
        return tuple(key.partition(":")[2] for key in self.keys if key.startswith("mount:"))


Desired = dict[str, dict[str, Wanted]]
"""By host, then by site. Every host of the plan is there: one without sites may still hold what must go."""


def make_wanted(site: str, association: str, resources: tuple[Resource, ...]) -> Wanted:
    """The wire form of a site's resources. Raises ValueError, naming the site, when they contradict."""
    try:
        wires = make_wires(resources)
    except ValueError as error:
        raise ValueError(f"{site}: {error}") from None
    return Wanted(site=site, association=association, wires=wires, stamp=make_stamp(wires))


def make_site_resources(
    site: Site, plan: Plan, catalogue: Catalogue, secrets: Mapping[str, str]
) -> dict[str, tuple[Resource, ...]]:
    """The resources of one site on each host: its volume and user, then what its service and those it
    requires declare in their site.py, each on the hosts of its role."""
    base: tuple[Resource, ...] = (Mount(site.path), User(site.name, site.uid, site.path))
    found: dict[str, tuple[Resource, ...]] = {site.host: base}
    role = catalogue[site.service].service.role
    for name in catalogue.requirements(site.service):
        entry = catalogue[name]
        module = entry.module("site")
        if module is None:
            continue
        resources = tuple(module.make_site(site, plan, secrets))
        for host in _hosts(plan, site, entry.service.role, role):
            found[host] = (*found.get(host, ()), *resources)
    return found


def _hosts(plan: Plan, site: Site, role: str, site_role: str) -> Iterator[str]:
    """A service of the site's own role is used on the site's host; of another role, on all its hosts."""
    if role == site_role:
        yield site.host
    else:
        yield from (host.name for host in plan.role(role))


def make_desired(plan: Plan, catalogue: Catalogue, secrets: Secrets) -> Desired:
    """What should exist on each host. Raises ValueError when two sites of a host claim the same thing."""
    desired: Desired = {host.name: {} for host in plan.hosts}
    for site in plan.sites:
        found = make_site_resources(site, plan, catalogue, secrets[site.name])
        for host, resources in found.items():
            desired[host][site.name] = make_wanted(site.name, site.association, resources)
    for wanted in desired.values():
        _check_claims(wanted)
    return desired


def _check_claims(wanted: Mapping[str, Wanted]) -> None:
    owners: dict[str, str] = {}
    for site in wanted.values():
        for key in site.keys:
            if (owner := owners.setdefault(key, site.site)) != site.site:
                raise ValueError(f"{owner} and {site.site} both claim {key}")
