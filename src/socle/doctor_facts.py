"""Reads from this machine what the doctor judges. Nothing is changed; each question is bounded in time."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from socle.incus.marker import ENVIRONMENT, EXPIRES
from socle.incus.quotas import load_counts
from socle.lab.engine import INCUSD, load_can_open, load_version, make_client
from socle.lab.limits import load_limits
from socle.load.workspace import STATE_HOME
from socle.runs.process import CommandFailed, run

PULUMI = Path("/usr/local/lib/socle/bin/pulumi")
PROGRAMS = (
    *(str(INCUSD), str(PULUMI), "incus", "lxcfs", "dnsmasq", "newuidmap", "btrfs", "rsync", "unsquashfs"),
    *("mmdebstrap", "zstd", "nft", "ip", "ssh", "git"),
)
DEVICES = ("/dev/fuse", "/dev/loop-control")
_SYSTEM_FILES = ("/etc/os-release", "/var/lib/dpkg/status", "/var/lib/apt/lists")
_ALL = ("0.0.0.0", "::")  # noqa: S104 looked for, not bound
_MIB = 1 << 20


@dataclass(frozen=True)
class Pool:
    """The storage pool: its driver, how many MiB it has promised and holds, and whether it counts them right."""

    driver: str
    total_mib: int
    used_mib: int
    counts: bool = True


@dataclass(frozen=True)
class Leftover:
    """A state folder or an Incus project of ours, by the name of its environment."""

    name: str
    clone: str = ""
    clone_exists: bool = True
    state_exists: bool = True


@dataclass(frozen=True)
class Facts:
    """What was read from the machine. Times are seconds since 1970, sizes MiB."""

    user_id: int = 0
    machine: str = "x86_64"
    release: str = "trixie"
    memory_total_mib: int = 0
    memory_available_mib: int = 0
    disk_free_mib: int = 0
    now: float = 0.0
    newest_file: float = 0.0
    limits: Mapping[str, int] = field(default_factory=dict)
    missing_programs: tuple[str, ...] = ()
    missing_devices: tuple[str, ...] = ()
    port_holders: tuple[str, ...] = ()
    forward_dropped_by: tuple[str, ...] = ()
    engine_version: str | None = None
    pool: Pool | None = None
    states: tuple[Leftover, ...] = ()
    projects: tuple[Leftover, ...] = ()
    expired: tuple[str, ...] = ()


def parse_release(text: str) -> str:
    """The code name in an os-release(5) file; empty when it names none."""
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip().strip("\"'")
    return ""


def parse_dropped(text: str) -> tuple[str, ...]:
    """Chains that drop forwarded packets by default, from `nft --json list chains`."""
    chains = [item["chain"] for item in json.loads(text).get("nftables", []) if "chain" in item]
    return tuple(
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == "forward" and chain.get("policy") == "drop"
    )


def make_port_holders(listeners: Iterable[tuple[str, int, str]]) -> tuple[str, ...]:
    """Who holds DNS or DHCP on all addresses, of (address, UDP port, program)."""
    return tuple(
        sorted(
            f"UDP port {port} ({program or 'unknown program'})"
            for address, port, program in listeners
            # On all addresses, DHCP of a bridge is bound to its interface and disturbs nobody.
            if (port == 53 and address in _ALL) or (port == 67 and program not in ("dnsmasq", ""))
        )
    )


def load_facts(state_home: Path | None = None) -> Facts:
    """Read everything that the checks need; takes well under a second. States are sought where `SOCLE_STATE`
    says, unless `state_home` is given."""
    state_home = state_home or Path(os.environ.get("SOCLE_STATE", STATE_HOME))
    memory = psutil.virtual_memory()
    version = load_version()
    return Facts(
        user_id=os.geteuid(),
        machine=platform.machine(),
        release=parse_release(Path("/etc/os-release").read_text(encoding="utf-8")),
        memory_total_mib=memory.total // _MIB,
        memory_available_mib=memory.available // _MIB,
        disk_free_mib=shutil.disk_usage("/var/lib").free // _MIB,
        now=time.time(),
        newest_file=max(Path(name).stat().st_mtime for name in _SYSTEM_FILES if Path(name).exists()),
        limits=load_limits(),
        missing_programs=_load_missing_programs(),
        missing_devices=tuple(name for name in DEVICES if not load_can_open(Path(name))),
        port_holders=make_port_holders(_load_listeners()),
        forward_dropped_by=_load_dropped(),
        engine_version=version,
        pool=load_pool() if version else None,
        states=_load_states(state_home),
        projects=_load_projects(state_home) if version else (),
        expired=_load_expired(time.time()) if version else (),
    )


def _load_missing_programs() -> tuple[str, ...]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"
    return tuple(Path(name).name for name in PROGRAMS if shutil.which(name, path=path) is None)


def _load_listeners() -> list[tuple[str, int, str]]:
    found = []
    for connection in psutil.net_connections("udp"):
        if not connection.laddr:
            continue
        try:
            program = psutil.Process(connection.pid).name() if connection.pid else ""
        except psutil.Error:
            program = ""
        found.append((connection.laddr.ip, connection.laddr.port, program))
    return found


def _load_dropped() -> tuple[str, ...]:
    try:
        return parse_dropped(run(["nft", "--json", "list", "chains"], timeout=10).stdout.decode())
    except (CommandFailed, ValueError):
        return ()


def load_pool(name: str = "socle") -> Pool | None:
    """The storage pool as Incus has it; None when there is none, or Incus does not answer."""
    try:
        with make_client() as client:
            pool = client.get(f"/1.0/storage-pools/{name}")
            space = client.get(f"/1.0/storage-pools/{name}/resources")
    except httpx.TransportError:
        return None
    if not (pool.is_success and space.is_success):
        return None
    measured = space.json()["metadata"]["space"]
    driver = str(pool.json()["metadata"]["driver"])
    total, used = (int(measured.get(key, 0)) // _MIB for key in ("total", "used"))
    return Pool(driver, total, used, load_counts(name))


def _load_states(state_home: Path) -> tuple[Leftover, ...]:
    """State folders that name their clone in a file `clone`; a folder without it is not judged."""
    found = []
    for record in sorted(state_home.glob("*/clone")):
        clone = record.read_text(encoding="utf-8").strip()
        found.append(Leftover(record.parent.name, clone, clone_exists=Path(clone).is_dir()))
    return tuple(found)


def _load_projects(state_home: Path) -> tuple[Leftover, ...]:
    """Incus projects that carry our marker."""
    try:
        with make_client() as client:
            projects = client.get("/1.0/projects", params={"recursion": 1}).json()["metadata"]
    except (httpx.TransportError, KeyError):
        return ()
    marked = [(project["name"], project["config"].get(ENVIRONMENT)) for project in projects]
    return tuple(
        Leftover(name, state_exists=(state_home / environment).is_dir())
        for name, environment in sorted(marked)
        if environment
    )


def _load_expired(now: float) -> tuple[str, ...]:
    """Hosts that were to be thrown away by now, as `project/name`."""
    try:
        with make_client() as client:
            found = client.get("/1.0/instances", params={"recursion": 1, "all-projects": "true"}).json()["metadata"]
    except (httpx.TransportError, KeyError):
        return ()
    return make_expired(found, now)


def make_expired(instances: Iterable[Mapping[str, Any]], now: float) -> tuple[str, ...]:
    """Those whose time is over, of instances as Incus lists them; `now` in epoch seconds."""
    over = (one for one in instances if now > float(one["config"].get(EXPIRES, "inf")))
    return tuple(sorted(f"{one['project']}/{one['name']}" for one in over))
