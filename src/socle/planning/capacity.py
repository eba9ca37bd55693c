"""Promising no more than there is, unless platform.yml says by how much."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ByteSize

from socle.errors import Problem
from socle.load.catalogue import Catalogue
from socle.model.plan import Host, Plan
from socle.model.platform import Platform

HOST_MEMORY = 192 * 1024**2
"""Bytes that a Debian host of ours takes without any service; measured in the lab."""

DATABASE_RESERVE = 512 * 1024**2
"""Bytes that a database server keeps beside the databases: logs, system tables, temporary files."""


def find_shortages(plan: Plan, platform: Platform, catalogue: Catalogue, path: str) -> list[Problem]:
    """Disk and memory promised beyond what there is. `path`: how messages call platform.yml."""
    return [
        *_find_disk(plan, platform, path),
        *_find_databases(plan, catalogue, path),
        *_find_memory(plan, platform, catalogue, path),
    ]


def _find_disk(plan: Plan, platform: Platform, path: str) -> Iterator[Problem]:
    promised = sum(volume.size or 0 for volume in plan.volumes) + sum(host.disk for host in plan.hosts)
    promised += sum(orphan.quota - orphan.database_quota for orphan in plan.orphans)
    allowed = int(platform.pool_size * platform.overcommit)
    if promised > allowed:
        expected = (
            f"expected at most {_human(allowed)} of disk promised (pool_size x overcommit), found {_human(promised)}"
        )
        yield Problem(path, 0, "pool_size", expected, "lower quotas, add disk, or declare a higher overcommit")


def _find_databases(plan: Plan, catalogue: Catalogue, path: str) -> Iterator[Problem]:
    """Databases of a host share one volume: full, it would stop them all. So no overcommit here."""
    sizes = dict.fromkeys((host.name for host in plan.hosts), 0)
    held = [(site.host, site.database_quota) for site in plan.sites]
    held += [(orphan.host, orphan.database_quota) for orphan in plan.orphans]
    for name, size in held:
        sizes[name] = sizes.get(name, 0) + size
    for host in plan.hosts:
        for name in host.services:
            service = catalogue[name].service
            if not (service.holds_databases and service.data):
                continue
            allowed = int(service.data.size) - DATABASE_RESERVE
            if sizes[host.name] > allowed:
                expected = (
                    f"expected at most {_human(allowed)} of databases on {host.name} (the volume of {name}, less "
                    f"{_human(DATABASE_RESERVE)} for the server itself), found {_human(sizes[host.name])}"
                )
                remedy = f"lower quotas, add a host of role {host.role}, or enlarge data in stacks/{name}/service.py"
                yield Problem(path, 0, f"hosts.{host.name}", expected, remedy)


def _find_memory(plan: Plan, platform: Platform, catalogue: Catalogue, path: str) -> Iterator[Problem]:
    sites: dict[str, int] = {}
    for site in plan.sites:
        sites[site.host] = sites.get(site.host, 0) + site.memory
    for host in plan.hosts:
        promised = HOST_MEMORY + _sum_services(host, catalogue) + sites.get(host.name, 0)
        allowed = int(host.memory * platform.memory_overcommit)
        if promised > allowed:
            expected = f"expected at most {_human(allowed)} of memory promised on {host.name}, found {_human(promised)}"
            remedy = "give the host more memory, add a host, or declare a higher memory_overcommit"
            yield Problem(path, 0, f"hosts.{host.name}.memory", expected, remedy)


def _sum_services(host: Host, catalogue: Catalogue) -> int:
    return sum(catalogue[name].service.memory for name in host.services)


def _human(size: int) -> str:
    return ByteSize(size).human_readable()
