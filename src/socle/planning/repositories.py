"""The repositories of backups: one per association that has something to save, and the platform's own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import ByteSize

from socle.load.catalogue import Catalogue
from socle.load.inputs import Inputs
from socle.model.allocation import RepositoryAllocation, SiteAllocation
from socle.model.names import PLATFORM, make_repository_volume
from socle.model.plan import Host, Orphan, Repository, Site
from socle.model.platform import Platform

ROLE = "vault"
FOLDER = "/srv/vault"
PORT = 8443
_PLATFORM_QUOTA = int(ByteSize(1024**3))
"""Requests, secrets, Pulumi's state and the journal: megabytes, and their history."""
_ROUNDING = 1024**2


def is_saved(catalogue: Catalogue, service: str) -> bool:
    """Whether sites of a service are saved. One that left the catalogue is taken to be: its data is there."""
    entry = catalogue.find(service)
    return entry is None or entry.service.state is not None


def find_needed(catalogue: Catalogue, sites: Mapping[str, SiteAllocation]) -> list[str]:
    """The names of the repositories that should be."""
    saved = {given.association for given in sites.values() if is_saved(catalogue, given.service)}
    return [PLATFORM, *sorted(saved)]


def make_repository_allocations(
    platform: Platform,
    catalogue: Catalogue,
    sites: Mapping[str, SiteAllocation],
    given: Mapping[str, RepositoryAllocation],
) -> dict[str, RepositoryAllocation]:
    """A vault for each repository that has none yet: the one with the fewest, the first by name when equal."""
    vaults = sorted(name for name, host in platform.hosts.items() if host.role == ROLE)
    found = dict(given)
    if not vaults:
        return found
    load = {vault: sum(one.host == vault for one in found.values()) for vault in vaults}
    for name in find_needed(catalogue, sites):
        if name not in found:
            host = min(vaults, key=lambda vault: (load[vault], vault))
            found[name] = RepositoryAllocation(host=host)
            load[host] += 1
    return found


def make_repositories(
    inputs: Inputs, hosts: Sequence[Host], sites: Iterable[Site], orphans: Iterable[Orphan]
) -> Iterator[Repository]:
    """The repositories that were given a vault, by name. An orphan's stays as it is."""
    addresses = {host.name: host.address for host in hosts}
    quotas: dict[str, dict[str, int]] = {PLATFORM: {}}
    holders: list[Site | Orphan] = [*sites, *orphans]
    for one in holders:
        if is_saved(inputs.catalogue, one.service):
            quotas.setdefault(one.association, {})[one.name] = one.quota
    for name, given in sorted(inputs.allocations.repositories.items()):
        if name not in quotas or given.host not in addresses:
            continue
        own = name == PLATFORM
        asked = int(sum(quotas[name].values()) * inputs.policy.share)
        yield Repository(
            name=name,
            association="" if own else name,
            host=given.host,
            path=f"{FOLDER}/{name}",
            volume=make_repository_volume(name),
            url=f"rest:https://{addresses[given.host]}:{PORT}/{name}/",
            quota=_PLATFORM_QUOTA if own else max(asked // _ROUNDING * _ROUNDING, _ROUNDING),
            sites=tuple(sorted(quotas[name])),
        )
