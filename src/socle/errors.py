"""What socle says when something is wrong, and the exit code that goes with it.

The exit codes are the same for every verb: 0 done; 1 unexpected; 2 input invalid; 3 partly done or
incomplete; 4 refused by a rule; 5 a host or remote out of reach; 10 changes pending (plan only).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socle.stages.base import Change


class Exit(IntEnum):
    """Process exit codes, the same everywhere."""

    DONE = 0
    UNEXPECTED = 1
    INVALID = 2
    PARTIAL = 3
    REFUSED = 4
    UNREACHABLE = 5
    PENDING = 10


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to mend: where it is, what was expected, how to mend it.

    `path` is relative to the control repository, `line` counts from 1 (0: the whole file), `where` is a
    dotted path in the file such as `services.wordpress.domain`.
    """

    path: str
    line: int
    where: str
    expected: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        where = f" {self.where}:" if self.where else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{place}:{where} {self.expected}{remedy}"


class SocleError(Exception):
    """An error meant for a person: shown without traceback, with its exit code."""

    exit = Exit.UNEXPECTED

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} ({remedy})" if remedy else message)


class ProblemsError(SocleError):
    """Several problems found together, before any change."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


class InvalidInput(ProblemsError):
    """A file or an argument is not what it should be: exit 2."""

    exit = Exit.INVALID


class Refused(ProblemsError):
    """A rule (capacity, isolation, convention, ownership) forbids it: exit 4."""

    exit = Exit.REFUSED


class PartlyDone(SocleError):
    """Some of the work is done, a re-run completes it: exit 3, or `exit` when nothing could be done.

    `changes`: what is done. `hosts`: those that what comes later must leave alone.
    """

    exit = Exit.PARTIAL

    def __init__(
        self,
        message: str,
        remedy: str = "",
        *,
        changes: Sequence[Change] = (),
        hosts: Iterable[str] = (),
        exit_code: Exit = Exit.PARTIAL,
    ) -> None:
        self.changes = tuple(changes)
        self.hosts = frozenset(hosts)
        self.exit = exit_code
        super().__init__(message, remedy)


def make_exit(errors: Iterable[SocleError], partly: bool) -> Exit:
    """The exit code of several failures: what they have in common, unless something was done (`partly`)."""
    codes = {error.exit for error in errors}
    return codes.pop() if len(codes) == 1 and not partly else Exit.PARTIAL


class Unreachable(SocleError):
    """A host, daemon or remote did not answer in time: exit 5."""

    exit = Exit.UNREACHABLE
