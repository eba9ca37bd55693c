"""A site's database: what it holds, and a dump that fails loudly when it is absent, empty or cut (case A3)."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from backup_host.programs import Failed, last_lines, run_program, started

FACTS_SECONDS = 300.0
DUMP_SECONDS = 2 * 3600.0
BUFFER = 1 << 20
COMPLETED = b"-- Dump completed"
FULL = (errno.ENOSPC, errno.EDQUOT)
_FACTS = (
    "SELECT JSON_ARRAY('{0}', NULL, 0) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{0}'",
    "SELECT JSON_ARRAY('{0}', TABLE_NAME, COALESCE(DATA_LENGTH, 0)) FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = '{0}'",
)
_NAME = re.compile(r"[a-z0-9_]{1,64}")
_CLIENT = ("--no-defaults", "--protocol=socket", "--default-character-set=utf8mb4")
_STATEMENT = re.compile(
    rb"(?:(?P<insert>INSERT INTO )|(?P<table>CREATE TABLE )|CREATE SEQUENCE |/\*!50001 (?:CREATE )?VIEW )"
    rb"(?P<name>`(?:[^`]|``)*`)"
)
_STARTS = (b"INSERT INTO `", b"CREATE TABLE `", b"CREATE SEQUENCE `", b"/*!50001 VIEW `", b"/*!50001 CREATE VIEW `")
_LONGEST = 4096  # bytes of a statement up to its name's end: a name has at most 64 characters


@dataclass(frozen=True)
class Facts:
    """What the server says of a database: its tables, views and sequences, and bytes of data."""

    names: frozenset[str]
    bytes: int


def make_facts_query(databases: Iterable[str]) -> str:
    """One query for all. Each part names its database, so that the server opens the tables of that one only; values
    are JSON, so that a name may hold anything. Raises Failed for a name that would need quoting."""
    parts = []
    for name in databases:
        if not _NAME.fullmatch(name):
            raise Failed(f"expected a database name of a-z, 0-9 and _: {name!r}")
        parts += [part.format(name) for part in _FACTS]
    return " UNION ALL ".join(parts) + ";"


def parse_rows(output: bytes) -> list[Any]:
    """The value of each line that MariaDB answers, which is JSON; ValueError for what is none. Lines end with a line
    feed only: a name may hold what Unicode calls a line's end."""
    return [json.loads(line.decode(errors="surrogateescape")) for line in output.split(b"\n") if line]


def parse_facts(output: bytes) -> dict[str, Facts]:
    """The databases that there are, from the answers to the query. ValueError or TypeError for what is none."""
    found: dict[str, dict[str, int]] = {}
    for database, table, size in parse_rows(output):
        tables = found.setdefault(database, {})
        if table is not None:
            tables[table] = int(size)
    return {name: Facts(frozenset(tables), sum(tables.values())) for name, tables in found.items()}


def load_facts(databases: Iterable[str]) -> dict[str, Facts]:
    """What the server says of these databases; one that is not there is left out. Raises Failed."""
    names = sorted(set(databases))
    if not names:
        return {}
    client = ["mariadb", *_CLIENT, "--batch", "--raw", "--skip-column-names"]
    query = f"SET max_statement_time = 0; {make_facts_query(names)}"
    result = run_program([*client, "--execute", query], timeout=FACTS_SECONDS)
    if result.returncode:
        raise Failed(f"MariaDB does not answer: {last_lines(result.stderr)}")
    try:
        return parse_facts(result.stdout)
    except (ValueError, TypeError) as error:
        raise Failed(f"what MariaDB says of its databases cannot be read: {error}") from None


def make_dump(database: str) -> list[str]:
    """The command of a dump. One INSERT a row, on a line of its own, so that rows can be counted in the dump itself."""
    return [
        "mariadb-dump",
        *_CLIENT,
        "--single-transaction",
        "--quick",
        "--skip-extended-insert",
        "--no-autocommit",
        "--hex-blob",
        "--routines",
        "--triggers",
        "--events",
        "--skip-dump-date",
        "--",
        database,
    ]


@dataclass
class DumpCheck:
    """Reads a dump as it goes by: what it creates, rows of each table, and whether it came to its end."""

    size: int = 0
    created: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)
    last: bytes = b""

    def read(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        """Hand on each line of the dump, and count. A name may hold a line break: its statement is then several."""
        begun, table, prefix = b"", "", b"INSERT INTO `"
        for line in stream:
            if table and line.startswith(prefix):
                self.rows[table] += 1
            elif begun or line.startswith(_STARTS):
                begun += line
                if statement := _STATEMENT.match(begun):
                    table = self._note(statement)
                    prefix = b"INSERT INTO " + statement["name"] + b" "
                if statement or len(begun) > _LONGEST:
                    begun = b""
            self.size += len(line)
            self.last = line if line.strip() else self.last
            yield line

    def _note(self, statement: re.Match[bytes]) -> str:
        """The table whose rows may follow; nothing for a view or a sequence."""
        name = statement["name"][1:-1].replace(b"``", b"`").decode(errors="surrogateescape")
        if not statement["insert"]:
            self.created.add(name)
            if not statement["table"]:
                return ""
        self.rows[name] = self.rows.get(name, 0) + bool(statement["insert"])
        return name

    def find_problem(self, names: Iterable[str]) -> str:
        """Why this is no dump of a database that holds `names`; nothing when it is one."""
        if not self.size:
            return "the dump is empty"
        if not self.last.startswith(COMPLETED):
            return f"the dump is cut: its last line is not {COMPLETED.decode()!r}"
        missing = sorted(set(names) - self.created)
        return f"the dump lacks {len(missing)} of its tables: {', '.join(missing[:5])}" if missing else ""


def run_dump(database: str, facts: Facts, path: Path) -> dict[str, object]:
    """Dump a database to `path`; what the manifest says of it. Raises Failed when it is not there as a whole."""
    if not facts.names:
        raise Failed(f"the database {database} holds no table: there is nothing to save")
    check = DumpCheck()
    errors = os.memfd_create("errors")
    try:
        with (
            started(
                make_dump(database), timeout=DUMP_SECONDS, stdout=subprocess.PIPE, stderr=errors, bufsize=BUFFER
            ) as run,
            create(path) as target,
        ):
            assert run.process.stdout  # noqa: S101 (it is a pipe, as asked)
            digest = _run_copy(check.read(run.process.stdout), target)
        said = last_lines(os.pread(errors, 1 << 16, 0))
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise Failed(f"this host's disk was full during the dump of {database} ({error.strerror})") from None
    finally:
        os.close(errors)
    if run.process.returncode:
        raise Failed(f"the dump of {database} failed (mariadb-dump ended with {run.process.returncode}): {said}")
    problem = check.find_problem(facts.names)
    if problem:
        # A table that was dropped in the meantime is not missing.
        now = load_facts([database]).get(database, Facts(frozenset(), 0))
        problem = check.find_problem(facts.names & now.names)
    if problem:
        raise Failed(f"{database}: {problem}{f': {said}' if said else ''}")
    return {"name": database, "bytes": check.size, "sha256": digest, "tables": dict(sorted(check.rows.items()))}


def create(path: Path) -> BinaryIO:
    """A new file that nobody else may read, open for writing."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=BUFFER)


def _run_copy(lines: Iterable[bytes], target: BinaryIO) -> str:
    """Write what comes; its SHA-256."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
        target.write(line)
    return digest.hexdigest()
