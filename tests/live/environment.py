"""A whole environment for live tests, beside a lab in use: its own control repository, project, networks, state."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tenacity
import yaml

from socle.cli.common import Session
from socle.errors import Unreachable
from socle.incus.client import IncusClient
from socle.incus.connect import open_client
from socle.load.inputs import load_platform
from socle.load.workspace import Workspace, load_workspace
from socle.remote import run_ssh
from socle.restore.template import is_template
from socle.runs.talk import Talk
from socle.stages.base import Context

REPOSITORY = Path(__file__).resolve().parents[2]
SOCLE = [sys.executable, "-m", "socle"]
UP_SECONDS = 1500
START_SECONDS = 90
SNAPSHOT = "built"
_SHARED = ("stacks", "roles", "playbooks", "backups")


@dataclass(frozen=True)
class Response:
    """What curl received: the last response's status and headers (lower-case names), and the body."""

    status: int
    headers: dict[str, str]
    body: str
    version: str


@dataclass
class Lab:
    """The environment `name` of a control repository of its own under `root`."""

    root: Path
    name: str = "test"
    restored: list[str] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        return load_workspace(self.name, self.root)

    def context(self, full: bool = False) -> Context:
        """A Context in this process, for tests that call a stage directly."""
        return Session(self.workspace, Talk(quiet=True), json=False).context(full)

    def client(self) -> IncusClient:
        """A client of Incus for this environment's project."""
        workspace = self.workspace
        return open_client(load_platform(workspace).incus, workspace.state, workspace.project)

    def write_repository(self, platform: dict[str, Any] | None = None) -> None:
        """The control repository: the code of this clone, the example requests, a platform of its own."""
        for folder in ("associations", f"inventories/{self.name}"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for shared in _SHARED:
            link = self.root / shared
            link.unlink(missing_ok=True)
            link.symlink_to(REPOSITORY / shared)
        settings = yaml.safe_load((REPOSITORY / "inventories/lab/platform.yml").read_text())
        text = yaml.safe_dump({**settings, **(platform or {})}, allow_unicode=True)
        (self.root / f"inventories/{self.name}/platform.yml").write_text(text)
        for path in (REPOSITORY / "associations").glob("*.yml"):
            shutil.copy(path, self.root / "associations")

    def socle(
        self, *arguments: str, check: bool = True, timeout: float = UP_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line as a user would."""
        command = [*SOCLE, *arguments, "--env", self.name, "--root", str(self.root)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        if check and result.returncode:
            raise AssertionError(
                f"{' '.join(arguments)} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
            )
        return result

    def plan(self, *arguments: str) -> list[dict[str, str]]:
        """The changes `socle plan` shows. Its exit code must agree with them."""
        result = self.socle("plan", "--json", *arguments, check=False)
        assert result.returncode in (0, 10), result.stderr
        changes: list[dict[str, str]] = json.loads(result.stdout)["changes"]
        assert (result.returncode == 10) == bool(changes)
        return changes

    def apply(self, *arguments: str) -> list[dict[str, str]]:
        """Apply; what was changed."""
        changes: list[dict[str, str]] = json.loads(self.socle("apply", "--json", *arguments).stdout)["changes"]
        return changes

    def ssh(
        self, host: str, arguments: Sequence[str], stdin: bytes = b"", check: bool = True, timeout: float = 120
    ) -> str:
        """Run a command on a host as root; what it printed."""
        result = run_ssh(self.workspace, host, arguments, stdin=stdin, timeout=timeout)
        output = result.stdout.decode(errors="replace")
        if check and result.returncode:
            raise AssertionError(f"{host}: {arguments} ended with {result.returncode}: {output}{result.stderr!r}")
        return output

    def get(self, url: str, *options: str, check: bool = True) -> Response | None:
        """Fetch a URL from `outside`, verifying the certificate. None when curl fails and `check` is off."""
        command = ["curl", "-sS", "-i", "--max-time", "20", *options, url]
        result = run_ssh(self.workspace, "outside", command, timeout=40)
        if result.returncode:
            assert not check, f"{url}: {result.stderr.decode()}"
            return None
        return parse_response(result.stdout.decode(errors="replace"))

    def write_request(self, identifier: str, **changes: Any) -> None:
        """Add or change a request, from the first example."""
        path = self.root / "associations" / f"{identifier}.yml"
        data = yaml.safe_load((REPOSITORY / "associations/amis-du-lac.yml").read_text())
        # A number of its own: two requests with one legal number are refused.
        data["rna_number"] = f"W38{zlib.crc32(identifier.encode()) % 10**7:07d}"
        data["services"] = {"wordpress": {"title": identifier, "quota": "128MiB"}}
        path.write_text(yaml.safe_dump({**data, **changes}, allow_unicode=True, sort_keys=False))

    def remove_request(self, identifier: str) -> None:
        (self.root / "associations" / f"{identifier}.yml").unlink()

    # Going back to what was built.

    def run_save(self) -> None:
        """Snapshot hosts and volumes, and keep a copy of the state and of the control repository's own files."""
        with self.client() as client:
            for name in self._instances(client):
                client.set_state(name, "stop")
            for name in self._instances(client):
                client.snapshot_instance(name, SNAPSHOT)
            for volume in client.list_volumes():
                client.snapshot_volume(volume["name"], SNAPSHOT)
            self._run_start(client)
        for source, copy in self._copies():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy, symlinks=True)

    def run_restore(self) -> None:
        """Bring everything back to the moment of `run_save`; what was made since is removed."""
        with self.client() as client:
            saved = [name for name in self._instances(client) if self._has_snapshot(client, f"/instances/{name}")]
            for name in self._instances(client):
                client.set_state(name, "stop", force=True)
                if name not in saved:
                    client.delete_instance(name)
            for name in saved:
                client.restore_instance(name, SNAPSHOT)
            for volume in client.list_volumes():
                if self._has_snapshot(client, f"{client._volumes}/{volume['name']}"):
                    client.restore_volume(volume["name"], SNAPSHOT)
                else:
                    client.delete_volume(volume["name"])
            self._run_start(client)
        for source, copy in self._copies():
            shutil.rmtree(source)
            shutil.copytree(copy, source, symlinks=True)

    def run_forget(self) -> None:
        """Let nobody go back to what was saved."""
        shutil.rmtree(self.root.parent / f"{self.root.name}.saved", ignore_errors=True)

    def is_saved(self) -> bool:
        """Whether there is something to go back to."""
        with self.client() as client:
            return client.has_project() and all(copy.is_dir() for _, copy in self._copies())

    def _copies(self) -> list[tuple[Path, Path]]:
        saved = self.root.parent / f"{self.root.name}.saved"
        return [(self.workspace.state, saved / "state"), (self.root, saved / "root")]

    def _instances(self, client: IncusClient) -> list[str]:
        """All but whole templates of scratch hosts: they hold nothing of a site, and take minutes to make."""
        return [found["name"] for found in client.list_instances() if not is_template(found)]

    def _has_snapshot(self, client: IncusClient, path: str) -> bool:
        names = [found["name"].rpartition("/")[2] for found in client.get(f"{path}/snapshots", recursion=1)]
        return SNAPSHOT in names

    def _run_start(self, client: IncusClient) -> None:
        for name in self._instances(client):
            client.set_state(name, "start")
        for name in self._instances(client):
            self.wait_started(name)

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(Unreachable),
        stop=tenacity.stop_after_delay(START_SECONDS),
        wait=tenacity.wait_fixed(0.5),
        reraise=True,
    )
    def wait_started(self, host: str) -> None:
        """Wait until a host that was started answers over SSH and has started what it starts."""
        self.ssh(host, ["systemctl", "is-system-running", "--wait"], check=False, timeout=START_SECONDS)


def parse_response(text: str) -> Response:
    """Parse `curl -i`: interim and redirected responses come first, the last one counts."""
    text = text.replace("\r\n", "\n")
    head, _, body = text.partition("\n\n")
    while re.match(r"HTTP/[\d.]+ 1\d\d", head) or re.match(r"HTTP/[\d.]+ \d", body):
        head, _, body = body.partition("\n\n")
    first, *lines = head.splitlines()
    version, status = first.split()[:2]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Response(int(status), headers, body, version.removeprefix("HTTP/"))


def is_kept() -> bool:
    """Whether to leave the environment after the tests, to work on it: SOCLE_TEST_KEEP=1."""
    return os.environ.get("SOCLE_TEST_KEEP") == "1"
