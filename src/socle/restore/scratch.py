"""A host to throw away, that reaches nothing: no network interface at all.

The controller reaches its sshd through a forward of Incus, which only this machine's own loopback lets in and which
leads one way. So there is no rule that could be missing: not the vault, not the live site, not the controller.

It is a copy of a template, which costs next to nothing on btrfs. It carries our marker, and when it expires: what a
killed run left is removed by the next one.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import quote

from socle import ssh
from socle.errors import Unreachable
from socle.files import run_write
from socle.incus.client import IncusClient, Json, NotFound
from socle.incus.instances import HOST_KEY, READY_SECONDS, run_delete_instance
from socle.incus.marker import EXPIRES, find_owner, is_ours, make_marker
from socle.load.workspace import Workspace
from socle.model.plan import Host
from socle.remote import run_ssh
from socle.runs.who import load_who
from socle.stages.base import Context

NAME = "scratch"
"""What it is called by ssh and in its plan, whatever its instance is called."""
ADDRESS = IPv4Address("127.0.0.2")
"""Where its web server listens: there is no other network than loopback."""
HOURS = 6
_LOCAL = "127.0.0.1"
_PAUSE = 0.2
_MIB = 1024**2
_MEMORY = 1024 * _MIB
_DISK = 12 * 1024 * _MIB
_MARGIN = 64 * _MIB


@dataclass(frozen=True)
class Scratch:
    """One that runs. `workspace` is the environment's, but for how hosts are reached: only this one is."""

    instance: str
    workspace: Workspace


def make_host(role: str, memory: int, services: tuple[str, ...]) -> Host:
    """It, as a host of a plan."""
    return Host(
        name=NAME,
        role=role,
        memory=_MEMORY + memory,
        disk=_DISK,
        nics=(),
        address=ADDRESS,
        inputs=(),
        services=services,
    )


def make_workspace(workspace: Workspace) -> Workspace:
    """Keys and addresses of scratch hosts, apart from those of the others: nothing of theirs is on one."""
    return replace(workspace, state=workspace.state / NAME)


def render_client(address: str, port: int, folder: Any, key: str) -> tuple[str, str]:
    """ssh_config(5) and known_hosts (sshd(8)) for one host behind a forwarded port."""
    config = ssh.render_config({NAME: address}, folder).replace("  User root\n", f"  User root\n  Port {port}\n")
    algorithm, value = key.split()[:2]
    names = f"{NAME},{address},[{address}]:{port}"
    return config, f"{names} {algorithm} {value}\n"


def run_write_client(workspace: Workspace, address: str, port: int) -> None:
    """Make keys, and write what ssh needs to reach the host there."""
    folder = workspace.ssh
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ssh.run_make_controller_key(folder, workspace.name)
    key = ssh.run_make_host_key(folder, NAME)
    config, known = render_client(address, port, folder, key)
    run_write(folder / "config", config.encode())
    run_write(folder / "known_hosts", known.encode())


def make_config(environment: str, site: str, memory: int, now: float) -> dict[str, str]:
    """Incus's configuration of a scratch host. It sees nothing of Incus (`security.guestapi`)."""
    return {
        **make_marker(environment, f"{NAME}:{site}"),
        EXPIRES: str(int(now + HOURS * 3600)),
        "user.socle.by": load_who(),
        "limits.memory": str(memory),
        "boot.autostart": "false",
        "security.privileged": "false",
        "security.guestapi": "false",
    }


def make_devices(pool: str, disk: int, port: int, volume: str, path: str) -> dict[str, dict[str, str]]:
    """Its disk, the site's volume, and the one way in. No network interface."""
    return {
        "root": {"type": "disk", "path": "/", "pool": pool, "size": str(disk)},
        "files": {"type": "disk", "pool": pool, "source": volume, "path": path},
        "ssh": {
            "type": "proxy",
            "bind": "host",
            "listen": f"tcp:{_LOCAL}:{port}",
            "connect": f"tcp:{_LOCAL}:22",
        },
    }


def make_volume_size(quota: int, saved: int) -> int:
    """Bytes of the volume: what the site has, or what its snapshot takes when its quota was larger then."""
    return max(quota, saved + saved // 4 + _MARGIN)


@contextmanager
def running(context: Context, client: IncusClient, template: str, request: Mapping[str, Any]) -> Iterator[Scratch]:
    """A scratch host that answers, made from a template; all of it is gone afterwards, whatever happens. `request`: its
    `site`, `path`, `size` (bytes) of its volume, `memory` (bytes).

    The caller holds the environment's lock: any other one was left by a run that was killed.
    """
    run_clear(context, client)
    name = f"{NAME}-{secrets.token_hex(4)}"
    volume = f"{name}-files"
    workspace = make_workspace(context.workspace)
    port = _find_free_port()
    run_write_client(workspace, _LOCAL, port)
    environment = context.plan.environment
    try:
        owner = f"{NAME}:{request['site']}"
        client.create_volume(volume, {**make_marker(environment, owner), "size": str(request["size"])})
        config = make_config(environment, request["site"], request["memory"], time.time())
        devices = make_devices(context.platform.incus.pool, _DISK, port, volume, request["path"])
        run_copy(client, template, name, config, devices)
        run_identity(client, workspace, name)
        client.set_state(name, "start")
        run_wait(workspace, name)
        yield Scratch(name, workspace)
    finally:
        run_remove(client, name, volume)


def run_copy(
    client: IncusClient, template: str, name: str, config: Mapping[str, str], devices: Mapping[str, Any]
) -> None:
    """Copy a stopped instance. What the copy has of its own replaces what the template has."""
    body = {
        "name": name,
        "type": "container",
        "profiles": [],
        "config": dict(config),
        "devices": dict(devices),
        "source": {"type": "copy", "source": template, "instance_only": True},
    }
    client.run("POST", "/instances", body)
    # Incus adds the template's own devices to those of a copy.
    with client.editing_instance(name) as found:
        found["devices"] = dict(devices)


def run_identity(client: IncusClient, workspace: Workspace, name: str) -> None:
    """Who may come in, and how it proves itself, before its first start."""
    folder = ssh.make_host_folder(workspace.ssh, NAME)
    public = ssh.run_make_controller_key(workspace.ssh, workspace.name)
    client.put_folder(name, "/root/.ssh", 0o700)
    client.put_file(name, "/root/.ssh/authorized_keys", f"{public}\n".encode(), 0o600)
    client.put_file(name, "/etc/hostname", f"{NAME}\n".encode())
    for file, mode in ((HOST_KEY, 0o600), (f"{HOST_KEY}.pub", 0o644)):
        client.put_file(name, f"/etc/ssh/{file}", (folder / file).read_bytes(), mode)


def run_wait(workspace: Workspace, name: str) -> None:
    """Until it answers by SSH and has finished starting. Raises Unreachable."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            run_ssh(workspace, NAME, ["true"])
            break
        except Unreachable as error:
            if time.monotonic() > deadline:
                raise Unreachable(f"the scratch host {name} does not answer: {error}") from None
            time.sleep(_PAUSE)
    # It may say that a unit failed: what matters here is asked for by what comes next.
    run_ssh(workspace, NAME, ["systemctl", "is-system-running", "--wait"], timeout=READY_SECONDS)


def run_clear(context: Context, client: IncusClient) -> list[str]:
    """Remove what runs that were killed left; templates stay. Its names."""
    environment = context.plan.environment
    left = [one for one in client.list_instances() if _is_left(one, environment)]
    for one in left:
        run_delete_instance(client, one)
    volumes = [one for one in client.list_volumes() if _is_left(one, environment)]
    for one in volumes:
        client.delete_volume(one["name"])
    names = [str(one["name"]) for one in (*left, *volumes)]
    if names:
        context.talk.say(f"  removed what a restore that was killed left: {', '.join(names)}")
    return names


def _is_left(thing: Json, environment: str) -> bool:
    return is_ours(thing, environment) and find_owner(thing).startswith(f"{NAME}:")


def run_remove(client: IncusClient, name: str, volume: str) -> None:
    """Remove a scratch host and its volume, as far as they are there."""
    try:
        run_delete_instance(client, client.get_instance(name))
    except NotFound:
        client.wait_idle(f"/instances/{quote(name)}")
    try:
        client.delete_volume(volume)
    except NotFound:
        return


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOCAL, 0))
        return int(probe.getsockname()[1])
