"""Making and removing one resource."""

from __future__ import annotations

import base64
import contextlib
import grp
import json
import os
import pwd
import re
from collections.abc import Callable
from typing import Any

from socle.sites.agent.files import FOLDER, SUFFIX, parent, remove_path, write_file
from socle.sites.agent.programs import Failed, check_name, last_lines, must, run, sql
from socle.sites.agent.reading import read_steps, read_user

MAX_CONNECTIONS = 20
PRIVILEGES = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES,"
    " LOCK TABLES, CREATE VIEW, SHOW VIEW"
)
Wire = dict[str, Any]


def make_user(name: str, wire: Wire) -> None:
    wanted = wire["expected"]
    try:
        grp.getgrnam(name)
    except KeyError:
        must(["groupadd", "--gid", str(wanted["gid"]), name])
    if read_user(name) is None:
        identity = ["--uid", str(wanted["uid"]), "--gid", name, "--home-dir", wanted["home"]]
        must(["useradd", "--no-create-home", "--no-user-group", "--shell", "/usr/sbin/nologin", *identity, name])


def make_directory(path: str, wire: Wire) -> None:
    wanted = wire["expected"]
    with parent(path) as (folder, name):
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
        handle = os.open(name, FOLDER, dir_fd=folder)
        try:
            os.fchown(handle, pwd.getpwnam(wanted["owner"]).pw_uid, grp.getgrnam(wanted["group"]).gr_gid)
            os.fchmod(handle, wanted["mode"])
        finally:
            os.close(handle)


def make_file(path: str, wire: Wire) -> None:
    wanted = wire["expected"]
    write_file(path, base64.b64decode(wire["content"]), wanted["mode"], wanted["owner"], wanted["group"])


def make_link(path: str, wire: Wire) -> None:
    with parent(path) as (folder, name):
        temporary = f".{name}{SUFFIX}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        os.symlink(wire["expected"]["target"], temporary, dir_fd=folder)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def make_database(name: str, wire: Wire) -> None:
    comment = wire["expected"]["comment"]
    if not re.fullmatch(r"socle:[a-z0-9_]+", comment):
        raise Failed(f"expected the comment of {name} to be its marker")
    sql(
        f"CREATE DATABASE IF NOT EXISTS `{check_name(name)}` CHARACTER SET utf8mb4 COMMENT '{comment}';"
        f" ALTER DATABASE `{name}` COMMENT '{comment}';"
    )


def make_grant(name: str, wire: Wire) -> None:
    value = wire["expected"]["hash"]
    if not re.fullmatch(r"\*[0-9A-F]{40}", value):
        raise Failed(f"expected a password hash for {name}")
    # `_` in GRANT stands for any character: without the backslash, a_b could use the database a1b.
    user, database = f"'{check_name(name)}'@'localhost'", name.replace("_", "\\_")
    sql(
        f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY PASSWORD '{value}';"
        f" ALTER USER {user} IDENTIFIED BY PASSWORD '{value}' WITH MAX_USER_CONNECTIONS {MAX_CONNECTIONS};"
        f" REVOKE ALL PRIVILEGES, GRANT OPTION FROM {user};"
        f" GRANT {PRIVILEGES} ON `{database}`.* TO {user};"
    )


STAGING = "socle_staging_"


def drop_staging(names: set[str]) -> None:
    """Drop the databases that installations of `names` worked in, and the rights on them: a host that dies
    between the move of the tables and the clearing leaves both, and a finished step never runs again."""
    patterns = {STAGING + name: (STAGING + name).replace("_", "\\_") for name in sorted(names)}
    left = set(sql("SELECT JSON_QUOTE(SCHEMA_NAME) FROM information_schema.SCHEMATA;"))
    rights = set(sql("SELECT JSON_QUOTE(Db) FROM mysql.db WHERE Host = 'localhost';"))
    statements = [f"DROP DATABASE IF EXISTS `{check_name(staging)}`;" for staging in patterns if staging in left]
    for staging, pattern in patterns.items():
        if pattern in rights:
            user = staging.removeprefix(STAGING)
            statements.append(f"REVOKE ALL PRIVILEGES ON `{pattern}`.* FROM '{check_name(user)}'@'localhost';")
    if statements:
        sql(" ".join(statements))


def run_step(name: str, wire: Wire) -> None:
    if name in read_steps({name}):
        return
    stdin = base64.b64decode(wire["stdin"]).decode()
    result = run(wire["run"], stdin, timeout=wire["timeout"])
    if name not in read_steps({name}):
        reason = hide(last_lines(result.stderr or result.stdout), stdin) or "no reason given"
        raise Failed(f"status {result.returncode}: {reason}")


def hide(text: str, stdin: str) -> str:
    """`text` without any of the values that a program was given."""
    try:
        values = [str(value) for value in json.loads(stdin).values()]
    except (ValueError, AttributeError):
        values = stdin.split()
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***") if len(value) >= 8 else text
    return text


MAKE: dict[str, Callable[[str, Wire], None]] = {
    "user": make_user,
    "directory": make_directory,
    "file": make_file,
    "link": make_link,
    "database": make_database,
    "grant": make_grant,
    "step": run_step,
}


def drop_grant(name: str) -> None:
    sql(f"DROP USER IF EXISTS '{check_name(name)}'@'localhost';")


REMOVE: dict[str, Callable[[str], None]] = {
    "grant": drop_grant,
    "link": remove_path,
    "file": remove_path,
    "directory": remove_path,
}
