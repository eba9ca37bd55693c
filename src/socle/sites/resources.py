"""What exists on a host because of a site: frozen values that the on-host agent knows how to read and make.

A resource's key (`file:/etc/x`) is its identity: the index on the host holds keys only, so it tells what is
ours without holding a secret, and the agent can read or remove a resource from its key alone. The agent
acts by kind, in the order of `KINDS` and backwards to remove, so that it can treat all sites of a host at
once: files that a shared daemon reads (`reload`) come last, when what they lead to works.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = ("mount", "user", "directory", "file", "link", "database", "grant", "unit", "step", "shared")
_DATA_KINDS = ("mount", "user", "database")


@dataclass(frozen=True)
class Mount:
    """A volume that must be mounted at `path`. Never made here: without it, the site fails untouched."""

    path: str

    @property
    def key(self) -> str:
        return f"mount:{self.path}"


@dataclass(frozen=True)
class User:
    """A Unix user and its group of the same number, without shell."""

    name: str
    uid: int
    home: str

    @property
    def key(self) -> str:
        return f"user:{self.name}"


@dataclass(frozen=True)
class Directory:
    """A folder. Removed only when it is empty."""

    path: str
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"

    @property
    def key(self) -> str:
        return f"directory:{self.path}"


@dataclass(frozen=True)
class File:
    """A file. With `reload`, it belongs to the configuration of that shared unit: it is written after
    everything else, together with those of all sites, and rolled back if refused. The unit's reload must refuse
    what is wrong and keep what it had; `validate` is the command that says so, without a reload."""

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    reload: str | None = None
    validate: tuple[str, ...] | None = None

    @property
    def key(self) -> str:
        return f"{'shared' if self.reload else 'file'}:{self.path}"


@dataclass(frozen=True)
class Link:
    """A symbolic link owned by root."""

    path: str
    target: str

    @property
    def key(self) -> str:
        return f"link:{self.path}"


@dataclass(frozen=True)
class Database:
    """A MariaDB database. Data: never dropped. Its comment is the marker: it is on the volume with the data,
    so that a host made anew finds what is ours."""

    name: str

    @property
    def key(self) -> str:
        return f"database:{self.name}"


@dataclass(frozen=True)
class Grant:
    """A MariaDB account of the same name as the one database it may use, over the local socket."""

    name: str
    password: str

    @property
    def key(self) -> str:
        return f"grant:{self.name}"

    @property
    def password_hash(self) -> str:
        """mysql_native_password's double SHA-1: what the server keeps, so that the password stays here."""
        inner = hashlib.sha1(self.password.encode(), usedforsecurity=False).digest()
        return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


@dataclass(frozen=True)
class Unit:
    """A systemd unit, enabled and running. Restarted when a resource named in `watches` (keys) changes."""

    name: str
    watches: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"unit:{self.name}"


@dataclass(frozen=True)
class Step:
    """Something to do once: `run` with `stdin`, until `done` holds.

    `done` is `file:<path>` or `table:<database>.<table>`: the agent checks those of all sites at once.
    """

    name: str
    done: str
    run: tuple[str, ...]
    stdin: bytes = b""
    timeout: int = 300

    @property
    def key(self) -> str:
        return f"step:{self.name}:{self.done}"


Resource = Mount | User | Directory | File | Link | Database | Grant | Unit | Step


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def make_stamp(data: object) -> str:
    """The digest of a JSON value in canonical form."""
    return digest(json.dumps(data, sort_keys=True, separators=(",", ":")).encode())


def is_data(key: str, site_path: str) -> bool:
    """Whether a key names data, which no declaration ever removes: the volume's content, the database, and
    the user whose number owns the files."""
    kind, _, name = key.partition(":")
    return kind in _DATA_KINDS or name == site_path or name.startswith(f"{site_path}/")


def make_expected(resource: Resource, watched: str = "") -> dict[str, Any]:
    """The state the agent reads when the resource is as it should be. `watched` is a unit's digest."""
    match resource:
        case Mount():
            return {"mounted": True}
        case User(uid=uid, home=home):
            return {"uid": uid, "gid": uid, "home": home}
        case Directory(mode=mode, owner=owner, group=group):
            return {"mode": mode, "owner": owner, "group": group}
        case File(content=content, mode=mode, owner=owner, group=group):
            return {"digest": digest(content), "mode": mode, "owner": owner, "group": group}
        case Link(target=target):
            return {"target": target}
        case Database(name=name):
            return {"comment": f"socle:{name}"}
        case Grant(name=name):
            return {"hash": resource.password_hash, "databases": [name], "global": 0}
        case Unit():
            return {"enabled": True, "active": True, "digest": watched}
        case Step():
            return {"done": True}


def make_wire(resource: Resource, watched: str = "") -> dict[str, Any]:
    """What the agent needs to make the resource, as JSON."""
    wire: dict[str, Any] = {"key": resource.key, "expected": make_expected(resource, watched)}
    match resource:
        case Unit(watches=watches):
            wire |= {"watches": list(watches)}
        case File(content=content, reload=reload, validate=validate):
            wire |= {"content": base64.b64encode(content).decode()}
            if reload:
                wire |= {"reload": reload, "validate": list(validate or ())}
        case Step(run=run, stdin=stdin, timeout=timeout):
            wire |= {"run": list(run), "stdin": base64.b64encode(stdin).decode(), "timeout": timeout}
    return wire


def make_wires(resources: Sequence[Resource]) -> tuple[dict[str, Any], ...]:
    """The wire form of a site's resources on one host, in the order in which they are made.

    Raises ValueError when a key comes twice, or a unit watches what is not there.
    """
    wires: dict[str, dict[str, Any]] = {}
    for resource in sorted(resources, key=_rank):
        if resource.key in wires:
            raise ValueError(f"{resource.key} is declared twice")
        watched = _make_watched(resource, wires) if isinstance(resource, Unit) else ""
        wires[resource.key] = make_wire(resource, watched)
    return tuple(wires.values())


def _rank(resource: Resource) -> int:
    return KINDS.index(resource.key.partition(":")[0])


def _make_watched(unit: Unit, wires: Mapping[str, Mapping[str, Any]]) -> str:
    missing = sorted(set(unit.watches) - set(wires))
    if missing:
        raise ValueError(f"{unit.key} watches what the site does not have: {', '.join(missing)}")
    return make_stamp([wires[key]["expected"] for key in sorted(unit.watches)])
