"""A database from its dump: into a database beside the site's, as the site's own account, counted, then swapped in
by one statement. Nothing the dump says can reach another site: its account has rights on these two databases only.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from backup_host.database import COMPLETED, parse_rows
from backup_host.programs import Failed, last_lines, started

from restore_host.manifest import find_newer

STAGING = "socle_staging_"
FORMER = "socle_former_"
LOAD_SECONDS = 6 * 3600.0
SQL_SECONDS = 3600.0
PACKET = 1024**3
_CLIENT = ("--no-defaults", "--protocol=socket", "--default-character-set=utf8mb4")
_UNBOUNDED = "SET SESSION max_statement_time = 0, idle_transaction_timeout = 0, idle_write_transaction_timeout = 0"
RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES,"
    " LOCK TABLES, CREATE VIEW, SHOW VIEW"
)
MORE_RIGHTS = "TRIGGER, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT"
"""What only a restore needs, and for as long as it lasts: sites make no such things."""
_NAME = re.compile(r"[a-z0-9_]{1,49}")
# Who made a view, a trigger, a routine or an event (mariadb-dump writes it at the beginning of a line).
_DEFINER = re.compile(
    rb"^((?:/\*!\d+ CREATE\*/ )?(?:/\*!\d+ |CREATE ))DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*`",
)
_INSERT = b"INSERT INTO "
_SERVER = re.compile(rb"-- Server version\s+(\S+)")
_HEAD = 20
_SHOWN = 5


@dataclass
class Reading:
    """A dump as it goes by: its lines, bytes and digest, and its end. `server`: the version of the one it is for."""

    server: str
    lines: int = 0
    bytes: int = 0
    last: bytes = b""
    digest: Any = field(default_factory=hashlib.sha256)

    def read(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        """Each line, without who made what: it will be the site's own account. Lines keep their numbers. Raises Failed
        when a newer server made it."""
        for line in stream:
            self.lines += 1
            made = _SERVER.match(line) if self.lines <= _HEAD else None
            if made and (problem := find_newer(made[1].decode(errors="replace"), self.server)):
                raise Failed(problem)
            self.bytes += len(line)
            self.digest.update(line)
            self.last = line if line.strip() else self.last
            yield line if line.startswith(_INSERT) else _DEFINER.sub(rb"\1", line)

    def find_problem(self, expected: Mapping[str, Any]) -> str:
        """Why this is not the dump that the manifest describes."""
        if not self.lines:
            return "the dump is empty"
        if not self.last.startswith(COMPLETED):
            return f"the dump is cut at line {self.lines}: its last line is not {COMPLETED.decode()!r}"
        if (self.bytes, self.digest.hexdigest()) != (expected["bytes"], expected["sha256"]):
            return f"the dump ({self.bytes} bytes, {self.lines} lines) is not the one that the manifest describes"
        return ""


@dataclass(frozen=True)
class Content:
    """What a database holds, by name."""

    tables: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    """(TRIGGER, PROCEDURE, FUNCTION or EVENT; name)."""

    @property
    def movable(self) -> tuple[str, ...]:
        """What one statement moves to another database."""
        return (*self.tables, *self.sequences)


def check_name(database: str) -> str:
    """A name that needs no quoting, and is short enough for what goes before it."""
    if not _NAME.fullmatch(database):
        raise Failed(f"expected a database name of at most 49 of a-z, 0-9 and _: {database!r}")
    return database


def quote(name: str) -> str:
    """A name for SQL."""
    return "`" + name.replace("`", "``") + "`"


def sql(statements: str) -> list[Any]:
    """Run SQL as root over the local socket; rows of one JSON value each. Raises Failed."""
    command = ["mariadb", *_CLIENT, "--batch", "--raw", "--skip-column-names", f"--init-command={_UNBOUNDED}"]
    with started(
        command, timeout=SQL_SECONDS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        output, errors = run.process.communicate(statements.encode(errors="surrogateescape"))
    if run.process.returncode:
        raise Failed(f"MariaDB: {last_lines(errors)}")
    return parse_rows(output)


def load_server() -> str:
    """The version of the server here."""
    return str(sql("SELECT JSON_QUOTE(VERSION());")[0])


def make_content_query(database: str) -> str:
    """What a database holds, as rows of [kind, name]."""
    name = f"'{check_name(database)}'"
    parts = (
        f"SELECT JSON_ARRAY(TABLE_TYPE, TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {name}",  # noqa: S608
        f"SELECT JSON_ARRAY('TRIGGER', TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {name}",  # noqa: S608
        f"SELECT JSON_ARRAY(ROUTINE_TYPE, ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {name}",  # noqa: S608
        f"SELECT JSON_ARRAY('EVENT', EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {name}",  # noqa: S608
    )
    return " UNION ALL ".join(parts) + ";"


def parse_content(rows: Iterable[Iterable[str]]) -> Content:
    """From the answer to that query."""
    tables, sequences, views, others = [], [], [], []
    for kind, name in rows:
        if kind in ("TRIGGER", "PROCEDURE", "FUNCTION", "EVENT"):
            others.append((kind, name))
        else:
            (views if "VIEW" in kind else sequences if kind == "SEQUENCE" else tables).append(name)
    return Content(tuple(tables), tuple(sequences), tuple(views), tuple(others))


def load_content(database: str) -> Content:
    """What a database holds now."""
    return parse_content(sql(make_content_query(database)))


def make_drops(database: str, content: Content) -> str:
    """Statements that remove what a table cannot be moved with, and what would be in the way."""
    views = [f"DROP VIEW {quote(database)}.{quote(name)};" for name in content.views]
    others = [f"DROP {kind} {quote(database)}.{quote(name)};" for kind, name in content.others]
    return " ".join([*views, *others])


def make_move(database: str, old: Iterable[str], new: Iterable[str]) -> str:
    """One statement: the old tables out of the database, the new ones in. Killed, it is done or not."""
    own, staging, former = (quote(prefix + database) for prefix in ("", STAGING, FORMER))
    moves = [f"{own}.{quote(name)} TO {former}.{quote(name)}" for name in old]
    moves += [f"{staging}.{quote(name)} TO {own}.{quote(name)}" for name in new]
    return f"RENAME TABLE {', '.join(moves)};"


def make_grant(database: str, rights: str, account: str) -> str:
    """`_` in GRANT stands for any character: without the backslash, a_b could use the database a1b."""
    return f"GRANT {rights} ON {_pattern(database)} TO '{account}'@'localhost';"


def make_revoke(database: str, rights: str, account: str) -> str:
    """The other way. REVOKE fails when there is nothing to revoke: the right is given once more first."""
    return (
        f"{make_grant(database, rights, account)} REVOKE {rights} ON {_pattern(database)} FROM '{account}'@'localhost';"
    )


def _pattern(database: str) -> str:
    return quote(database.replace("_", "\\_")) + ".*"


def make_counts_query(database: str, tables: Iterable[str]) -> str:
    """Rows of each table, as [position, rows]."""
    parts = [
        f"SELECT JSON_ARRAY({position}, COUNT(*)) FROM {quote(database)}.{quote(name)}"  # noqa: S608 (quoted)
        for position, name in enumerate(tables)
    ]
    return " UNION ALL ".join(parts) + ";" if parts else ""


def find_count_problem(expected: Mapping[str, int], found: Mapping[str, int]) -> str:
    """How the rows that were loaded differ from those that were saved."""
    differing = [
        f"{name}: {found.get(name, 'no table')} rows, {expected.get(name, 'not one')} saved"
        for name in sorted({*expected, *found})
        if expected.get(name) != found.get(name)
    ]
    more = ", ..." if len(differing) > _SHOWN else ""
    return f"{len(differing)} tables differ: {', '.join(differing[:_SHOWN])}{more}" if differing else ""


class Loader:
    """Loads dumps for one site. `uid`: as whom the client runs, since what a dump says may be hostile."""

    def __init__(self, database: str, password: str, uid: int) -> None:
        self.database, self._password, self._uid = check_name(database), password, uid
        self.staging = STAGING + database
        self._loaded: Set[str] = frozenset()

    def clear(self) -> None:
        """Drop what a restore works in, as far as it is there."""
        databases = (self.staging, FORMER + self.database)
        drops = " ".join(f"DROP DATABASE IF EXISTS {quote(name)};" for name in databases)
        account = self.database
        revoked = make_revoke(self.staging, f"{RIGHTS}, {MORE_RIGHTS}", account)
        sql(f"{drops} {revoked} {make_revoke(self.database, MORE_RIGHTS, account)}")

    def load(self, lines: Iterable[bytes], expected: Mapping[str, Any]) -> int:
        """Load a dump into the staging database; its rows. Raises Failed, naming the line, when anything of it is not
        accepted or not as the manifest says: the site's own database is as before then."""
        self.clear()
        rights = make_grant(self.staging, f"{RIGHTS}, {MORE_RIGHTS}", self.database)
        # Rows in hexadecimal are twice as long as they were: the server would refuse its own dump.
        larger = f"SET GLOBAL max_allowed_packet = {PACKET};"
        sql(f"CREATE DATABASE {quote(self.staging)} CHARACTER SET utf8mb4; {rights} {larger}")
        reading = Reading(load_server())
        try:
            problem = self._feed(reading.read(lines), self.staging)
        finally:
            # stacks/mariadb sets none. Read before, it could be what a killed restore has left.
            sql("SET GLOBAL max_allowed_packet = DEFAULT;")
        if problem := problem or reading.find_problem(expected):
            raise Failed(f"the database {self.database} is not loaded: {problem}")
        found = self.count(self.staging, load_content(self.staging).tables)
        if problem := find_count_problem(expected["tables"], found):
            raise Failed(f"the database {self.database} is not loaded: {problem}")
        self._loaded = found.keys()
        return sum(found.values())

    def count(self, database: str, tables: Iterable[str]) -> dict[str, int]:
        """Rows of each table."""
        names = list(tables)
        query = make_counts_query(database, names)
        return {names[position]: int(rows) for position, rows in (sql(query) if query else [])}

    def swap(self) -> None:
        """Put the staging database in the place of the site's. Only the move of the tables matters to a kill: the mark
        of the restore says that the rest is still to be done."""
        new, old = load_content(self.staging), load_content(self.database)
        if set(new.tables) != self._loaded:
            raise Failed(f"{self.staging} is not as it was loaded: something else has changed it")
        objects = b"".join(self._dump_objects(new))
        former = f"CREATE DATABASE {quote(FORMER + self.database)};"
        drops = f"{make_drops(self.staging, Content(others=new.others))} {make_drops(self.database, old)}"
        sql(f"{former} {drops} {make_move(self.database, old.movable, new.movable)}")
        if objects:
            sql(make_grant(self.database, MORE_RIGHTS, self.database))
            lines = (_DEFINER.sub(rb"\1", line) for line in io.BytesIO(objects))
            if problem := self._feed(lines, self.database):
                raise Failed(f"views and the like of {self.database}: {problem}")
        self.clear()

    def _dump_objects(self, content: Content) -> Iterator[bytes]:
        """What cannot be moved as tables are: routines first, since views may use them."""
        if content.others:
            yield self._dump("--no-data", "--no-create-info", "--routines", "--triggers", "--events", self.staging)
        if content.views:
            yield self._dump("--no-data", "--skip-triggers", "--", self.staging, *content.views)

    def _dump(self, *arguments: str) -> bytes:
        command = ["mariadb-dump", *_CLIENT, "--skip-dump-date", *arguments]
        with started(command, timeout=SQL_SECONDS, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            output, errors = run.process.communicate()
        if run.process.returncode:
            raise Failed(f"mariadb-dump: {last_lines(errors)}")
        return output

    def _feed(self, lines: Iterable[bytes], database: str) -> str:
        """Run statements as the site's account, in that database; why they were not accepted. The client runs as the
        site's user and takes no commands of its own (`--sandbox`): a dump may try to start programs."""
        command = ["mariadb", *_CLIENT, "--batch", "--sandbox", f"--max-allowed-packet={PACKET}"]
        command += [f"--init-command={_UNBOUNDED}", f"--user={self.database}", f"--database={database}"]
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            identity = {"user": self._uid, "group": self._uid, "extra_groups": [], "cwd": "/"}
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "MYSQL_PWD": self._password}
        errors = os.memfd_create("errors")
        try:
            with started(
                command,
                timeout=LOAD_SECONDS,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                bufsize=1 << 20,
                **identity,
            ) as run:
                assert run.process.stdin  # noqa: S101 (it is a pipe, as asked)
                try:
                    for line in lines:
                        run.process.stdin.write(line)
                    run.process.stdin.close()
                except BrokenPipeError:
                    pass  # the client ended: it says why
                run.process.wait()
            said = last_lines(os.pread(errors, 1 << 16, 0))
        finally:
            os.close(errors)
        return (said or f"the client ended with {run.process.returncode}") if run.process.returncode else ""
