"""Volumes: mounted, limited by the kernel, and with room left. Use is what Incus counts, not `df` inside a host."""

from __future__ import annotations

from typing import Any

from socle.audit.check import Failed, NotChecked, check, expect, hosts, platform, volumes
from socle.audit.scene import Scene
from socle.model.plan import Host, Plan, Volume

NEARLY, FULL = 0.80, 0.95


@check("mounted", each=volumes, remedy="socle apply; if it stays away: socle lab status, incus config device show HOST")
def volume_is_mounted(scene: Scene, volume: Volume) -> str:
    """Each site's data is on a volume of its own."""
    mount = scene.on(volume.host).mount_point(volume.path)
    expect(mount.exists, f"nothing is mounted at {volume.path}: what is written there is on the host's own disk")
    expect("rw" in mount.options, f"{volume.path} is read-only")
    return f"{mount.device} ({mount.filesystem}) at {volume.path}"


def judge_quota(volume: Volume, incus: dict[str, Any] | None, kernel: int | None) -> str:
    """From the size Incus has and the limit the kernel has (bytes; None: no limit)."""
    if incus is None:
        return "Incus has no such volume"
    if volume.size is not None and incus["size"] != volume.size:
        return f"Incus has {incus['size']} bytes, the plan says {volume.size}"
    if kernel is None:
        return "the kernel has no limit for it"
    return "" if kernel == incus["size"] else f"the kernel's limit is {kernel} bytes, Incus says {incus['size']}"


@check("quota", each=volumes, remedy="socle apply sets it; socle doctor says whether the pool still counts")
def quota_is_enforced(scene: Scene, volume: Volume) -> str:
    """Each site has the space it was promised and no more, and the kernel enforces it."""
    incus = scene.fact("volumes").get(volume.name)
    quotas = scene.fact("quotas")
    if quotas is None:
        problem = judge_quota(volume, incus, incus and incus["size"])
        expect(not problem, problem)
        raise NotChecked("local-pool", f"Incus has {incus['size'] if incus else 0} bytes, as planned")
    problem = judge_quota(volume, incus, quotas["limits"].get(volume.name))
    expect(not problem, problem)
    return f"{quotas['limits'][volume.name] >> 20} MiB, by the plan, Incus and the kernel"


def describe_use(used: int, size: int) -> str:
    """A share in words."""
    return f"{used / size:.0%} used ({used >> 20} of {size >> 20} MiB)"


@check(
    "space",
    each=volumes,
    remedy="raise the quota in the request, or help the association to remove what it does not need",
)
def volume_has_room(scene: Scene, volume: Volume) -> str:
    """There is room left for each site."""
    found = scene.fact("volumes").get(volume.name) or {}
    used, size = found.get("used"), found.get("size") or volume.size
    if used is None or not size:
        raise Failed("not checked: Incus does not say how much is used")
    expect(used < FULL * size, f"full: {describe_use(used, size)}")
    return f"{'nearly full: ' if used >= NEARLY * size else ''}{describe_use(used, size)}"


@check(
    "disk",
    each=hosts,
    remedy="remove what is not needed (journalctl --disk-usage, apt-get clean), or give it a larger disk",
)
def disk_has_room(scene: Scene, host: Host) -> str:
    """There is room left on the disk of each host."""
    used = scene.fact("disks").get(host.name)
    expect(used is not None, "not checked: Incus does not say how much is used")
    expect(used < FULL * host.disk, f"full: {describe_use(used, host.disk)}")
    return f"{'nearly full: ' if used >= NEARLY * host.disk else ''}{describe_use(used, host.disk)}"


@check("pool", each=platform, remedy="socle apply has the pool count again; socle doctor says why it cannot")
def pool_enforces_quotas(scene: Scene, _plan: Plan) -> str:
    """The storage pool enforces quotas at all."""
    quotas = scene.fact("quotas")
    if quotas is None:
        raise NotChecked("local-pool", "the pool is another machine's")
    expect(quotas["enforced"], quotas["why"])
    return f"btrfs counts what each volume takes, and limits {len(quotas['limits'])} of this environment"


CHECKS = (pool_enforces_quotas, volume_is_mounted, quota_is_enforced, volume_has_room, disk_has_room)
