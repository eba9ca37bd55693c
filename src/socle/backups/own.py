"""The platform's own backup: requests, allocations, secrets, Pulumi's state, the journal. This machine saves it.

What is saved is a copy, with a list of its files and a manifest, as of any site: so that it is judged, and compared
after a restore, in the same way. Caches, logs, locks and sockets are left out.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from socle.authority import load_authority
from socle.backups.facts import Attempt, Expected, parse_attempt, render_time
from socle.errors import SocleError
from socle.files import run_write
from socle.load.workspace import Workspace
from socle.model.plan import Repository
from socle.runs.process import run
from socle.stages.base import Context
from socle.vault.tunnel import tunnel

SITE = "platform"
ASSOCIATION = ""
CONTROL = ("associations", "inventories", "backups")
LEFT_OUT = frozenset(
    {"ansible", "backups/staging", "backups/lock", "backups/memory.lock", "lock", "logs", "pulumi/home"}
)
"""Of the state folder: what is made again by itself, and what is true only now."""
_SECONDS = 1800.0
_PROBE_SECONDS = 20.0
_REFUSALS = {
    401: "it does not accept our credential; run: socle apply",
    404: "it has no such repository; run: socle apply",
}
_PIECE = 1024**2


def find_staging(workspace: Workspace) -> Path:
    """Where the copy is made."""
    return workspace.state / "backups/staging" / SITE


def make_expected_platform(workspace: Workspace, repository: Repository) -> Expected:
    """The platform as something to be saved."""
    staging = find_staging(workspace)
    return Expected(
        association=ASSOCIATION,
        site=SITE,
        service=SITE,
        host="",
        repository=repository.name,
        quota=repository.quota,
        folder=str(staging / "files"),
        staging=str(staging / "proof"),
        database=False,
    )


def load_own_attempt(workspace: Workspace) -> Attempt | None:
    """What came of the last attempt; None before the first."""
    try:
        return parse_attempt(json.loads(_find_result(workspace).read_bytes()))
    except (OSError, ValueError):
        return None


def _find_result(workspace: Workspace) -> Path:
    return workspace.state / "backups/results" / f"{SITE}.json"


def run_save_platform(context: Context, repository: Repository) -> Attempt:
    """Save the platform, and record how that went. Never raises for what it could not do."""
    workspace = context.workspace
    began, snapshot, reason = time.time(), "", ""
    try:
        with _alone(workspace):
            staging = find_staging(workspace)
            try:
                run_stage(workspace, staging, began)
                snapshot = _run_restic(context, repository, staging)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except (SocleError, OSError) as error:
        reason = str(error)
    times = {"began": render_time(began), "ended": render_time(time.time())}
    result = "failed" if reason else "complete"
    record = {"site": SITE, "result": result, "reason": reason, "snapshot": snapshot, **times}
    run_write(_find_result(workspace), json.dumps(record).encode())
    attempt = parse_attempt(record)
    assert attempt  # noqa: S101 - for the type: we made it above
    return attempt


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """One save of the platform at a time; raises SocleError when there is another."""
    path = workspace.state / "backups/lock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise SocleError("another save of the platform is at work") from None
    finally:
        os.close(handle)


def run_stage(workspace: Workspace, staging: Path, began: float) -> None:
    """Copy what is to be saved below `staging`/files, with its list and manifest in `staging`/proof."""
    shutil.rmtree(staging, ignore_errors=True)
    files, proof = staging / "files", staging / "proof"
    for folder in (files, proof):
        folder.mkdir(mode=0o700, parents=True)
    for name in CONTROL:
        if (workspace.root / name).is_dir():
            run_copy(workspace.root / name, files / "control" / name)
    run_copy(workspace.state, files / "state", LEFT_OUT)
    lines = [json.dumps(line, sort_keys=True) for line in make_list(files)]
    text = "".join(f"{line}\n" for line in lines).encode()
    (proof / "files.jsonl").write_bytes(text)
    manifest = make_manifest(files, text, began)
    (proof / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))


def run_copy(source: Path, target: Path, left_out: frozenset[str] = frozenset(), below: str = "") -> None:
    """Copy files, folders and links, with their modes; sockets and what is gone meanwhile are passed over."""
    target.mkdir(mode=0o700, parents=True)
    for entry in sorted(os.scandir(source), key=lambda one: one.name):
        path = f"{below}{entry.name}"
        if path in left_out:
            continue
        try:
            if entry.is_symlink():
                (target / entry.name).symlink_to(Path(entry.path).readlink())
            elif entry.is_dir():
                run_copy(Path(entry.path), target / entry.name, left_out, f"{path}/")
            elif entry.is_file():
                shutil.copy2(entry.path, target / entry.name, follow_symlinks=False)
        except FileNotFoundError:
            continue


def make_list(folder: Path) -> Iterator[dict[str, Any]]:
    """One line per entry below `folder`, sorted by the parts of its path, in the form that hosts use for sites."""
    for path in sorted(
        folder.rglob("*"), key=lambda one: [os.fsencode(part) for part in one.relative_to(folder).parts]
    ):
        status = path.lstat()
        line = {
            "path": str(path.relative_to(folder)),
            "mode": stat.S_IMODE(status.st_mode),
            "mtime": status.st_mtime_ns,
        }
        line |= {"uid": status.st_uid, "gid": status.st_gid, "size": 0, "sha256": "", "target": ""}
        if stat.S_ISLNK(status.st_mode):
            line |= {"type": "link", "target": str(path.readlink())}
        elif stat.S_ISDIR(status.st_mode):
            line |= {"type": "directory"}
        else:
            line |= {"type": "file", "size": status.st_size, "sha256": hash_file(path)}
        yield line


def hash_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def make_manifest(files: Path, listing: bytes, began: float) -> dict[str, Any]:
    """What the snapshot will hold."""
    sizes = [path.stat().st_size for path in files.rglob("*") if path.is_file() and not path.is_symlink()]
    return {
        "format": 1,
        "site": SITE,
        "association": ASSOCIATION,
        "service": SITE,
        "host": socket.gethostname(),
        "began": render_time(began),
        "ended": render_time(time.time()),
        "versions": {"socle": version("socle")},
        "files": {"count": len(sizes), "bytes": sum(sizes), "sha256": hashlib.sha256(listing).hexdigest()},
        "database": None,
        "sqlite": {},
    }


def make_backup(staging: Path, certificate: Path, host: str) -> list[str]:
    """restic's arguments; where to and with which key is in its environment, where only root looks."""
    tags = [f"site={SITE}", f"association={ASSOCIATION}", "format=1"]
    tagged = [word for tag in tags for word in ("--tag", tag)]
    paths = [str(staging / "files"), str(staging / "proof")]
    return ["restic", "backup", "--json", "--no-cache", "--cacert", str(certificate), "--host", host, *tagged, *paths]


def _run_restic(context: Context, repository: Repository, staging: Path) -> str:
    """Send it to the vault; the snapshot's id. Raises SocleError."""
    secrets = context.secrets.repository(repository.name)
    if not secrets:
        raise SocleError("the platform's repository has no key yet", "run: socle apply")
    certificate = staging / "authority.pem"
    certificate.write_bytes(load_authority(context.workspace))
    with tunnel(context.workspace, repository) as url:
        run_probe(url, repository.name, secrets["credential"], certificate)
        scheme, _, place = url.partition("://")
        full = f"{scheme}://{repository.name}:{secrets['credential']}@{place}"
        environment = {"RESTIC_REPOSITORY": full, "RESTIC_PASSWORD": secrets["key"]}
        arguments = make_backup(staging, certificate, socket.gethostname())
        result = run(arguments, timeout=_SECONDS, environment=environment)
    return parse_snapshot(result.stdout)


def run_probe(url: str, user: str, credential: str, certificate: Path) -> None:
    """Ask the vault's server for the repository's configuration: restic would try for a quarter of an hour. Raises
    SocleError, which says what is wrong."""
    parts = urlsplit(url.removeprefix("rest:"))
    token = base64.b64encode(f"{user}:{credential}".encode()).decode()
    trust = ssl.create_default_context(cafile=str(certificate))
    server = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=_PROBE_SECONDS, context=trust)
    try:
        server.request("HEAD", f"{parts.path.rstrip('/')}/config", headers={"Authorization": f"Basic {token}"})
        status = server.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise SocleError(f"the vault's server does not answer: {error}") from None
    finally:
        server.close()
    if status != http.HTTPStatus.OK:
        raise SocleError(f"the vault's server refuses: HTTP status {status}", _REFUSALS.get(status, ""))


def parse_snapshot(output: bytes) -> str:
    """The snapshot's id in what `restic backup --json` said. Raises SocleError when there is none."""
    for line in reversed(output.splitlines()):
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and message.get("message_type") == "summary" and message.get("snapshot_id"):
            return str(message["snapshot_id"])
    raise SocleError("restic named no snapshot")
