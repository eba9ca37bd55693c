"""Incus's REST API: its socket on this machine, or HTTPS with a client certificate elsewhere.

Every call has a timeout. An operation is waited for until its status is final: `/wait` may answer early
with status 103 (https://linuxcontainers.org/incus/docs/main/rest-api/). Instances and volumes live in the
environment's project, bridges and access lists in the default one: Incus has bridges nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

import httpx

from socle.errors import SocleError, Unreachable

NETWORKS_PROJECT = "default"
CALL_SECONDS = 30.0
OPERATION_SECONDS = 300.0
_WAIT_SLICE = 20
_FIRST_FINAL_STATUS = 200
_FAILED_STATUS = 400

Json = dict[str, Any]


class IncusError(SocleError):
    """Incus refused. `code` is the HTTP status."""

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(f"Incus: {message}")


class NotFound(IncusError):
    """There is no such thing."""


class IncusClient:
    """One connection to Incus, for one project. Safe to share between threads."""

    def __init__(self, http: httpx.Client, project: str, pool: str) -> None:
        self._http = http
        self.project = project
        self.pool = pool

    def __enter__(self) -> IncusClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # One call.

    def send(self, method: str, path: str, project: str | None = None, **options: Any) -> httpx.Response:
        """One HTTP call. Raises Unreachable, NotFound or IncusError."""
        params = {"project": project or self.project, **options.pop("params", {})}
        try:
            response = self._http.request(method, f"/1.0{path}", params=params, **options)
        except httpx.TransportError as error:
            place = self._http.base_url.host
            remedy = "check that the daemon runs, its address and the certificates: socle doctor"
            raise Unreachable(f"Incus ({place}) does not answer: {error or type(error).__name__}", remedy) from error
        if response.status_code >= _FAILED_STATUS:
            raise _make_error(response.status_code, _read_message(response))
        return response

    def get(self, path: str, project: str | None = None, **params: Any) -> Any:
        """The metadata of a GET."""
        return self.send("GET", path, project, params=params).json()["metadata"]

    def run(self, method: str, path: str, body: Json | None = None, project: str | None = None, **options: Any) -> Json:
        """A call that changes something, waited for to its end; `timeout` in seconds. Its metadata."""
        timeout = options.pop("timeout", OPERATION_SECONDS)
        answer: Json = self.send(method, path, project, json=body, **options).json()
        if answer.get("type") != "async":
            return answer.get("metadata") or {}
        return self.wait(answer["operation"].removeprefix("/1.0"), timeout)

    def wait(self, operation: str, timeout: float = OPERATION_SECONDS) -> Json:
        """Wait for an operation's end. Raises IncusError when it fails, Unreachable when it takes too long."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            path = operation.partition("?")[0]
            # Of an operation that failed, waiting answers nothing at all: its error is in the operation itself.
            state: Json = self.get(f"{path}/wait", timeout=_WAIT_SLICE) or self.get(path)
            if state["status_code"] >= _FAILED_STATUS:
                raise _make_error(state["status_code"], state.get("err") or state["status"])
            if state["status_code"] >= _FIRST_FINAL_STATUS:
                return state.get("metadata") or {}
        raise Unreachable(
            f"Incus did not finish an operation within {timeout:.0f} s", "run again: it goes on from there"
        )

    def wait_idle(self, path: str) -> None:
        """Wait for operations still running on `path`: those a killed run of ours left behind."""
        running = self.get("/operations", recursion=1)
        for operation in (running.get("running") or []) + (running.get("pending") or []):
            touched = [one for group in (operation.get("resources") or {}).values() for one in group]
            if any(one.partition("?")[0].removeprefix("/1.0") == path for one in touched):
                self._wait_quietly(operation["id"])

    def _wait_quietly(self, identifier: str) -> None:
        with suppress(IncusError):  # How it ended is read from what it made.
            self.wait(f"/operations/{identifier}")

    # Projects and images.

    def has_project(self) -> bool:
        """Whether the environment's project exists."""
        return self.project in {name.rsplit("/", 1)[-1].partition("?")[0] for name in self.get("/projects")}

    def create_project(self, config: Mapping[str, str], description: str = "") -> None:
        """Make the environment's project."""
        body = {"name": self.project, "config": dict(config), "description": description}
        self.run("POST", "/projects", body)

    def get_project(self) -> Json:
        """The environment's project. Raises NotFound."""
        return dict(self.get(f"/projects/{quote(self.project)}"))

    def delete_project(self) -> None:
        """Remove the environment's project, which must be empty."""
        self.run("DELETE", f"/projects/{quote(self.project)}")

    def find_image(self, alias: str) -> str:
        """Fingerprint of the image with this alias. Raises NotFound."""
        return str(self.get(f"/images/aliases/{quote(alias)}")["target"])

    def get_pool(self) -> Json:
        """The storage pool's use: bytes `space.used` and `space.total`."""
        return dict(self.get(f"/storage-pools/{quote(self.pool)}/resources"))

    # Networks and access lists: same verbs, `kind` is `networks` or `network-acls`.

    def list_networks(self, kind: str = "networks") -> list[Json]:
        """All of a kind, in one call."""
        return list(self.get(f"/{kind}", NETWORKS_PROJECT, recursion=1))

    def get_network(self, name: str, kind: str = "networks") -> Json:
        return dict(self.get(f"/{kind}/{quote(name)}", NETWORKS_PROJECT))

    def create_network(self, body: Json, kind: str = "networks") -> None:
        self.run("POST", f"/{kind}", body, NETWORKS_PROJECT)

    def update_network(self, name: str, body: Json, kind: str = "networks") -> None:
        """Give `body`'s fields to it; the others stay as they are."""
        if kind == "networks":
            self.run("PATCH", f"/{kind}/{quote(name)}", body, NETWORKS_PROJECT)
        else:  # Access lists have no PATCH.
            self.run("PUT", f"/{kind}/{quote(name)}", {**self.get_network(name, kind), **body}, NETWORKS_PROJECT)

    def delete_network(self, name: str, kind: str = "networks") -> None:
        self.run("DELETE", f"/{kind}/{quote(name)}", project=NETWORKS_PROJECT)

    # Custom volumes.

    def list_volumes(self) -> list[Json]:
        """All custom volumes of the project, in one call. Their snapshots are not among them."""
        found = self.get(f"{self._volumes}", recursion=1)
        return [volume for volume in found if "/" not in volume["name"]]

    @property
    def _volumes(self) -> str:
        return f"/storage-pools/{quote(self.pool)}/volumes/custom"

    def get_volume(self, name: str) -> Json:
        return dict(self.get(f"{self._volumes}/{quote(name)}"))

    def get_volume_state(self, name: str) -> Json:
        """Its use as Incus sees it: bytes `usage.used` and `usage.total`."""
        return dict(self.get(f"{self._volumes}/{quote(name)}/state"))

    def create_volume(self, name: str, config: Mapping[str, str]) -> None:
        self.run("POST", self._volumes, {"name": name, "content_type": "filesystem", "config": dict(config)})

    def update_volume(self, name: str, config: Mapping[str, str]) -> None:
        """Set these keys; `size` resizes."""
        self.run("PATCH", f"{self._volumes}/{quote(name)}", {"config": dict(config)})

    def delete_volume(self, name: str) -> None:
        self.run("DELETE", f"{self._volumes}/{quote(name)}")

    def snapshot_volume(self, name: str, snapshot: str) -> None:
        self.run("POST", f"{self._volumes}/{quote(name)}/snapshots", {"name": snapshot})

    def restore_volume(self, name: str, snapshot: str) -> None:
        """Put the volume back as it was; it must not be in use."""
        self.run("PUT", f"{self._volumes}/{quote(name)}", {"restore": snapshot})

    def delete_volume_snapshot(self, name: str, snapshot: str) -> None:
        self.run("DELETE", f"{self._volumes}/{quote(name)}/snapshots/{quote(snapshot)}")

    # Instances.

    def list_instances(self) -> list[Json]:
        """All instances of the project, in one call."""
        return list(self.get("/instances", recursion=1))

    def get_instance(self, name: str) -> Json:
        return dict(self.get(f"/instances/{quote(name)}"))

    def create_instance(self, name: str, alias: str, config: Mapping[str, str], devices: Mapping[str, Any]) -> None:
        """Make a container from an image alias, not started, without any profile."""
        body = {
            "name": name,
            "type": "container",
            "profiles": [],
            "config": dict(config),
            "devices": dict(devices),
            "source": {"type": "image", "alias": alias},
        }
        self.run("POST", "/instances", body)

    @contextmanager
    def editing_instance(self, name: str) -> Iterator[Json]:
        """The instance's `config` and `devices`, to change in place; written back unless it changed meanwhile."""
        response = self.send("GET", f"/instances/{quote(name)}")
        body: Json = response.json()["metadata"]
        yield body
        self.run("PUT", f"/instances/{quote(name)}", body, headers={"If-Match": response.headers["ETag"]})

    def set_state(self, name: str, action: str, timeout: int = 60, force: bool = False) -> None:
        """`start`, `stop` or `restart`. Without `force`, the host has `timeout` seconds to stop by itself."""
        body = {"action": action, "timeout": timeout, "force": force}
        self.run("PUT", f"/instances/{quote(name)}/state", body, timeout=timeout + CALL_SECONDS)

    def delete_instance(self, name: str) -> None:
        self.run("DELETE", f"/instances/{quote(name)}")

    def snapshot_instance(self, name: str, snapshot: str) -> None:
        self.run("POST", f"/instances/{quote(name)}/snapshots", {"name": snapshot, "stateful": False})

    def restore_instance(self, name: str, snapshot: str) -> None:
        self.run("PUT", f"/instances/{quote(name)}", {"restore": snapshot})

    def delete_instance_snapshot(self, name: str, snapshot: str) -> None:
        self.run("DELETE", f"/instances/{quote(name)}/snapshots/{quote(snapshot)}")

    def put_file(self, name: str, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file of root's, also before the first start."""
        self._put(name, path, "file", mode, content)

    def put_folder(self, name: str, path: str, mode: int = 0o755) -> None:
        """Make a folder of root's; none of its parents."""
        self._put(name, path, "directory", mode, b"")

    def _put(self, name: str, path: str, kind: str, mode: int, content: bytes) -> None:
        headers = {
            "X-Incus-uid": "0",
            "X-Incus-gid": "0",
            "X-Incus-mode": f"{mode:04o}",
            "X-Incus-type": kind,
            "X-Incus-write": "overwrite",
        }
        self.send("POST", f"/instances/{quote(name)}/files", params={"path": path}, content=content, headers=headers)

    def run_command(self, name: str, arguments: list[str], timeout: float = 60.0) -> int:
        """Run a program in the instance, output dropped. Its exit status."""
        body = {"command": arguments, "wait-for-websocket": False, "interactive": False}
        return int(self.run("POST", f"/instances/{quote(name)}/exec", body, timeout=timeout).get("return", -1))


def _read_message(response: httpx.Response) -> str:
    try:
        return str(response.json().get("error") or response.reason_phrase)
    except ValueError:
        return response.reason_phrase


def _make_error(code: int, message: str) -> IncusError:
    return NotFound(message, code) if code == httpx.codes.NOT_FOUND else IncusError(message, code)
