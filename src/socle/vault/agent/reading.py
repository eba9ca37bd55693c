"""Reading repositories: what arrived and when, what the newest snapshots hold, what should not be there.

When something arrived is the time of its file on the vault, which the server wrote: no host can set it. Hosts
can add files, of any content, and have the key: so the list of a snapshot is read as a stream, sizes are bounded,
and nothing of a repository is believed because restic shows it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from socle.vault.agent import programs
from socle.vault.agent.making import find_own_keys, read_record
from socle.vault.agent.programs import Failed, last_lines

KINDS = ("index", "keys", "locks", "snapshots")
ID = re.compile(r"[0-9a-f]{64}")
TEMPORARY = re.compile(r"[0-9a-f]{64}[.-]")
TEMPORARY_SECONDS = 86400.0
"""Files have a longer name until they are whole: one of a day ago is what an upload that was cut left."""
READ_SECONDS = 300.0
NODES = 5_000_000
LINE_BYTES = 1024**2
SNAPSHOTS = 20_000
SMALL_BYTES = 1024**2
"""More than any snapshot, lock or key that restic writes has."""
MANIFEST_BYTES = 8 * 1024**2
PARTS = 10_000
LOCKS = 8
MANIFEST = "manifest.json"
DUMP = "database.sql"
SAFETY = "safety"
"""The tag of what a site was before a restore."""
_BROKEN_INDEX = re.compile(rb"error loading index ([0-9a-f]{64})")
Spec = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A file of a repository: its bytes, when it arrived (epoch seconds), and its time exactly."""

    size: int
    arrival: float
    exact: int


@dataclass
class Scan:
    """What is on the disk: files by kind and name, bytes of everything, names that are not restic's."""

    files: dict[str, dict[str, Entry]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    used: int = 0
    packs: int = 0
    foreign: list[str] = field(default_factory=list)


def read(payload: dict[str, Any]) -> dict[str, Any]:
    """All repositories of the payload, some at a time. One that cannot be read has its `error`; the others are read."""
    repositories = payload["repositories"]
    with ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1, len(repositories) or 1))) as pool:
        answers = pool.map(attempt, repositories, repositories.values())
        return {"repositories": dict(zip(repositories, answers, strict=True))}


def attempt(name: str, spec: Spec) -> Answer:
    answer = new_answer()
    try:
        read_repository(name, spec, answer)
    except (Failed, OSError) as error:
        answer["error"] = str(error)
    except Exception as error:
        # What a host put there, and nobody foresaw, must not end the reading of all others.
        answer["error"] = f"unexpected {error!r}"
    return answer


def new_answer() -> Answer:
    return {
        "error": "",
        "missing": False,
        "unchanged": False,
        "stamp": "",
        "hint": "",
        "used": 0,
        "locks": [],
        "snapshots": [],
        "latest": {},
        "before": {},
        "foreign": [],
    }


def read_repository(name: str, spec: Spec, answer: Answer) -> None:
    """Read one repository into `answer`, from what costs nothing to what costs most: so much of it is known even
    when restic cannot open it."""
    path = Path(spec["path"])
    if not (path / "config").is_file():
        answer["missing"], answer["error"] = True, f"there is no repository at {path}"
        return
    now = time.time()
    scan = scan_repository(path, now)
    foreign = set(scan.foreign) | {f"keys/{key}" for key in find_strange_keys(name, path, scan)}
    answer["used"] = scan.used
    answer["locks"] = [{"id": one, "arrival": entry.arrival} for one, entry in sorted(scan.files["locks"].items())]
    answer["foreign"] = sorted(foreign)
    stamp = make_stamp(scan)
    reader = Reader(str(path), spec["key"], find_hint(spec, scan, foreign))
    if scan.files["locks"]:
        foreign |= read_locks(reader, answer["locks"])
        answer["foreign"] = sorted(foreign)
    if spec.get("stamp") == stamp:
        answer["unchanged"], answer["stamp"], answer["hint"] = True, stamp, reader.hint
        return
    check_sizes(scan)
    reader.run_hint(len(scan.files["keys"]))
    answer["hint"] = reader.hint
    answer["snapshots"] = read_snapshots(reader, scan)
    readable = {one["id"] for one in answer["snapshots"]}
    foreign |= {f"snapshots/{one}" for one in scan.files["snapshots"].keys() - readable}
    answer["foreign"] = sorted(foreign)
    read = read_newest(reader, spec, answer)
    errors = [one["error"] for one in read if one["error"]]
    # Every list loads all index files: when one was read, all of them can be.
    broken = read_broken_indexes(reader, answer["snapshots"]) if errors or not read else set()
    if broken:
        foreign |= {f"index/{one}" for one in broken}
        answer["foreign"] = sorted(foreign)
        raise Failed(f"{len(broken)} of its index files cannot be read")
    answer["stamp"] = "" if errors else stamp


def scan_repository(path: Path, now: float) -> Scan:
    """What is on the disk, links not followed. Everything is one of restic's names, or foreign."""
    scan = Scan()
    for top in os.scandir(path):
        if top.name in KINDS and top.is_dir(follow_symlinks=False):
            _scan_folder(scan, top.name, Path(top.path), now)
        elif top.name == "data" and top.is_dir(follow_symlinks=False):
            for folder in os.scandir(top.path):
                if re.fullmatch("[0-9a-f]{2}", folder.name) and folder.is_dir(follow_symlinks=False):
                    _scan_folder(scan, f"data/{folder.name}", Path(folder.path), now)
                else:
                    scan.foreign.append(f"data/{folder.name}")
        else:
            status = top.stat(follow_symlinks=False)
            scan.used += status.st_size
            if status.st_uid != 0 and top.name != "config":  # root's own marks are ours
                scan.foreign.append(top.name)
    return scan


def _scan_folder(scan: Scan, kind: str, path: Path, now: float) -> None:
    for found in os.scandir(path):
        try:
            status = found.stat(follow_symlinks=False)
        except FileNotFoundError:  # locks come and go
            continue
        scan.used += status.st_size
        if not (ID.fullmatch(found.name) and stat.S_ISREG(status.st_mode)):
            if (
                now - status.st_mtime > TEMPORARY_SECONDS
                or not stat.S_ISREG(status.st_mode)
                or not TEMPORARY.match(found.name)
            ):
                scan.foreign.append(f"{kind}/{found.name}")
        elif kind in ("locks", "snapshots", "keys") and status.st_size > SMALL_BYTES:
            scan.foreign.append(f"{kind}/{found.name}")
        elif kind in scan.files:
            scan.files[kind][found.name] = Entry(status.st_size, status.st_mtime, status.st_mtime_ns)
        else:
            scan.packs += 1


def check_sizes(scan: Scan) -> None:
    """Raises Failed when reading the snapshots would have no end."""
    if len(scan.files["snapshots"]) > SNAPSHOTS:
        raise Failed(f"it has {len(scan.files['snapshots'])} snapshots")


def make_stamp(scan: Scan) -> str:
    """A digest of what decides what can be read: as long as it is the same, nothing new has to be."""
    seen = [
        [kind, name, entry.size, entry.exact]
        for kind in ("index", "keys", "snapshots")
        for name, entry in sorted(scan.files[kind].items())
    ]
    return hashlib.sha256(json.dumps([seen, scan.packs]).encode()).hexdigest()


def find_strange_keys(name: str, path: Path, scan: Scan) -> set[str]:
    """Keys that we did not add. Any of them slows down, and thirty of them end, every opening."""
    return set(scan.files["keys"]) - find_own_keys(str(path), read_record(name))


def find_hint(spec: Spec, scan: Scan, foreign: set[str]) -> str:
    """The key to try first: the one that was right before, or the only one that can be."""
    if spec.get("hint") in scan.files["keys"]:
        return str(spec["hint"])
    own = [key for key in scan.files["keys"] if f"keys/{key}" not in foreign]
    return own[0] if len(own) == 1 else ""


class Reader:
    """restic on one repository, without a lock: what is read is never removed by hosts."""

    def __init__(self, path: str, key: str, hint: str) -> None:
        self.path, self.key, self.hint = path, key, hint

    def arguments(self, arguments: list[str]) -> list[str]:
        hint = ["--key-hint", self.hint] if self.hint else []
        return [*arguments, "--no-lock", *hint]

    def restic(
        self, arguments: list[str], timeout: float = READ_SECONDS, limit: int = programs.OUTPUT_BYTES
    ) -> subprocess.CompletedProcess[bytes]:
        return programs.restic(self.path, self.key, self.arguments(arguments), timeout=timeout, limit=limit)

    def must(self, arguments: list[str], limit: int = programs.OUTPUT_BYTES) -> bytes:
        result = self.restic(arguments, limit=limit)
        if result.returncode:
            raise Failed(f"restic {arguments[0]}: {last_lines(result.stderr or result.stdout)}")
        return result.stdout

    def run_hint(self, keys: int) -> None:
        """Learn which of several keys is ours: each wrong one that is tried costs a slow hash, at each call."""
        if self.hint or keys < 2:
            return
        for one in json.loads(self.must(["key", "list", "--json"])):
            if one.get("current"):
                short = str(one["id"])
                names = (path.name for path in Path(self.path, "keys").iterdir())
                self.hint = next((name for name in names if name.startswith(short)), "")

    @contextmanager
    def lines(self, arguments: list[str]) -> Iterator[Iterator[bytes]]:
        """The lines of a long output as they come. Raises Failed when restic does, or takes too long."""
        handle = programs.make_secret(self.key)
        command = programs.make_command(self.path, handle, self.arguments(arguments))
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                pass_fds=[handle], **programs.RUN_AS,
            )  # fmt: skip
        except OSError as error:
            raise Failed(f"restic cannot start: {error.strerror}") from None
        finally:
            os.close(handle)
        heard: list[bytes] = []
        listener = threading.Thread(target=lambda: heard.append(process.stderr.read(65536)), daemon=True)  # type: ignore[union-attr]
        listener.start()
        timer = threading.Timer(READ_SECONDS, process.kill)
        timer.start()
        try:
            yield read_lines(process.stdout)
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            timer.cancel()
            listener.join(5)
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        if code:
            raise Failed(f"restic {arguments[0]}: {last_lines(b''.join(heard))}")


def read_lines(stream: Any) -> Iterator[bytes]:
    """Lines of a stream. Raises Failed at one that has no end."""
    while line := stream.readline(LINE_BYTES):
        if len(line) == LINE_BYTES:
            raise Failed("it lists a name without end")
        yield line


def read_snapshots(reader: Reader, scan: Scan) -> list[Answer]:
    """The snapshots that can be read, by arrival."""
    if not scan.files["snapshots"]:
        reader.must(["cat", "config"])  # it can be opened
        return []
    found = []
    for one in json.loads(reader.must(["snapshots", "--json"])) or []:
        entry = scan.files["snapshots"].get(one["id"])
        if entry is None:
            continue  # it arrived since: the next read will see it
        summary = one.get("summary") or {}
        tags = dict(tag.partition("=")[::2] for tag in one.get("tags") or () if "=" in tag)
        found.append(
            {
                "id": one["id"],
                "time": one["time"],
                "arrival": entry.arrival,
                "site": tags.get("site", ""),
                "safety": SAFETY in (one.get("tags") or ()),
                "host": one.get("hostname", ""),
                "paths": one.get("paths") or [],
                "files": summary.get("total_files_processed"),
                "bytes": summary.get("total_bytes_processed"),
            }
        )
    return sorted(found, key=lambda one: (one["arrival"], one["id"]))


def read_broken_indexes(reader: Reader, snapshots: list[Answer]) -> set[str]:
    """The index files that restic cannot read: one of them stops every save and every restore."""
    if not snapshots:
        return set()
    # Any list loads all of them; of a folder that is not there it is short.
    result = reader.restic(["ls", "--json", snapshots[-1]["id"], "/socle-nothing"])
    if not result.returncode:
        return set()
    result = reader.restic(["check"])
    return {found.decode() for found in _BROKEN_INDEX.findall(result.stdout + result.stderr)}


def read_newest(reader: Reader, spec: Spec, answer: Answer) -> list[Answer]:
    """The newest snapshot of each site, unless it is known; and the one before it, of those of `before`. Those that
    were read."""
    read = []
    known = spec.get("known") or {}
    asked = set(spec.get("before") or ())
    for site, places in spec["sites"].items():
        own = [one for one in answer["snapshots"] if one["site"] == site]
        if not own:
            continue
        newest = own[-1]["id"]
        answer["latest"][site] = {"snapshot": newest}
        if newest != known.get(site):
            read.append(read_snapshot(reader, newest, places))
            answer["latest"][site] = read[-1]
        if site in asked and len(own) > 1:
            read.append(read_snapshot(reader, own[-2]["id"], places))
            answer["before"][site] = read[-1]
    return read


def read_snapshot(reader: Reader, identity: str, places: dict[str, str]) -> Answer:
    """What a snapshot holds, and its manifest. `error` says why that could not be read."""
    found: Answer = {"snapshot": identity, "manifest": None, "listed": None, "error": ""}
    try:
        with reader.lines(["ls", "--json", identity]) as lines:
            listed = parse_list(lines, places["folder"], places["staging"])
        size = listed["parts"].get(MANIFEST)
        if size is not None and size <= MANIFEST_BYTES:
            # The size that is listed is the host's word; what there is may be more.
            text = reader.must(["dump", identity, f"{places['staging']}/{MANIFEST}"], limit=MANIFEST_BYTES)
            found["manifest"] = parse_json(text)
        found["listed"] = listed
    except (Failed, ValueError, TypeError) as error:
        found["error"] = str(error)
    return found


def parse_json(text: bytes) -> Any:
    """What JSON says; None when it is none, or deeper than anything of ours."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_list(lines: Iterator[bytes], folder: str, staging: str) -> Answer:
    """Sums over restic's list of a snapshot. Raises Failed when it has no end."""
    listed: Answer = {"folder": False, "entries": 0, "files": 0, "bytes": 0, "dump": None, "parts": {}}
    parts = listed["parts"]
    for count, line in enumerate(lines):
        if count > NODES:
            raise Failed(f"it lists more than {NODES} files")
        node = json.loads(line)
        path, size = str(node.get("path", "")), int(node.get("size") or 0)
        is_file = node.get("type") == "file"
        if path == folder and node.get("type") == "dir":
            listed["folder"] = True
        elif path.startswith(f"{folder}/"):
            listed["entries"] += 1
            listed["files"] += is_file
            listed["bytes"] += size if is_file else 0
        elif is_file and path.startswith(f"{staging}/") and len(parts) < PARTS:
            parts[path[len(staging) + 1 :]] = size
    listed["dump"] = parts.get(DUMP)
    return listed


def read_locks(reader: Reader, locks: list[Answer]) -> set[str]:
    """Say of each lock who has it; those that cannot be read are foreign, and stop every save."""
    foreign = set()
    for lock in locks[:LOCKS]:
        result = reader.restic(["cat", "lock", lock["id"]])
        if not result.returncode:
            holder = parse_json(result.stdout) or {}
            kind = "exclusive lock" if holder.get("exclusive") else "lock"
            lock["holder"] = f"{kind} of {holder.get('hostname', '?')}, pid {holder.get('pid', '?')}"
        elif Path(reader.path, "locks", lock["id"]).exists():
            foreign.add(f"locks/{lock['id']}")
    return foreign
