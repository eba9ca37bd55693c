"""backups/schedule.yml: what must run by the clock, and when. Read and checked here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, field_validator

from socle.clock.times import DAYS, Moment, describe_odd_day
from socle.errors import InvalidInput, Problem
from socle.load.workspace import Workspace
from socle.load.yaml_source import Source, load_source, make_model
from socle.model.base import Model

PATH = "backups/schedule.yml"
_AT = re.compile(rf"(?:daily|weekly (?P<day>{'|'.join(DAYS)})) (?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)|hourly")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_OURS = ("--env", "--root")
_OWN_VERBS = ("install", "remove", "run")


def parse_moment(value: Any) -> Moment:
    """`daily HH:MM`, `weekly DAY HH:MM` or `hourly`, or ValueError."""
    if isinstance(value, Moment):
        return value
    found = _AT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(
            "expected daily HH:MM, weekly DAY HH:MM or hourly, "
            f"found {value!r} (such as daily 06:30, weekly sunday 04:10)"
        )
    if found[0] == "hourly":
        return Moment("hourly")
    hour, minute = int(found["hour"]), int(found["minute"])
    return Moment("weekly" if found["day"] else "daily", hour, minute, DAYS.index(found["day"]) if found["day"] else 0)


def parse_run(value: Any) -> tuple[str, ...]:
    """A verb of socle with its arguments, split as a shell would, or ValueError."""
    try:
        words = tuple(shlex.split(value)) if isinstance(value, str) else tuple(value or ())
    except ValueError as error:
        raise ValueError(f"expected a verb of socle and its arguments: {error}, such as backup status") from None
    if not words or words[0] == "socle":
        raise ValueError("expected a verb of socle without the word socle, such as backup status")
    if any(word.partition("=")[0] in _OURS for word in words):
        raise ValueError("expected neither --env nor --root: the run is given its own")
    if words[0] == "schedule" and words[1:2] and words[1] in _OWN_VERBS:
        raise ValueError(f"expected another verb: the clock does not call schedule {words[1]}, such as backup status")
    return words


At = Annotated[Moment, BeforeValidator(parse_moment), PlainSerializer(str)]
Run = Annotated[tuple[str, ...], BeforeValidator(parse_run)]
ExitCode = Annotated[int, Field(ge=1, le=255)]


RESERVED = ("alerts",)
"""Names of other files beside those of the entries, in the state folder."""


def check_name(value: str) -> str:
    """The name, or ValueError: it becomes part of names of units and files."""
    if not _NAME.fullmatch(value):
        raise ValueError("expected a-z, 0-9 and hyphens, at most 31, such as verdicts")
    if value in RESERVED:
        raise ValueError(f"expected another name: {value} is what socle calls something else, such as {value}-nightly")
    return value


class Entry(Model):
    """Something that runs by the clock."""

    name: Annotated[str, AfterValidator(check_name)] = Field(description="Its own name.", examples=["verdicts"])
    at: At = Field(
        description="daily HH:MM, weekly DAY HH:MM or hourly, in local time of platform.yml.", examples=["daily 06:30"]
    )
    run: Run = Field(description="Verb of socle, and its arguments.", examples=["backup status"])
    grace: int = Field(ge=1, le=24 * 14, description="Hours after which a run that did not happen is missed.")
    limit: int = Field(default=6, ge=1, le=24, description="Hours after which a run is ended.")
    lock: bool = Field(
        default=True, description="Whether it works alone: no other run of the environment goes on meanwhile."
    )
    reported: tuple[ExitCode, ...] = Field(
        default=(), description="Exit codes of a run that did its work and whose findings are told by themselves."
    )


class Schedule(Model):
    """All that runs by the clock."""

    entries: tuple[Entry, ...]

    @field_validator("entries")
    @classmethod
    def _is_not_empty(cls, value: tuple[Entry, ...]) -> tuple[Entry, ...]:
        if not value:
            raise ValueError("expected an entry at least, such as those of socle's own repository")
        return value

    def entry(self, name: str) -> Entry:
        """The entry of that name. Raises InvalidInput."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in self.entries)
        raise InvalidInput([Problem("NAME", 0, "", f"expected an entry of {PATH}, found {name}", f"known: {known}")])


def find_problems(
    schedule: Schedule, source: Source, verbs: Collection[str], timezone: ZoneInfo, now: datetime
) -> Iterator[Problem]:
    """What is wrong between entries, and with times that the timezone does not have once on each day."""
    seen: dict[str, int] = {}
    for index, entry in enumerate(schedule.entries):
        key: tuple[str | int, ...] = ("entries", index)
        if entry.name in seen:
            remedy = f"line {source.line(('entries', seen[entry.name], 'name'))} has it already: choose another"
            yield source.problem((*key, "name"), "expected a name of its own", remedy)
        seen.setdefault(entry.name, index)
        if entry.run[0] not in verbs:
            expected = f"expected a verb of socle, found {entry.run[0]}"
            yield source.problem((*key, "run"), expected, f"known: {', '.join(sorted(verbs))}")
        if odd := describe_odd_day(entry.at, timezone, now):
            yield source.problem((*key, "at"), odd, "choose an earlier or a later hour")


def load_schedule(workspace: Workspace, timezone: ZoneInfo, verbs: Collection[str], now: datetime) -> Schedule:
    """The schedule of the control repository. Raises InvalidInput with all its problems."""
    source = load_source(workspace.root / PATH, PATH)
    schedule = make_model(Schedule, source)
    if schedule is not None:
        source.problems.extend(find_problems(schedule, source, verbs, timezone, now))
    if schedule is None or source.problems:
        raise InvalidInput(source.problems)
    return schedule
