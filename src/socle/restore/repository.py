"""A repository as this machine reads it: restic, through a tunnel to its vault. Nothing of it is changed.

This machine's restic may be older than the hosts' (0.14 on Debian 12): only what that one can do is used here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from socle.authority import load_authority
from socle.errors import InvalidInput, Problem, Refused, SocleError, Unreachable
from socle.load.workspace import Workspace
from socle.model.plan import Repository, Site
from socle.remote import run_ssh
from socle.restore.choose import (
    At,
    Snapshot,
    find_candidates,
    find_faults,
    make_problem,
    make_staging,
    parse_arrivals,
    parse_snapshots,
)
from socle.runs.process import make_mortal
from socle.secrets import SecretStore
from socle.stages.base import Context
from socle.vault.tunnel import tunnel

_SECONDS = 300.0
_MANIFEST_BYTES = 64 * 1024**2
_TRIED = 20
_PARALLEL = 4


class ResticFailed(SocleError):
    """restic could not read something. The message has its words."""


@dataclass(frozen=True)
class Chosen:
    """The snapshot to bring a site back from, and its manifest. `refused`: newer ones that are not good, and why."""

    site: Site
    snapshot: Snapshot
    manifest: Mapping[str, Any]
    refused: Mapping[str, str] = field(default_factory=dict)


class Restic:
    """restic on one repository, without a lock: one that somebody left must not be in the way."""

    def __init__(self, name: str, certificate: Path, environment: Mapping[str, str]) -> None:
        self.name, self._certificate, self._environment = name, certificate, dict(environment)

    def command(self, *arguments: str) -> list[str]:
        """The whole command; what is secret is in its environment."""
        return ["restic", arguments[0], "--no-lock", "--quiet", "--cacert", str(self._certificate), *arguments[1:]]

    def run(self, *arguments: str, timeout: float = _SECONDS) -> bytes:
        """Its output. Raises ResticFailed, Unreachable."""
        try:
            result = subprocess.run(
                make_mortal(self.command(*arguments)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                env=self._environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(f"restic {arguments[0]} of {self.name} did not end within {timeout:.0f} s") from None
        if result.returncode:
            raise ResticFailed(f"restic {arguments[0]} of {self.name}: {last_lines(result.stderr)}")
        return result.stdout

    @contextmanager
    def stream(self, *arguments: str) -> Iterator[IO[bytes]]:
        """Its output as it comes. Raises ResticFailed at the end."""
        command = make_mortal(self.command(*arguments))
        with (
            _errors() as errors,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=self._environment
            ) as process,
        ):
            assert process.stdout is not None  # noqa: S101 - it is a pipe, as asked
            try:
                yield process.stdout
                code = process.wait()
            except BaseException:
                process.kill()
                raise
            if code:
                raise ResticFailed(f"restic {arguments[0]} of {self.name}: {last_lines(os.pread(errors, 1 << 16, 0))}")

    def read(self, snapshot: str, path: str, limit: int) -> bytes:
        """A file of a snapshot, of at most `limit` bytes. Raises ResticFailed."""
        with self.stream("dump", snapshot, path) as output:
            content = output.read(limit + 1)
            if len(content) > limit:
                raise ResticFailed(f"{path} of {snapshot[:8]} is larger than {limit} bytes")
        return content

    def snapshots(self, site: str, arrivals: Mapping[str, float]) -> list[Snapshot]:
        """The snapshots of a site."""
        found = json.loads(self.run("snapshots", "--json", "--tag", f"site={site}") or b"null")
        return parse_snapshots(found or [], arrivals)

    def manifest(self, snapshot: Snapshot, site: str) -> Any:
        """What a snapshot says of itself; None when that cannot be read."""
        try:
            return json.loads(self.read(snapshot.id, f"{make_staging(site)}/manifest.json", _MANIFEST_BYTES))
        except (ResticFailed, ValueError):
            return None


@contextmanager
def _errors() -> Iterator[int]:
    handle = os.memfd_create("errors")
    try:
        yield handle
    finally:
        os.close(handle)


def last_lines(text: bytes, count: int = 3) -> str:
    """The end of what a program said, on one line."""
    lines = text.decode(errors="replace").strip().splitlines()[-count:]
    return " | ".join(line.strip() for line in lines) or "no reason given"


def make_environment(workspace: Workspace, url: str, secrets: Mapping[str, str], user: str) -> dict[str, str]:
    """restic's environment. The credential is in the URL, since restic 0.14 knows no other way: restic itself hides
    it in what it says. Both are of letters and digits."""
    place = url.replace("rest:https://", f"rest:https://{user}:{secrets['credential']}@", 1)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "RESTIC_REPOSITORY": place,
        "RESTIC_PASSWORD": secrets["key"],
        "RESTIC_CACHE_DIR": str(workspace.state / "cache" / "restic"),
    }


@contextmanager
def opened(context: Context, repository: Repository) -> Iterator[Restic]:
    """The repository, for as long as its tunnel is open. Raises Refused, Unreachable."""
    workspace = context.workspace
    load_authority(workspace)  # raises when it is not made yet
    secrets = _load_secrets(context.secrets, repository)
    (workspace.state / "cache").mkdir(mode=0o700, exist_ok=True)
    with tunnel(workspace, repository) as url:
        environment = make_environment(workspace, url, secrets, repository.name)
        yield Restic(repository.name, workspace.state / "authority" / "authority.pem", environment)


def _load_secrets(store: SecretStore, repository: Repository) -> Mapping[str, str]:
    secrets = store.repository(repository.name)
    if "key" not in secrets:
        expected = f"expected the key of the repository {repository.name}"
        raise Refused([Problem(str(repository.path), 0, "", expected, "bring back the secrets of the platform")])
    return secrets


def load_arrivals(workspace: Workspace, repository: Repository) -> dict[str, float]:
    """When each snapshot arrived, by its file on the vault. Raises Unreachable, SocleError."""
    command = ["find", f"{repository.path}/snapshots", "-maxdepth", "1", "-type", "f", "-printf", r"%f %T@\n"]
    result = run_ssh(workspace, repository.host, command, timeout=_SECONDS)
    if result.returncode:
        raise SocleError(f"{repository.host}: {last_lines(result.stderr)}", "does the vault hold it? run: socle apply")
    return parse_arrivals(result.stdout.decode())


def run_choose(restic: Restic, arrivals: Mapping[str, float], site: Site, at: At) -> Chosen:
    """The snapshot to bring a site back from. Raises InvalidInput when there is no good one."""
    refused: dict[str, str] = {}
    for snapshot in find_candidates(restic.snapshots(site.name, arrivals), site, at)[:_TRIED]:
        manifest = restic.manifest(snapshot, site.name)
        faults = list(find_faults(snapshot, site, manifest))
        if not faults:
            return Chosen(site, snapshot, manifest, refused)
        refused[snapshot.id] = "; ".join(faults)
    raise InvalidInput([make_problem(site, at, refused)])


def choose_all(context: Context, sites: Sequence[Site], at: At) -> tuple[list[Chosen], dict[str, str]]:
    """A snapshot for each site, in their order, and why there is none, by site. Some repositories at a time."""
    by_association: dict[str, list[Site]] = {}
    for site in sites:
        by_association.setdefault(site.association, []).append(site)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        answers = pool.map(lambda own: _choose(context, own, at), by_association.values())
        found = {site: answer for part in answers for site, answer in part.items()}
    chosen = [answer for site in sites if isinstance(answer := found[site.name], Chosen)]
    return chosen, {site: str(answer) for site, answer in found.items() if not isinstance(answer, Chosen)}


def _choose(context: Context, own: Sequence[Site], at: At) -> dict[str, Chosen | SocleError]:
    """For each site of one association, its snapshot or why there is none."""
    found: dict[str, Chosen | SocleError] = {}
    try:
        repository = find_repository(context, own[0].association)
        arrivals = load_arrivals(context.workspace, repository)
        with opened(context, repository) as restic:
            for site in own:
                try:
                    found[site.name] = run_choose(restic, arrivals, site, at)
                except SocleError as error:
                    found[site.name] = error
    except SocleError as error:
        return {site.name: found.get(site.name, error) for site in own}
    return found


def find_repository(context: Context, association: str) -> Repository:
    """The repository of an association. Raises InvalidInput."""
    found = context.plan.repository(association)
    if found is None:
        expected = f"expected a repository of {association}"
        raise InvalidInput([Problem("platform.yml", 0, "hosts", expected, "declare a host with the role vault")])
    return found
