"""The vault: whether it lets us in, and restic's saves to it. Key and credential go by the environment, byte for
byte (case A5): never in an argument, an address or a log."""

from __future__ import annotations

import base64
import errno
import http.client
import json
import os
import re
import ssl
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from backup_host.files import Changes
from backup_host.programs import Failed, Lines, Run, last_lines, make_environment, run_program, started

CERTIFICATE = "/etc/socle/vault.pem"
CACHE = Path("/var/cache/socle-backup")
PROBE_SECONDS = 20.0
SAVE_SECONDS = 8 * 3600.0
LOCK_PATIENCE = "2m"
STALE_MINUTES = 30  # after which restic itself calls a lock stale
_READABLE = ("/etc/group", "/etc/hosts", "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd")
_READ = "read-file,read-dir"
_WRITE = f"{_READ},write-file,make-reg,make-dir,remove-file,remove-dir,refer,truncate"
_VANISHED = os.strerror(errno.ENOENT).lower()
_NOT_WRITTEN = re.compile(r"^Save\(.*retrying after .*\(500\)")
"""What restic-rest-server answers when a repository's volume is full; a vault in other trouble may, for a while."""
_REFUSALS = 5  # of a write, before it is taken for the lack of room: some 15 seconds
_NO_ROOM = re.compile(r"\b507\b|insufficient storage|no space left|quota exceeded|would exceed", re.IGNORECASE)
_LOCKED = re.compile(r"locked (?:exclusively )?by (?P<who>PID \d+ on \S+).*?\((?P<age>[0-9hms.]+) ago\)", re.DOTALL)
_AGE = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?")
_MEANINGS = {10: "the vault has no repository there", 12: "the repository does not accept this site's key"}


@dataclass
class Outcome:
    """What restic said of a save: its snapshot, and what it could not read."""

    snapshot: str = ""
    unread: Changes = field(default_factory=Changes)
    vanished: Changes = field(default_factory=Changes)
    problem: str = ""
    """Why there is no snapshot."""


def run_probe(url: str, user: str, credential: str) -> None:
    """Ask the vault for the repository's configuration, before any work is done. Raises Failed, naming what is
    wrong; restic would try again for a quarter of an hour."""
    if not url.startswith("rest:http"):
        return
    parts = urlsplit(url.removeprefix("rest:"))
    token = base64.b64encode(f"{user}:{credential}".encode()).decode()
    try:
        connection = _connect(parts.scheme, parts.hostname or "", parts.port)
        try:
            connection.request("HEAD", f"{parts.path.rstrip('/')}/config", headers={"Authorization": f"Basic {token}"})
            status = connection.getresponse().status
        finally:
            connection.close()
    except ssl.SSLError as error:
        raise Failed(f"the vault at {parts.netloc} is not the one we trust: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"the vault at {parts.netloc} does not answer: {error}") from None
    if problem := find_refusal(status):
        raise Failed(f"{problem} (HTTP status {status})")


def _connect(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=PROBE_SECONDS)
    context = ssl.create_default_context(cafile=CERTIFICATE)
    return http.client.HTTPSConnection(host, port, timeout=PROBE_SECONDS, context=context)


def find_refusal(status: int) -> str:
    """What a status of the vault means; nothing when it lets us in."""
    meanings = {
        200: "",
        401: "the vault does not accept this host's credential",
        403: "the vault does not let this host into the repository",
        404: _MEANINGS[10],
    }
    return meanings.get(status, "the vault is in trouble")


def make_secrets(config: Mapping[str, Any]) -> dict[str, str]:
    """restic's environment: what nobody else may see."""
    return make_environment(
        HOME="/root",
        RESTIC_REPOSITORY=config["url"],
        RESTIC_PASSWORD=config["key"],
        RESTIC_REST_USERNAME=config["user"],
        RESTIC_REST_PASSWORD=config["credential"],
        RESTIC_CACHE_DIR=str(CACHE / "restic"),
        TMPDIR=str(CACHE / "tmp"),
        # Less memory for a little more work: it shares its host with sites.
        GOGC="50",
    )


def make_backup(config: Mapping[str, Any], host: str, staging: str, patterns: Iterable[str]) -> list[str]:
    """The command of a save: the site's folder and what was prepared, one snapshot."""
    folder = config["folder"]
    tags = {"site": config["site"], "association": config["association"], "format": "1"}
    return [
        "restic",
        "backup",
        "--json",
        "--quiet",
        "--no-scan",
        "--cleanup-cache",
        *(["--cacert", CERTIFICATE] if config["url"].startswith("rest:https:") else []),
        *("--retry-lock", LOCK_PATIENCE),
        *("--host", host),
        *(part for name, value in tags.items() for part in ("--tag", f"{name}={value}")),
        *(part for tag in config.get("tags", ()) for part in ("--tag", tag)),
        *(part for pattern in patterns for part in ("--exclude", f"{folder}/{pattern}")),
        "--",
        folder,
        staging,
    ]


def make_confined(arguments: Sequence[str], config: Mapping[str, Any], staging: str) -> list[str]:
    """The command, able to open the site's folder, what was prepared, and next to nothing else (Landlock). restic
    opens files by their paths: whoever swaps a folder for a link as it goes by would have it save what is another's."""
    rules = [("execute," + _READ, "/usr"), (_READ, config["folder"]), (_READ, staging), (_WRITE, str(CACHE))]
    rules += [("read-file", path) for path in (*_READABLE, CERTIFICATE) if Path(path).is_file()]
    if not config["url"].startswith("rest:"):
        rules.append((_WRITE, config["url"]))
    return [
        "setpriv",
        *("--landlock-access", "fs"),
        *(part for access, path in rules for part in ("--landlock-rule", f"path-beneath:{access}:{path}")),
        "--",
        *arguments,
    ]


@cache
def can_confine() -> bool:
    """Whether the kernel and setpriv know Landlock."""
    probe = ["setpriv", "--landlock-access", "fs", "--landlock-rule", "path-beneath:execute,read-file:/usr", "true"]
    return run_program(probe, timeout=60).returncode == 0


def run_backup(config: Mapping[str, Any], host: str, staging: str, patterns: Iterable[str]) -> Outcome:
    """Save to the vault. Raises Failed when restic is not there, or takes too long."""
    arguments = make_backup(config, host, staging, patterns)
    if can_confine():
        arguments = make_confined(arguments, config, staging)
    for folder in ("restic", "tmp"):
        (CACHE / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    report = Report(config["folder"])
    with started(
        arguments, timeout=SAVE_SECONDS, env=make_secrets(config), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        reader = threading.Thread(target=_read_errors, args=(run, report), daemon=True)
        reader.start()
        assert run.process.stdout  # noqa: S101 (it is a pipe, as asked)
        output = run.process.stdout.read()
        reader.join()
    return report.make_outcome(run.process.returncode, output)


def _read_errors(run: Run, report: Report) -> None:
    stream: IO[bytes] = run.process.stderr  # type: ignore[assignment]
    for line in stream:
        report.add(line)
        if report.no_room:
            # restic would try for a quarter of an hour.
            run.process.terminate()


class Report:
    """What restic says on its standard error, line by line."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lines = Lines()
        self.unread, self.vanished = Changes(), Changes()
        self._refused = 0

    @property
    def no_room(self) -> bool:
        """Whether the vault goes on refusing what restic writes."""
        return self._refused >= _REFUSALS

    def add(self, line: bytes) -> None:
        """Take in a line: JSON, or whatever it says. A name that is not UTF-8 is none of its troubles."""
        text = line.decode(errors="surrogateescape").strip()
        if "retrying" in text and _NO_ROOM.search(text):
            self._refused = _REFUSALS
        self._refused += bool(_NOT_WRITTEN.match(text))
        item, message = parse_line(text)
        if item:
            self._note(item, message)
        if message:
            self._lines.add(os.fsencode(message))

    def _note(self, item: str, message: str) -> None:
        """What is gone when restic comes to it was removed as it should be; all else it could not read."""
        gone = message.lower().endswith(_VANISHED) and item != self._folder and not os.path.lexists(item)
        (self.vanished if gone else self.unread).add(item.removeprefix(f"{self._folder}/"))

    def make_outcome(self, code: int, output: bytes) -> Outcome:
        """What came of it: a snapshot only if restic names it (exit codes: restic backup --help)."""
        text = self._lines.text
        if self.no_room or (code and _NO_ROOM.search(text)):
            return Outcome(problem=f"the vault does not write: no room left for this repository? {last_lines(text, 1)}")
        snapshot = find_snapshot(output)
        if code not in (0, 3) or not snapshot:
            return Outcome(problem=find_problem(code, text))
        outcome = Outcome(snapshot, self.unread, self.vanished)
        if "does not exist, skipping" in text or (code == 3 and not (self.unread.count or self.vanished.count)):
            outcome.unread.add(last_lines(text, 1))
        return outcome


def parse_line(text: str) -> tuple[str, str]:
    """What a line is about, if it is the error of a file; and what it says."""
    try:
        data = json.loads(text)
        if data.get("message_type") == "error":
            return str(data.get("item") or ""), str(data["error"]["message"])
        return "", str(data["message"])
    except (ValueError, AttributeError, KeyError, TypeError):
        return "", text


def find_snapshot(output: bytes) -> str:
    """The snapshot that restic's summary names."""
    for line in output.split(b"\n"):
        try:
            data = json.loads(line.decode(errors="surrogateescape"))
        except ValueError:
            continue
        if isinstance(data, dict) and data.get("message_type") == "summary":
            return str(data.get("snapshot_id", ""))
    return ""


def find_problem(code: int, text: str) -> str:
    """Why restic made no snapshot."""
    if code == 11 or "already locked" in text:
        return find_lock(text)
    if "401 Unauthorized" in text:
        return find_refusal(401)
    meaning = _MEANINGS.get(code, f"restic ended with {code} and made no snapshot")
    return f"{meaning}: {last_lines(text)}" if text else meaning


def find_lock(text: str) -> str:
    """Who has the repository locked, and whether that is likely to be a dead client."""
    lock = _LOCKED.search(text)
    if not lock:
        return f"the repository is locked: {last_lines(text)}"
    hours, minutes = (int(part or 0) for part in _AGE.match(lock["age"]).groups())  # type: ignore[union-attr]
    stale = hours * 60 + minutes >= STALE_MINUTES
    what = "the lock of a dead client, to be removed on the vault" if stale else "perhaps still at work"
    return f"the repository is locked by {lock['who']} for {lock['age']}: {what}"
