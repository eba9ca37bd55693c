"""The lab's engine: lxcfs and incusd running on this machine, kernel limits raised, one storage pool.

With systemd the distribution's units are used. Without, both are started here as daemons that belong to
nobody's terminal. Everything is safe to repeat, also after every process of the machine was killed.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import httpx

from socle.errors import SocleError, Unreachable
from socle.lab.limits import run_limits
from socle.runs.process import run

SOCKET = Path("/var/lib/incus/unix.socket")
LXCFS = Path("/var/lib/lxcfs")
FUSE = Path("/dev/fuse")
INCUSD = Path("/usr/libexec/incus/incusd")
LOGS = Path("/var/log/socle")
LOCK = Path("/run/lock/socle-engine.lock")
_OPEN_FILES = 1_048_576
_READY_SECONDS = 120.0


@dataclass(frozen=True)
class EngineInfo:
    """The engine that runs: its version, and what had to be done for it."""

    version: str
    socket: Path
    raised: Mapping[str, int]
    started: tuple[str, ...]


@dataclass(frozen=True)
class PoolInfo:
    """A storage pool. Without `quotas` a volume's size is a wish that nothing enforces."""

    name: str
    driver: str
    quotas: bool
    created: bool


def make_incusd_command(log: Path) -> list[str]:
    """The engine's own daemon, as the distribution starts it."""
    return [str(INCUSD), "--group", "incus-admin", "--logfile", str(log)]


def make_incusd_environment() -> dict[str, str]:
    """A small environment: nothing of the caller's (tokens, proxies for other things) reaches the daemon."""
    return {
        "PATH": "/usr/libexec/incus:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "INCUS_EXEC_PATH": str(INCUSD),
        "LD_LIBRARY_PATH": "/usr/lib/incus",
    }


def make_detached(command: list[str]) -> list[str]:
    """The same command in a session of its own, as a child of process 1 (setsid(1))."""
    return ["setsid", "--fork", *command]


def load_has_systemd() -> bool:
    """True when systemd is process 1 (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def load_daemons() -> list[int]:
    """Process ids of incusd in our own mount namespace.

    Monitors and helpers of containers carry the name of the daemon too: they have another first argument.
    Daemons inside containers, or of a test's namespace, are not ours.
    """
    ours = Path("/proc/self/ns/mnt").readlink()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if is_daemon(arguments) and (folder / "ns/mnt").readlink() == ours:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def is_daemon(arguments: list[bytes]) -> bool:
    """True for the command line of the daemon itself, not of its helpers (`forkstart`, `[lxc monitor]`...)."""
    return arguments[0].endswith(b"/incusd") and (len(arguments) < 2 or arguments[1][:1] in (b"", b"-"))


def make_client(timeout: float = 5) -> httpx.Client:
    """A client of incusd over its socket; `timeout` in seconds."""
    transport = httpx.HTTPTransport(uds=str(SOCKET))
    return httpx.Client(transport=transport, base_url="http://incus", timeout=timeout)


def load_version() -> str | None:
    """The version of a ready incusd, or None when none answers within 5 s."""
    try:
        with make_client() as client:
            # /1.0 answers before volumes and networks are there; this is what `incusd waitready` asks.
            if client.get("/internal/ready").status_code != httpx.codes.OK:
                return None
            return str(client.get("/1.0").json()["metadata"]["environment"]["server_version"])
    except httpx.TransportError:
        return None


def run_engine() -> EngineInfo:
    """Make sure that lxcfs and incusd run and answer; does nothing when they do.

    Raises Unreachable when incusd does not become ready within two minutes.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(LOCK, timeout=_READY_SECONDS + 60):
            raised = run_limits()
            started = _run_start()
            return EngineInfo(_run_wait(), SOCKET, raised, started)
    except filelock.Timeout:
        raise Unreachable("another run has been starting the engine for minutes", f"look who holds {LOCK}") from None


def _run_start() -> tuple[str, ...]:
    """Start what does not run; tells what that was. lxcfs may have died alone, under a running incusd."""
    lxcfs, incusd = _is_lxcfs_alive(), load_version() is not None
    if lxcfs and incusd:
        return ()
    if not INCUSD.is_file():
        raise SocleError(f"{INCUSD} is missing", "run: make up")
    if load_has_systemd():
        _run_units("lxcfs.service", "incus.socket", "incus.service")
        return tuple(unit for unit, alive in (("lxcfs", lxcfs), ("incusd", incusd)) if not alive)
    started = () if lxcfs else _run_lxcfs()
    if incusd or load_daemons():
        return started
    SOCKET.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    _run_detached(make_incusd_command(_log("incusd")), make_incusd_environment(), _log("incusd-start"))
    return (*started, "incusd")


def _run_units(*units: str) -> None:
    """Start units. Not contained as other commands are: systemctl refuses a manager outside its PID namespace."""
    command = ["systemctl", "enable", "--now", *units]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=True)
    except subprocess.TimeoutExpired:
        raise Unreachable("systemd did not start Incus within 300 s", "read: journalctl -u incus") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise SocleError(f"systemd cannot start Incus: {said}", "read: journalctl -u incus -u lxcfs") from None


def _log(name: str) -> Path:
    LOGS.mkdir(mode=0o750, parents=True, exist_ok=True)
    return LOGS / f"{name}.log"


def load_can_open(device: Path) -> bool:
    """True when a device file is there and may be opened: a container may show it and forbid it."""
    try:
        device.open("rb").close()
    except OSError:
        return False
    return True


def _is_lxcfs_alive() -> bool:
    """True when lxcfs serves its files: after a kill the mount stays, and each access to it fails."""
    try:
        return (LXCFS / "proc/meminfo").stat().st_size >= 0
    except OSError:
        return False


def _run_lxcfs() -> tuple[str, ...]:
    if not load_can_open(FUSE):
        return ()  # as its systemd unit does in a container: hosts then see the whole machine's memory
    if f" {LXCFS} " in Path("/proc/mounts").read_text():
        run(["umount", "--lazy", str(LXCFS)], timeout=20)
    LXCFS.mkdir(parents=True, exist_ok=True)
    _run_detached(["lxcfs", str(LXCFS)], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, _log("lxcfs"))
    deadline = time.monotonic() + 20
    while not _is_lxcfs_alive():
        if time.monotonic() > deadline:
            raise Unreachable("lxcfs does not serve its files", f"read {_log('lxcfs')}; is /dev/fuse there?")
        time.sleep(0.1)
    return ("lxcfs",)


def _run_detached(command: list[str], environment: dict[str, str], log: Path) -> None:
    with log.open("ab") as output:
        subprocess.run(
            make_detached(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            umask=0o022,
            preexec_fn=_raise_open_files,
            timeout=20,
            check=True,
        )


def _raise_open_files() -> None:
    """Containers share the daemon's limit. Where it may not be raised, the present one has to do."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def _run_wait() -> str:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        version = load_version()
        if version:
            return version
        time.sleep(0.2)
    holders = load_daemons()
    state = f"runs (process {holders[0]}) but does not answer" if holders else "does not stay up"
    place = "journalctl -u incus" if load_has_systemd() else str(_log("incusd"))
    raise Unreachable(f"incusd {state} on {SOCKET}", f"read {place}")


def run_pool(name: str = "socle", size_gib: int = 40) -> PoolInfo:
    """Make sure that the storage pool is there: btrfs in a loop file, for quotas and instant copies.

    Where the kernel does not let btrfs be mounted (inside some containers) a plain folder takes its place:
    everything works, but no quota is enforced, and the answer says so.
    """
    with make_client(timeout=120) as client:
        found = client.get(f"/1.0/storage-pools/{name}")
        if found.is_success:
            pool = found.json()["metadata"]
            if pool["status"] == "Created":
                return PoolInfo(name, pool["driver"], pool["driver"] != "dir", created=False)
            _run_remove_unfinished(client, pool)
        return _run_create_pool(client, name, size_gib)


def _run_remove_unfinished(client: httpx.Client, pool: Mapping[str, Any]) -> None:
    """Remove a pool whose making was killed halfway, which never becomes available. Never one that is used."""
    if pool["used_by"]:
        message = f"the storage pool {pool['name']} is {pool['status'].lower()}, with data in it"
        raise SocleError(message, f"read {_log('incusd')}; nothing was removed")
    removed = client.delete(f"/1.0/storage-pools/{pool['name']}")
    if not removed.is_success:
        message = f"the unfinished storage pool {pool['name']} cannot be removed"
        raise SocleError(message, str(removed.json().get("error")))


def _run_create_pool(client: httpx.Client, name: str, size_gib: int) -> PoolInfo:
    errors = []
    for driver, config in (("btrfs", {"size": f"{size_gib}GiB"}), ("dir", {})):
        made = client.post("/1.0/storage-pools", json={"name": name, "driver": driver, "config": config})
        if made.is_success:
            return PoolInfo(name, driver, driver != "dir", created=True)
        errors.append(f"{driver}: {made.json().get('error', made.status_code)}")
    raise SocleError(f"the storage pool {name} cannot be made: {'; '.join(errors)}", f"read {_log('incusd')}")
