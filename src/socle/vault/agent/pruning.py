"""What only the vault's side may do: forget, verify, and set aside what should not be there.

Hosts can neither change nor delete. So what they add against us is moved out of the repository here: not deleted,
but kept, with a record, where the server does not reach; only what is too large to be kept is deleted.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from socle.vault.agent import programs
from socle.vault.agent.programs import Failed, last_lines
from socle.vault.agent.reading import (
    ID,
    Reader,
    Spec,
    find_hint,
    find_strange_keys,
    parse_json,
    scan_repository,
)

ASIDE = Path("/var/lib/socle/vault-aside")
LOCKS = Path("/run")
WAIT_SECONDS = 300.0
LOCK_SECONDS = 1800.0
"""restic writes its lock again every five minutes: an older one than this has lost its client."""
FORGET_SECONDS = 3600.0
CHECK_SECONDS = 3 * 3600.0
BATCH = 100
KEPT_BYTES = 16 * 1024**2
"""A larger file is deleted, not kept: what fills the repository must not fill the vault's own disk."""
ASIDE_BYTES = 256 * 1024**2
PACK_SECONDS = 3600.0
"""A pack that no index names is of a save that was cut, or of nobody; or of one that goes on."""
_NAME = re.compile(r"(?:(?:index|keys|locks|snapshots|data|data/[0-9a-f]{2})/)?[^/\0]+")
_OWN = re.compile(r"config|data|index|keys|locks|snapshots|\.{1,2}|data/[0-9a-f]{2}|data/[0-9a-f]{2}/[0-9a-f]{64}")
_CHECKED = (0, 1)
"""How `restic check` ends when it has looked; with others when it was killed, or could not open the repository."""
Answer = dict[str, Any]


def for_each(payload: dict[str, Any], action: Callable[[str, Spec, Answer], None], workers: int) -> dict[str, Any]:
    """Do `action` for all repositories, some at a time. What fails for one is its `error`."""

    def attempt(name: str, spec: Spec) -> Answer:
        answer: Answer = {"error": ""}
        start = time.monotonic()
        try:
            if not Path(spec["path"], "config").is_file():
                raise Failed(f"there is no repository at {spec['path']}")
            with alone(name):
                action(name, spec, answer)
        except (Failed, OSError) as error:
            answer["error"] = str(error)
        except Exception as error:
            # What a host put there, and nobody foresaw, must not end the work on all others.
            answer["error"] = f"unexpected {error!r}"
        answer["seconds"] = round(time.monotonic() - start, 1)
        return answer

    repositories = payload["repositories"]
    with ThreadPoolExecutor(workers) as pool:
        answers = pool.map(attempt, repositories, repositories.values())
        return {"repositories": dict(zip(repositories, answers, strict=True))}


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One of us at a time in a repository, also when the controller of the other is gone. Raises Failed."""
    handle = os.open(LOCKS / f"socle-vault.{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Failed("another run is at work in this repository: run again when it has ended") from None
                time.sleep(0.2)
        yield
    finally:
        os.close(handle)


def forget(payload: dict[str, Any]) -> dict[str, Any]:
    """Forget the snapshots `ids` of each repository, and what only they needed. `forgotten`: those that are gone."""
    return for_each(payload, forget_in, workers=1)


def forget_in(name: str, spec: Spec, answer: Answer) -> None:
    folder = Path(spec["path"], "snapshots")
    ids = [str(one) for one in spec["ids"]]
    answer["forgotten"] = []
    if wrong := [one for one in ids if not ID.fullmatch(one)]:
        raise Failed(f"expected the id of a snapshot: {wrong[0][:80]}")
    answer["unlocked"] = clear_locks(Path(spec["path"]))
    reader = make_reader(name, spec)
    check_left(reader, ids)
    try:
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            last = start + BATCH >= len(ids)
            run(reader, ["forget", *batch, *(["--prune"] if last else [])], FORGET_SECONDS)
    finally:
        answer["forgotten"] = [one for one in ids if not (folder / one).exists()]


def check_left(reader: Reader, ids: list[str]) -> None:
    """Whatever the controller asked: no site loses its last snapshot. Raises Failed."""
    left: dict[str, int] = {}
    for one in json.loads(reader.must(["snapshots", "--json"])) or []:
        site = next((tag for tag in one.get("tags") or () if tag.startswith("site=")), "")
        left[site] = left.get(site, 0) + (one["id"] not in ids)
    if emptied := sorted(site for site, count in left.items() if not count):
        raise Failed(f"nothing is forgotten: the last snapshot of {emptied[0] or 'a site'} would be")


def make_reader(name: str, spec: Spec) -> Reader:
    """restic with the key that opens the repository, whatever other keys were added."""
    path = Path(spec["path"])
    scan = scan_repository(path, time.time())
    strange = {f"keys/{key}" for key in find_strange_keys(name, path, scan)}
    return Reader(str(path), spec["key"], find_hint(spec, scan, strange))


def run(reader: Reader, arguments: list[str], timeout: float) -> bytes:
    """restic with a lock, which must succeed. Raises Failed."""
    hint = ["--key-hint", reader.hint] if reader.hint else []
    result = programs.restic(reader.path, reader.key, [*arguments, *hint], timeout=timeout)
    if result.returncode:
        raise Failed(f"restic {arguments[0]}: {last_lines(result.stderr or result.stdout)}")
    return result.stdout


def clear_locks(path: Path) -> list[str]:
    """Take away the locks whose client died, by when they arrived: the time inside is the client's."""
    cleared = []
    for lock in os.scandir(path / "locks"):
        try:
            if time.time() - lock.stat(follow_symlinks=False).st_mtime > LOCK_SECONDS:
                Path(lock.path).unlink()
                cleared.append(lock.name)
        except FileNotFoundError:
            continue
    return sorted(cleared)


def check(payload: dict[str, Any]) -> dict[str, Any]:
    """Verify each repository, and read a `subset` of its data (restic's --read-data-subset). Nothing is locked: saves
    go on meanwhile, and the agent itself never prunes at the same time. `looked`: restic came to its end, so that an
    error is what it found; any other is why it was not looked at."""

    def check_in(name: str, spec: Spec, answer: Answer) -> None:
        answer["looked"] = False
        reader = make_reader(name, spec)
        result = reader.restic(["check", "--read-data-subset", str(spec["subset"])], CHECK_SECONDS)
        answer["looked"] = result.returncode in _CHECKED
        if result.returncode:
            raise Failed(f"restic check: {last_lines(result.stderr or result.stdout)}")
        answer["said"] = last_lines(result.stdout, 1)

    return for_each(payload, check_in, workers=1)


def set_aside(payload: dict[str, Any]) -> dict[str, Any]:
    """Move the files `names` of each repository out of it, and clear the locks of dead clients. With `sweep`, delete
    packs that no index names: they fill it, and nothing can be restored from them. Then see whether it opens."""
    return for_each(payload, set_aside_in, workers=1)


def set_aside_in(name: str, spec: Spec, answer: Answer) -> None:
    path = Path(spec["path"])
    answer["aside"], answer["unlocked"] = [], clear_locks(path)
    target = ASIDE / name / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    strange = find_strange_keys(name, path, scan_repository(path, time.time()))
    for one in spec.get("names") or ():
        check_name(one, strange)
        if moved := move_aside(path, str(one), target):
            answer["aside"].append(moved)
    reader = make_reader(name, spec)
    if spec.get("sweep"):
        answer["swept"] = sweep(path, reader)
    reader.must(["snapshots", "--json"])


def check_name(name: str, strange: set[str]) -> None:
    """Only what is no part of the repository, or was added to it, is moved. Raises Failed."""
    kind, _, file = name.rpartition("/")
    own_key = kind == "keys" and ID.fullmatch(file) and file not in strange
    if not _NAME.fullmatch(name) or _OWN.fullmatch(name) or file in (".", "..") or own_key:
        raise Failed(f"expected a file that can be set aside: {name[:100]!r}")


def move_aside(path: Path, name: str, target: Path) -> Answer | None:
    """Move one file out of the repository; None when it is gone. Its record is written before it goes."""
    source = path / name
    try:
        status = source.lstat()
    except FileNotFoundError:
        return None
    regular = stat.S_ISREG(status.st_mode)
    keep = regular and status.st_size <= KEPT_BYTES and measure(ASIDE) + status.st_size <= ASIDE_BYTES
    moved = {"name": name, "bytes": status.st_size, "arrival": status.st_mtime, "kept": keep}
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (target / "record.jsonl").open("a", encoding="utf-8") as record:
        record.write(json.dumps(moved) + "\n")
        record.flush()
        os.fsync(record.fileno())
    if keep:
        copy = target / name.replace("/", "_")
        copy_file(source, copy)
        os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(source)
    else:
        source.unlink()
    return moved


def copy_file(source: Path, copy: Path) -> None:
    """Copy what is a file now, whatever is put in its place meanwhile."""
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as reading, copy.open("wb") as writing:
        os.fchmod(writing.fileno(), 0o600)
        shutil.copyfileobj(reading, writing)
        writing.flush()
        os.fsync(writing.fileno())


def measure(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(found.lstat().st_size for found in folder.rglob("*") if not found.is_dir())


def read_named(reader: Reader, index: str) -> set[str]:
    """The packs that an index names. Raises Failed when it is no index."""
    content = parse_json(reader.must(["cat", "index", index]))
    try:
        return {str(pack["id"]) for pack in content["packs"] or ()}
    except (KeyError, TypeError):
        raise Failed(f"the index {index[:8]} cannot be read: nothing is swept") from None


def sweep(path: Path, reader: Reader) -> Answer:
    """Delete the packs that no index names and that arrived a while ago. restic itself would need room to do it.
    Raises Failed, and deletes nothing, when an index cannot be read: what it names would be deleted."""
    named: set[str] = set()
    for index in sorted((path / "index").iterdir()):
        named |= read_named(reader, index.name)
    swept = {"packs": 0, "bytes": 0}
    for pack in (path / "data").glob("*/*"):
        status = pack.lstat()
        if pack.name not in named and time.time() - status.st_mtime > PACK_SECONDS and stat.S_ISREG(status.st_mode):
            pack.unlink()
            swept["packs"] += 1
            swept["bytes"] += status.st_size
    return swept
