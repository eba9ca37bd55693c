"""What the controller reads for an audit, beside what hosts answer. Each is read once, when a check asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from socle.audit.drift import load_drift
from socle.backups.observe import load_verdicts
from socle.backups.verdict import Verdict
from socle.clock.schedule import load_schedule
from socle.clock.times import Missed
from socle.clock.watch import load_watch
from socle.errors import SocleError
from socle.incus.client import IncusClient
from socle.incus.connect import open_client
from socle.incus.kinds import parse_size
from socle.incus.marker import EXPIRES, find_owner, is_ours
from socle.incus.quotas import load_counts
from socle.incus.records import Records, load_records
from socle.lab.outside import NAME as OUTSIDE
from socle.restore.template import is_template
from socle.runs.process import run
from socle.stages.base import Context
from socle.stages.baseline import load_variables
from socle.stages.hosts_context import load_dns_server

_PARALLEL = 8
_POOLS = Path("/var/lib/incus/storage-pools")


def make_loaders(context: Context) -> Mapping[str, Callable[[], Any]]:
    """How each fact is read, by name."""
    return {
        "backups": partial(load_all_verdicts, context),
        "baseline": partial(load_variables, context),
        "disks": partial(_with_incus, context, load_disks),
        "drift": partial(load_drift, context),
        "escrow": context.secrets.has_escrow,
        "quotas": partial(load_quotas, context),
        "records": partial(load_all_records, context),
        "schedule": partial(load_missed, context),
        "secrets": partial(load_missing_secrets, context),
        "strangers": partial(_with_incus, context, partial(load_strangers, context)),
        "volumes": partial(_with_incus, context, load_volumes),
    }


def _with_incus(context: Context, load: Callable[[IncusClient], Any]) -> Any:
    workspace = context.workspace
    with open_client(context.platform.incus, workspace.state, workspace.project) as client:
        return load(client)


def load_volumes(client: IncusClient) -> dict[str, dict[str, int | None]]:
    """Size and use in bytes of each custom volume, as Incus counts them."""

    def load(volume: dict[str, Any]) -> dict[str, int | None]:
        usage = client.get_volume_state(volume["name"]).get("usage") or {}
        return {"size": parse_size(volume["config"].get("size")), "used": usage.get("used")}

    found = client.list_volumes()
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip((volume["name"] for volume in found), pool.map(load, found), strict=True))


def load_disks(client: IncusClient) -> dict[str, int]:
    """Bytes that each host's own disk holds."""
    instances = client.list_instances()

    def load(name: str) -> int | None:
        disk = (client.get(f"/instances/{name}/state").get("disk") or {}).get("root") or {}
        return disk.get("usage")

    names = [found["name"] for found in instances]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return {name: used for name, used in zip(names, pool.map(load, names), strict=True) if used}


def load_strangers(context: Context, client: IncusClient) -> list[tuple[str, str]]:
    """(kind, name) of hosts and volumes in Incus that carry our marker, and that no plan names: neither templates of
    scratch hosts, nor a scratch host whose time is not over."""
    plan, now = context.plan, time.time()
    hosts, volumes = {host.name for host in plan.hosts} | {OUTSIDE}, {volume.name for volume in plan.volumes}
    found = [("host", one) for one in client.list_instances() if one["name"] not in hosts]
    found += [("volume", one) for one in client.list_volumes() if one["name"] not in volumes]
    ours = [(kind, one) for kind, one in found if is_ours(one, plan.environment)]
    busy = {find_owner(one) for _, one in ours if float(one["config"].get(EXPIRES, 0)) > now}
    return sorted((kind, one["name"]) for kind, one in ours if find_owner(one) not in busy and not is_template(one))


def load_quotas(context: Context) -> dict[str, Any] | None:
    """What the kernel enforces: `limits` in bytes by volume (None: no limit), and whether it counts right. None
    when the pool is another machine's."""
    incus, project = context.platform.incus, context.workspace.project
    folder = _POOLS / incus.pool
    if incus.url or not folder.is_dir():
        return None
    kind = run(["findmnt", "-rno", "FSTYPE", str(folder)], timeout=10, check=False).stdout.decode().strip()
    if kind != "btrfs":
        why = f"the pool is a plain folder ({kind or 'dir'}): no quota is enforced"
        return {"enforced": False, "why": why, "limits": {}}
    shown = run(["btrfs", "qgroup", "show", "-r", "--raw", str(folder)], timeout=60).stdout.decode()
    why = "" if load_counts(incus.pool) else "btrfs has stopped counting what volumes take"
    return {"enforced": not why, "why": why, "limits": parse_limits(shown, f"custom/{project}_")}


def parse_limits(shown: str, prefix: str) -> dict[str, int | None]:
    """The kernel's limit of each volume, from `btrfs qgroup show -r --raw`: its JSON form crashes in version 6.2."""
    found: dict[str, int | None] = {}
    for line in shown.splitlines():
        fields = line.split(maxsplit=4)
        name = fields[4].strip() if len(fields) > 4 else ""
        if name.startswith(prefix) and "/" not in name.removeprefix(prefix):
            found[name.removeprefix(prefix)] = int(fields[3]) if fields[3].isdigit() else None
    return found


def load_all_records(context: Context) -> Records:
    """Every record set of our zones, from the authoritative server."""
    server = load_dns_server(context)
    if server is None:
        raise SocleError("no DNS server is known", "say it in platform.yml, dns.server")
    found: Records = {}
    for zone in sorted({record.zone for record in context.plan.records}):
        found |= load_records(server, zone)
    return found


def load_missing_secrets(context: Context) -> dict[str, str]:
    """Why the secrets of a site cannot be read, by its name; no value leaves the store."""
    missing = {}
    for site in context.plan.sites:
        try:
            context.secrets.site(site)
        except SocleError as error:
            missing[site.name] = str(error)
    return missing


def load_all_verdicts(context: Context) -> dict[str, Verdict]:
    """The verdict on the backups of each site and of the platform itself, by name, read from the repositories."""
    return {one.site: one for one in load_verdicts(context)}


def load_missed(context: Context) -> tuple[list[str], list[Missed]]:
    """What the schedule holds, and the runs of it that did not happen."""
    # The command line knows which verbs there are, and comes to us for its own.
    from socle.cli.main import socle as group

    workspace, zone, now = context.workspace, ZoneInfo(context.plan.timezone), datetime.now(UTC)
    schedule = load_schedule(workspace, zone, group.list_commands(click.Context(group)), now)
    watch = load_watch(workspace, schedule, zone, now)
    return [entry.name for entry in schedule.entries], watch.missed()


def restrict(context: Context, hosts: frozenset[str]) -> Context:
    """The context in which only `hosts` are worked on."""
    others = {host.name for host in context.plan.hosts} - hosts
    return replace(context, failed=context.failed | others)
