"""Running programs and SQL on the host, bounded in time."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any


class Failed(Exception):
    """What went wrong for one site, in words without secrets."""


def run(arguments: list[str], stdin: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its status."""
    try:
        return subprocess.run(
            arguments, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{arguments[0]} did not end within {timeout:.0f} s") from None
    except OSError as error:
        raise Failed(f"{arguments[0]} cannot start: {error.strerror}") from None


def must(arguments: list[str], stdin: str = "") -> str:
    """Run a program that must succeed; its output."""
    result = run(arguments, stdin)
    if result.returncode:
        raise Failed(f"{arguments[0]}: {last_lines(result.stderr or result.stdout)}")
    return result.stdout


def last_lines(text: str, count: int = 4) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:])


def sql(statements: str) -> list[Any]:
    """Run SQL as root over the local socket; rows of one JSON value each. A row ends with a line feed only: a name may
    hold what Unicode calls a line's end."""
    arguments = ["mariadb", "--no-defaults", "--protocol=socket", "--batch", "--raw", "--skip-column-names"]
    return [json.loads(line) for line in must(arguments, statements).split("\n") if line]


def check_name(name: str) -> str:
    """A database name that needs no quoting."""
    if not re.fullmatch(r"[a-z0-9_]{1,64}", name):
        raise Failed(f"expected a database name of a-z, 0-9 and _: {name!r}")
    return name
