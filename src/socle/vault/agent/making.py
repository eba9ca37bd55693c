"""Making repositories and the accounts of the server, and saying which there are.

Of each repository a record is kept, on the vault's own disk and not in the repository, which its host
writes: its id, for which escrow key it can be opened, and which keys we added: any other came from a host. A record
that is lost is made again from the repository. What exists is never made anew, and no key is taken away before another
one is there.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from socle.vault.agent.programs import USER, Failed, must

RECORDS = Path("/var/lib/socle/vault")
ACCOUNTS = Path("/etc/socle/vault/htpasswd")
UNIT = "socle-vault.service"
ESCROW = "escrow"
PARALLEL = 2
_NAME = re.compile(r"_?[a-z0-9-]+")
_HASH = re.compile(r"\{SHA\}[A-Za-z0-9+/=]{28}")
KEY_SECONDS = 3600.0
"""Without a record, keys that came with the repository are taken to be ours; those that came later are not."""
Record = dict[str, Any]
"""`id` of the repository; `recipient`: the escrow key that its second key is sealed for, or empty; `sealed`: a digest
of what was sealed; `keys`: the names of the key files that we added."""


def look(payload: dict[str, Any]) -> dict[str, Any]:
    """What there is of each repository of the payload: whether its volume is mounted, its record, its account."""
    accounts = read_accounts()
    found = {}
    for name, wanted in payload["repositories"].items():
        path = wanted["path"]
        found[name] = {
            "mounted": os.path.ismount(path),
            "exists": Path(path, "config").is_file(),
            "account": accounts.get(name, ""),
            **read_record(name),
        }
    return {"repositories": found, "accounts": sorted(accounts)}


def make(payload: dict[str, Any]) -> dict[str, Any]:
    """Make what is missing of each repository, then the accounts of all. `errors`: what went wrong, by name."""
    errors: dict[str, str] = {}
    records: dict[str, Record] = {}

    def attempt(name: str) -> None:
        try:
            records[name] = make_repository(name, payload["repositories"][name])
        except (Failed, OSError) as error:
            errors[name] = str(error)
        except Exception as error:
            # What a host put there, and nobody foresaw, must not end the work on all others.
            errors[name] = f"unexpected {error!r}"

    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(attempt, payload["repositories"]))
    write_accounts(payload["accounts"])
    return {"repositories": records, "errors": errors}


def make_repository(name: str, wanted: dict[str, Any]) -> Record:
    """One repository: its folder, restic's files, its second key. Returns its record."""
    path, key = wanted["path"], wanted["key"]
    if not os.path.ismount(path):
        raise Failed(f"the volume of {name} is not mounted on {path}")
    owner = pwd.getpwnam(USER)
    os.chown(path, owner.pw_uid, owner.pw_gid)
    Path(path).chmod(0o700)
    record = read_record(name)
    if not Path(path, "config").is_file():
        if wanted["known"]:
            raise Failed(f"its repository {wanted['known']} is gone from {path}: its backups were lost or moved")
        must(path, key, ["init"])
        record = {}
    identity = record.get("id") or json.loads(must(path, key, ["cat", "config"]))["id"]
    keys = find_own_keys(path, record)
    escrow = {field: record.get(field, "") for field in ("recipient", "sealed")}
    if wanted["escrow"]:
        # Whatever is on record: another agent may have written it since the controller looked, and what the controller
        # has sealed is the key that it sends now.
        keys |= add_escrow(path, key, wanted["escrow"]["key"])
        escrow = {field: wanted["escrow"][field] for field in escrow}
    record = {"id": identity, **escrow, "keys": sorted(keys & list_keys(path))}
    write_record(name, record)
    return record


def add_escrow(path: str, key: str, new_key: str) -> set[str]:
    """Let the escrow's key open the repository, then no former one of it. The name of the key that was added."""
    before = [one["id"] for one in json.loads(must(path, key, ["key", "list", "--json"])) if one["userName"] == ESCROW]
    there = list_keys(path)
    must(path, key, ["key", "add", "--user", ESCROW, "--host", ESCROW], new_key=new_key)
    added = list_keys(path) - there
    for identity in before:
        must(path, key, ["key", "remove", identity])
    return added


def list_keys(path: str) -> set[str]:
    """The names of all key files."""
    return {found.name for found in Path(path, "keys").iterdir()}


def find_own_keys(path: str, record: Record) -> set[str]:
    """The names of the keys that we added, gone or not: by the record, else by when they arrived."""
    if "keys" in record:
        return set(record["keys"])
    made = Path(path, "config").stat().st_mtime
    return {found.name for found in Path(path, "keys").iterdir() if found.lstat().st_mtime <= made + KEY_SECONDS}


def read_record(name: str) -> Record:
    try:
        data = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))
        keys = {"keys": [str(key) for key in data["keys"]]} if "keys" in data else {}  # not before they were noted
        fields = {field: str(data[field]) for field in ("id", "recipient", "sealed") if field in data}
        return {**fields, **keys} if {"id", "recipient"} <= fields.keys() else {}
    except (OSError, ValueError, TypeError):
        return {}


def write_record(name: str, record: Record) -> None:
    RECORDS.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(RECORDS / f"{name}.json", json.dumps(record), 0o600, "root")


def read_accounts() -> dict[str, str]:
    """Hash by user."""
    lines = ACCOUNTS.read_text(encoding="utf-8").splitlines() if ACCOUNTS.is_file() else []
    return {user: value for user, _, value in (line.partition(":") for line in lines)}


def write_accounts(accounts: dict[str, str]) -> None:
    """All accounts of the server, which reads them again; nobody else has one."""
    for user, value in accounts.items():
        if not (_NAME.fullmatch(user) and _HASH.fullmatch(value)):
            raise Failed(f"expected a user and the hash of a credential: {user}")
    if accounts == read_accounts():
        return
    lines = "".join(f"{user}:{value}\n" for user, value in sorted(accounts.items()))
    write_file(ACCOUNTS, lines, 0o640, USER)
    result = subprocess.run(["systemctl", "reload-or-restart", UNIT], capture_output=True, timeout=60, check=False)
    if result.returncode:
        raise Failed(f"{UNIT} does not reload: {result.stderr.decode(errors='replace').strip()}")


def write_file(path: Path, text: str, mode: int, group: str) -> None:
    """Old content or new, never half; readable by its group before the name appears."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        os.fchown(handle, 0, pwd.getpwnam(group).pw_gid)
        os.fchmod(handle, mode)
        stream.write(text)
        stream.flush()
        os.fsync(handle)
    new.replace(path)
