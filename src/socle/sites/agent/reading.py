"""The state of resources, by key; what can be asked for all at once is."""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from collections.abc import Callable, Iterable
from typing import Any

from socle.sites.agent.files import group_name, load_mounts, lstat, parent, read_bytes, user_name
from socle.sites.agent.programs import Failed, check_name, must, sql


def owned(info: os.stat_result) -> dict[str, Any]:
    return {"mode": stat.S_IMODE(info.st_mode), "owner": user_name(info.st_uid), "group": group_name(info.st_gid)}


def read_file(path: str) -> dict[str, Any] | None:
    info = lstat(path)
    if info is None:
        return None
    if not stat.S_ISREG(info.st_mode):
        return {"type": stat.S_IFMT(info.st_mode)}
    return {"digest": hashlib.sha256(read_bytes(path)).hexdigest(), **owned(info)}


def read_directory(path: str) -> dict[str, Any] | None:
    info = lstat(path)
    if info is None:
        return None
    return owned(info) if stat.S_ISDIR(info.st_mode) else {"type": stat.S_IFMT(info.st_mode)}


def read_link(path: str) -> dict[str, Any] | None:
    info = lstat(path)
    if info is None:
        return None
    if not stat.S_ISLNK(info.st_mode):
        return {"type": stat.S_IFMT(info.st_mode)}
    with parent(path) as (folder, name):
        return {"target": os.readlink(name, dir_fd=folder)}


def read_user(name: str) -> dict[str, Any] | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return {"uid": entry.pw_uid, "gid": entry.pw_gid, "home": entry.pw_dir}


def read_databases(names: set[str]) -> dict[str, Any]:
    rows = dict(sql("SELECT JSON_ARRAY(SCHEMA_NAME, SCHEMA_COMMENT) FROM information_schema.SCHEMATA;"))
    return {name: {"comment": rows[name]} for name in names & set(rows)}


def read_grants(names: set[str]) -> dict[str, Any]:
    """Accounts of the local socket: hash, databases they may use, and global privileges (should be none)."""
    users = sql(
        "SELECT JSON_ARRAY(User, JSON_VALUE(Priv, '$.authentication_string'),"
        " COALESCE(JSON_VALUE(Priv, '$.access'), 0) + 0) FROM mysql.global_priv WHERE Host = 'localhost';"
    )
    rights = sql("SELECT JSON_ARRAY(User, Db) FROM mysql.db WHERE Host = 'localhost' AND Select_priv = 'Y';")
    found = {user: {"hash": value, "databases": [], "global": int(access)} for user, value, access in users}
    for user, database in rights:
        if user in found:
            found[user]["databases"].append(database.replace("\\_", "_"))
    return {name: found[name] for name in names & set(found)}


def read_tables(names: set[str]) -> set[str]:
    """Those of `names` (`<database>.<table>`) that exist."""
    tables = ", ".join(sorted({f"'{check_name(name.partition('.')[2])}'" for name in names}))
    columns = "JSON_QUOTE(CONCAT(TABLE_SCHEMA, '.', TABLE_NAME))"
    query = f"SELECT {columns} FROM information_schema.TABLES WHERE TABLE_NAME IN ({tables});"  # noqa: S608
    return names & set(sql(query))


def read_units(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Whether each unit is enabled and active. Unknown units are left out."""
    units: dict[str, dict[str, Any]] = {}
    output = must(["systemctl", "show", "--property=Id,LoadState,ActiveState,UnitFileState", *sorted(names)])
    for block in output.strip().split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if fields.get("LoadState") != "not-found":
            active = fields["ActiveState"] in ("active", "reloading")
            units[fields["Id"]] = {"enabled": fields["UnitFileState"] == "enabled", "active": active}
    return units


ONE_BY_ONE: dict[str, Callable[[str], dict[str, Any] | None]] = {
    "file": read_file,
    "shared": read_file,
    "directory": read_directory,
    "link": read_link,
    "user": read_user,
}


def read_many(kind: str, names: set[str]) -> dict[str, Any]:
    """The state of resources that are read together, whatever their number."""
    if kind == "mount":
        return {name: {"mounted": True} for name in names & load_mounts()}
    if kind == "database":
        return read_databases(names)
    if kind == "grant":
        return read_grants(names)
    if kind == "unit":
        return dict(read_units(names))
    return read_steps(names)


def read_steps(names: set[str]) -> dict[str, Any]:
    """`<step>:table:<database>.<table>` or `<step>:file:<path>`."""
    done = {name: name.split(":", 2)[1:] for name in names}
    wanted = {target for kind, target in done.values() if kind == "table"}
    tables = read_tables(wanted) if wanted else set()
    files = {target for kind, target in done.values() if kind == "file" and lstat(target)}
    return {name: {"done": True} for name, (_, target) in done.items() if target in tables | files}


def read_state(keys: Iterable[str]) -> dict[str, Any]:
    """The state of each key; None for what does not exist."""
    state: dict[str, Any] = dict.fromkeys(keys)
    grouped: dict[str, set[str]] = {}
    for key in state:
        kind, _, name = key.partition(":")
        if kind in ONE_BY_ONE:
            state[key] = read_one(kind, name)
        else:
            grouped.setdefault(kind, set()).add(name)
    for kind, names in grouped.items():
        try:
            state |= {f"{kind}:{name}": value for name, value in read_many(kind, names).items()}
        except Failed as error:
            # Before the first run of the services stage there is no MariaDB to ask.
            state |= {f"{kind}:{name}": {"unreadable": str(error)} for name in names}
    return state


def read_one(kind: str, name: str) -> dict[str, Any] | None:
    try:
        return ONE_BY_ONE[kind](name)
    except OSError as error:
        return {"unreadable": error.strerror}
