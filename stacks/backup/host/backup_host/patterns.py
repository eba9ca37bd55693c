"""What of a site is left out, said once for restic and for the list of files.

A pattern is relative to the site's folder, and matches a whole path: it never matches a folder of that name
elsewhere (case C5). What is in a folder that matches is left out with it. `*` and `?` stop at `/`, `**` does not.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence

OURS = ".socle"
"""At the root of each volume: which volume it is. Another one must not say the same."""
BESIDE_SQLITE = ("", "-wal", "-shm", "-journal")
_SPECIAL = re.compile(r"[*?\[\\]")
_TOKENS = re.compile(r"\*\*/|\*\*|\*|\?|\[\^?[^]]+\]|\\.|[^*?\[\\]+|[\[\\]", re.DOTALL)


def escape(path: str) -> str:
    """The pattern that matches `path` alone."""
    return _SPECIAL.sub(r"\\\g<0>", path)


def make_excluded(exclude: Iterable[str], sqlite: Iterable[str]) -> list[str]:
    """Every pattern of a site: its service's, ours, and the databases that are saved in another way."""
    databases = [escape(path) + beside for path in sqlite for beside in BESIDE_SQLITE]
    return [OURS, *(pattern.strip("/") for pattern in exclude), *databases]


def make_matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path, relative to the site's folder, is what a pattern names. For a walk from above, which does not
    enter a folder that matches."""
    regex = re.compile("|".join(f"(?:{_translate(pattern)})" for pattern in patterns) or r"(?!)", re.DOTALL)
    return lambda path: regex.fullmatch(path) is not None


def _translate(pattern: str) -> str:
    parts = []
    for token in _TOKENS.findall(pattern):
        match token:
            case "**/":
                parts.append("(?:.*/)?")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _ if token.startswith("[") and len(token) > 1:
                parts.append(token)
            case _ if token.startswith("\\") and len(token) > 1:
                parts.append(re.escape(token[1]))
            case _:
                parts.append(re.escape(token))
    return "".join(parts)


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern may match several paths, or none."""
    return _SPECIAL.search(pattern) is not None


def find_matching(folder: int, pattern: str, before: str = "") -> list[str]:
    """Paths of regular files that match, relative to the open `folder`. Never through a symbolic link: a folder
    that is one has nothing in it."""
    first, _, rest = pattern.partition("/")
    names = sorted(os.listdir(folder), key=os.fsencode) if has_wildcard(first) else [first]
    is_wanted = make_matcher([first])
    found: list[str] = []
    for name in filter(is_wanted, names):
        try:
            found += _find_in(folder, name, rest, before)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return found


def _find_in(folder: int, name: str, rest: str, before: str) -> Sequence[str]:
    info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not rest:
        return [before + name] if stat.S_ISREG(info.st_mode) else []
    if not stat.S_ISDIR(info.st_mode):
        return []
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        return find_matching(inner, rest, f"{before}{name}/")
    finally:
        os.close(inner)
