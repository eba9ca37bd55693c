"""Copies a live SQLite database through SQLite's own backup, as the user whose it is (case A4).

    sqlite_copy.py SOURCE TARGET     prints the rows of each table of the copy, as JSON

Run as a program, by root, under the site's user: SQLite opens files by their path, and whatever a hostile path
leads to, it leads no further than that user may go. As any client of the database it may write beside it, and takes
that away when it closes.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

BUSY_SECONDS = 60.0


def count_rows(copy: sqlite3.Connection) -> dict[str, int]:
    """Rows of each table; virtual tables keep theirs in others."""
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    names = [name for (name,) in copy.execute(tables) if not name.startswith("sqlite_")]
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in names}
    return {name: copy.execute(f"SELECT count(*) FROM {quoted[name]}").fetchone()[0] for name in names}  # noqa: S608


def copy_database(source: str, target: str) -> dict[str, int]:
    """Copy, check, count. Raises sqlite3.Error, or ValueError when the copy is not sound."""
    with (
        closing(sqlite3.connect(f"{Path(source).as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        # In one step: another process that writes would make a stepwise copy start again and again.
        live.backup(copy)
        # Whatever the source has, the copy is one file.
        copy.execute("PRAGMA journal_mode = DELETE")
        found = [row[0] for row in copy.execute("PRAGMA integrity_check(5)")]
        if found != ["ok"]:
            raise ValueError(f"integrity_check: {'; '.join(map(str, found))}")
        return count_rows(copy)


def main() -> None:
    """The rows of the copy's tables on standard output; what is wrong on standard error."""
    os.umask(0o077)
    try:
        rows = copy_database(*sys.argv[1:])
    except (sqlite3.Error, ValueError, OSError) as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(rows))


if __name__ == "__main__":
    main()
