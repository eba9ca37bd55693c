"""Hosts as a kind of resource: an instance is given its identity before its first start, and is ready when
it answers by SSH.

What a killed run left is recognised by the missing or different `user.socle.ready`, and completed.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from socle.errors import Unreachable
from socle.incus.client import IncusClient, IncusError, Json, NotFound
from socle.incus.kinds import State, drop_volatile
from socle.incus.listing import Cache
from socle.incus.marker import READY, check_ours

READY_SECONDS = 120.0
_STOP_SECONDS = 30
_POLL_SECONDS = 0.2
_SSH_PORT = 22
_BANNER = b"SSH-2.0"
HOST_KEY = "ssh_host_ed25519_key"


class Locks:
    """One lock per instance: two writes at a time would undo each other."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)

    def of(self, name: str) -> threading.RLock:
        """The lock of `name`."""
        with self._guard:
            return self._locks[name]


class InstanceKind:
    """A host. Inputs: name, image (alias, used once), config, devices, status, address, files, identity.

    `files` are pushed before the first start: each has path, content, mode. `identity` is the folder on the
    controller that holds the host's SSH keys: the private key is read from there and never enters a state.
    """

    compared: tuple[str, ...] = ("config", "devices", "status")
    replaced: tuple[str, ...] = ("name",)

    def __init__(self, client: IncusClient, cache: Cache, environment: str, locks: Locks) -> None:
        self._client, self._cache, self._environment, self._locks = client, cache, environment, locks

    def identify(self, inputs: State) -> str:
        return str(inputs["name"])

    def observe(self, identifier: str) -> State | None:
        found = self._cache.instances().get(identifier)
        if not found:
            return None
        devices = {name: device for name, device in found["devices"].items() if not is_attachment(device)}
        config = drop_volatile(found["config"])
        return {"name": identifier, "config": config, "devices": devices, "status": found["status"]}

    def create(self, inputs: State) -> None:
        name = inputs["name"]
        self._client.wait_idle(f"/instances/{name}")
        try:
            check_ours("host", self._client.get_instance(name), self._environment)
        except NotFound:
            config = {key: value for key, value in inputs["config"].items() if key != READY}
            self._client.create_instance(name, inputs["image"], config, inputs["devices"])
        self.update(name, {}, inputs)

    def update(self, identifier: str, state: State, inputs: State) -> None:
        with self._locks.of(identifier):
            found = self._client.get_instance(identifier)
            ready = found["config"].get(READY) == inputs["config"][READY]
            if not ready:
                self._stop(identifier, found)
            self._configure(identifier, state, inputs)
            if not ready:
                self._push_identity(identifier, inputs)
        if self._client.get_instance(identifier)["status"] != "Running":
            self._client.set_state(identifier, "start")
        self._wait_ready(identifier, inputs["address"])
        if not ready:
            with self._locks.of(identifier), self._client.editing_instance(identifier) as body:
                body["config"][READY] = inputs["config"][READY]

    def _stop(self, name: str, found: Json) -> None:
        if found["status"] == "Stopped":
            return
        try:
            self._client.set_state(name, "stop", timeout=_STOP_SECONDS)
        except IncusError:
            self._client.set_state(name, "stop", force=True)

    def _configure(self, name: str, state: State, inputs: State) -> None:
        """Set what we own: our configuration keys, and all devices that are not volumes."""
        with self._client.editing_instance(name) as body:
            for key in state.get("config", {}).keys() - {READY}:
                body["config"].pop(key, None)
            body["config"].update({key: value for key, value in inputs["config"].items() if key != READY})
            attached = {key: device for key, device in body["devices"].items() if is_attachment(device)}
            body["devices"] = {**inputs["devices"], **attached}

    def _push_identity(self, name: str, inputs: State) -> None:
        self._client.put_folder(name, "/root/.ssh", 0o700)
        for file in inputs["files"]:
            self._client.put_file(name, file["path"], file["content"].encode(), int(file["mode"], 8))
        keys = Path(inputs["identity"])
        for file, mode in ((HOST_KEY, 0o600), (f"{HOST_KEY}.pub", 0o644)):
            self._client.put_file(name, f"/etc/ssh/{file}", (keys / file).read_bytes(), mode)

    def _wait_ready(self, name: str, address: str) -> None:
        """Until the host answers by SSH and has finished starting."""
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(address):
            if time.monotonic() > deadline:
                raise Unreachable(
                    f"host {name} ({address}) does not answer by SSH after {READY_SECONDS:.0f} s",
                    f"look at: incus --project {self._client.project} exec {name} -- systemctl --failed",
                )
            time.sleep(_POLL_SECONDS)
        # The status says "degraded" of one failed unit: that is for the audit to judge, not for a start.
        self._client.run_command(name, ["systemctl", "is-system-running", "--wait"], timeout=READY_SECONDS)

    def delete(self, identifier: str, _state: State) -> None:
        found = self._cache.instances().get(identifier)
        if not found:
            return
        check_ours("host", found, self._environment)
        run_delete_instance(self._client, self._client.get_instance(identifier))
        self._cache.forget("instances", identifier)


def is_attachment(device: dict[str, Any]) -> bool:
    """Whether a device is a volume mounted in the host, as opposed to its root disk."""
    return device.get("type") == "disk" and "source" in device and "pool" in device


def run_delete_instance(client: IncusClient, found: Json) -> None:
    """Stop and delete an instance. Its volumes stay."""
    name = found["name"]
    client.wait_idle(f"/instances/{name}")
    if found["status"] != "Stopped":
        client.set_state(name, "stop", force=True)
    client.delete_instance(name)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, _SSH_PORT), timeout=2.0) as connection:
            connection.settimeout(5.0)
            return connection.recv(len(_BANNER)) == _BANNER
    except OSError:
        return False
