"""Verdicts: what the vault's own record proves of each site's backups. Pure.

A verdict is `complete` only when nothing speaks against it. Each fault that is found has a weight and one clear
sentence; the heaviest fault gives the verdict, and all sentences are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from socle.backups.facts import (
    Attempt,
    Expected,
    Facts,
    Listed,
    Manifest,
    Observed,
    Snapshot,
    render_time,
)
from socle.clock.times import find_due
from socle.model.base import Model
from socle.model.policy import Policy

Word = Literal["complete", "partial", "failed", "late", "unknown"]
_WEIGHTS: dict[Word, int] = {"complete": 0, "late": 1, "partial": 2, "unknown": 3, "failed": 4}
AHEAD = 600.0
"""Seconds by which a host's clock may be ahead of the vault's."""
BEHIND = 12 * 3600.0
"""Seconds that may lie between the beginning of a save, which is the snapshot's time, and its arrival."""
LOCK_SECONDS = 1800.0
"""restic writes its lock again every five minutes: one that is older than half an hour has lost its client."""
NIGHT_MARGIN = timedelta(hours=2)
"""How long the last host that begins may take until a night without a snapshot is one that was missed."""
NEARLY_FULL = 0.95
_FILES_SHARE, _FILES_SLACK = 0.9, 20
"""The manifest is made before the snapshot, and the site lives on in between."""
_SHOWN = 3


class Verdict(Model):
    """What is known of a site's backups. `time`: when its newest snapshot arrived, ISO 8601 in UTC."""

    association: str
    site: str
    verdict: Word
    snapshot: str = ""
    time: str = ""
    bytes: int = 0
    reason: str = ""


class Fault(NamedTuple):
    """Something that speaks against a backup; `complete` for what is only worth saying."""

    word: Word
    sentence: str


def make_verdict(
    expected: Expected, observed: Observed, attempt: Attempt | None, policy: Policy, timezone: str, now: float
) -> Verdict:
    """The verdict on one site, `now` being epoch seconds. `attempt`: the last one recorded, None when there is none
    or when a snapshot that arrived since makes it past."""
    night = find_night(expected, policy, ZoneInfo(timezone), now)
    faults = sorted(_find_faults(expected, observed, attempt, policy, night, now), key=lambda one: -_WEIGHTS[one.word])
    newest = observed.newest
    word: Word = faults[0].word if faults else "complete"
    if word != "complete" and observed.silent:
        faults.append(Fault("complete", f"Its host could not be asked: {_cut(observed.silent)}."))
    listed = observed.facts.listed if observed.facts else None
    return Verdict(
        association=expected.association,
        site=expected.site,
        verdict=word,
        snapshot=newest.id if newest else "",
        time=render_time(newest.arrival) if newest else "",
        bytes=listed.total if listed else (newest.bytes or 0) if newest else 0,
        reason=" ".join(dict.fromkeys(fault.sentence for fault in faults)),
    )


def make_unknown(expected: Expected, error: Exception) -> Verdict:
    """The verdict on a site that could not be judged: of what was read, something is as nobody foresaw."""
    reason = f"It could not be judged: unexpected {type(error).__name__}: {_cut(str(error)) or 'no reason given'}."
    return Verdict(association=expected.association, site=expected.site, verdict="unknown", reason=reason)


def is_good(expected: Expected, observed: Observed, attempt: Attempt | None, policy: Policy) -> bool:
    """Whether the newest snapshot is complete in itself, however old it is and whatever came after it."""
    newest, facts = observed.newest, observed.facts
    if newest is None or facts is None or facts.listed is None:
        return False
    if attempt and attempt.result != "complete" and attempt.snapshot and newest.id.startswith(attempt.snapshot):
        return False
    return next(_find_snapshot_faults(expected, observed, newest, policy), None) is None


def is_dated(snapshot: Snapshot) -> bool:
    """Whether the time that a snapshot claims fits its arrival. What does not was dated on purpose, or by a clock
    that is wrong."""
    return -AHEAD <= snapshot.arrival - snapshot.claimed <= BEHIND


def find_night(expected: Expected, policy: Policy, zone: ZoneInfo, now: float) -> float:
    """Since when (epoch seconds) a snapshot must have arrived for the last night that is over not to be missed.

    Hosts begin at the policy's local time. The platform saves itself at another, which schedule.yml says: for it any
    time since the night before was over will do."""
    length = timedelta(minutes=policy.spread) + NIGHT_MARGIN
    began = find_due(policy.moment, datetime.fromtimestamp(now, UTC) - length, zone)
    if not expected.host:
        before = find_due(policy.moment, began - timedelta(seconds=1), zone)
        return (before + length).timestamp()
    return began.timestamp() - AHEAD  # a host's own clock tells it when to begin


def find_stale(observed: Observed, now: float) -> list[str]:
    """The locks whose client died, each with its holder and age."""
    return [
        f"{lock.holder or lock.id[:8]}, {_render_age(now - lock.arrival)} ago"
        for lock in observed.locks
        if now - lock.arrival > LOCK_SECONDS
    ]


def _find_faults(
    expected: Expected, observed: Observed, attempt: Attempt | None, policy: Policy, night: float, now: float
) -> Iterator[Fault]:
    if not expected.repository:
        yield Fault("failed", "No vault has a repository for it: declare a host with the role vault.")
        return
    yield from _find_repository_faults(expected, observed, now)
    newest = observed.newest
    yield from _find_attempt_faults(observed, attempt)
    if newest is None:
        if not observed.error and not observed.missing and (attempt is None or attempt.result == "complete"):
            yield Fault("late", "Nothing of it was saved yet.")
        return
    yield from _find_age_faults(newest, policy, night, now)
    yield from _find_snapshot_faults(expected, observed, newest, policy)


def _find_snapshot_faults(expected: Expected, observed: Observed, newest: Snapshot, policy: Policy) -> Iterator[Fault]:
    """What speaks against the newest snapshot itself, as far as it was read: nothing of this ever changes."""
    yield from _find_date_faults(expected, newest)
    facts = observed.facts
    if facts is None or facts.listed is None:
        if not observed.error:
            why = facts.error if facts and facts.error else "no reason given"
            yield Fault("unknown", f"Its newest snapshot cannot be read: {_cut(why)}.")
        return
    yield from _find_content_faults(expected, newest, facts.listed, facts.manifest)
    if observed.accepted != newest.id:
        yield from _find_shrink(facts, observed, newest, policy)


def _find_repository_faults(expected: Expected, observed: Observed, now: float) -> Iterator[Fault]:
    whose = expected.association or "the platform"
    if observed.missing:
        yield Fault("failed", f"The vault has no repository of {whose}: run socle apply.")
    elif observed.error:
        yield Fault("unknown", f"The repository of {whose} cannot be read: {_cut(observed.error)}.")
    if observed.foreign:
        shown = ", ".join(_shorten(name) for name in observed.foreign[:_SHOWN])
        more = ", ..." if len(observed.foreign) > _SHOWN else ""
        count = _render_count(len(observed.foreign), "file")
        yield Fault(
            "partial", f"The repository holds {count} not ours or not readable ({shown}{more}): run socle backup mend."
        )
    if stale := find_stale(observed, now):
        yield Fault("partial", f"A client died and left its lock ({'; '.join(stale[:_SHOWN])}): run socle backup mend.")
    if observed.damage:
        yield Fault("failed", f"The last verification of the repository found: {_cut(observed.damage)}.")
    if expected.quota and observed.used >= NEARLY_FULL * expected.quota:
        share = observed.used / expected.quota
        yield Fault("complete", f"The repository is {share:.0%} full ({observed.used} of {expected.quota} bytes).")


def _find_attempt_faults(observed: Observed, attempt: Attempt | None) -> Iterator[Fault]:
    if attempt is None:
        return
    why = _cut(attempt.reason) or "no reason given"
    if attempt.result == "failed":
        yield Fault("failed", f"The last attempt failed: {why}.")
    elif attempt.result == "partial":
        yield Fault("partial", f"The last attempt saved a part only: {why}.")
    elif attempt.snapshot and not observed.error and not observed.missing:
        known = any(one.id.startswith(attempt.snapshot) for one in observed.snapshots)
        if not known:
            yield Fault("failed", f"Its host says that it saved {attempt.snapshot[:8]}, which the vault does not have.")


def _find_date_faults(expected: Expected, newest: Snapshot) -> Iterator[Fault]:
    if not is_dated(newest):
        whose = f"the clock of {newest.host or expected.host or 'this machine'} is wrong, or it was dated on purpose"
        claimed = render_time(newest.claimed) if newest.claimed else newest.time[:40]
        arrived = render_time(newest.arrival)
        yield Fault("partial", f"The newest snapshot claims to be of {claimed} and arrived {arrived}: {whose}.")


def _find_age_faults(newest: Snapshot, policy: Policy, night: float, now: float) -> Iterator[Fault]:
    age = now - newest.arrival
    if age > policy.late_after * 3600:
        limit = f"{policy.late_after} h is the limit"
        yield Fault("late", f"The newest snapshot arrived {_render_age(age)} ago: {limit}.")
    elif newest.arrival < night:
        yield Fault("late", f"The last night brought no snapshot: the newest arrived {_render_age(age)} ago.")
    elif age < -AHEAD:
        yield Fault("partial", f"The newest snapshot arrives {_render_age(-age)} from now: a clock is wrong.")


def _find_content_faults(
    expected: Expected, newest: Snapshot, listed: Listed, manifest: Manifest | None
) -> Iterator[Fault]:
    """What is missing in the newest snapshot, or is not what its manifest says."""
    for path in (expected.folder, expected.staging):
        if path not in newest.paths:
            yield Fault("failed", f"The newest snapshot does not hold {path}.")
    if not listed.folder or not listed.entries:
        yield Fault("failed", f"The newest snapshot holds nothing of {expected.folder}.")
    if manifest is None:
        yield Fault("partial", "The newest snapshot has no manifest that can be read: what is in it is not proven.")
        if expected.database and not listed.dump:
            yield Fault("failed", "The newest snapshot has no dump of the database.")
        return
    if (manifest.site, manifest.association) != (expected.site, expected.association):
        yield Fault("failed", f"The newest snapshot is of another site: {_cut(manifest.site)}.")
    yield from _find_database_faults(expected, listed, manifest)
    for path, part in sorted(manifest.sqlite.items()):
        found = listed.parts.get(f"sqlite/{path}")
        if found != part.bytes:
            yield Fault("failed", f"The copy of {_cut(path)} has {found or 0} bytes; its manifest says {part.bytes}.")
    for path in expected.sqlite:
        if "*" not in path and path not in manifest.sqlite:
            yield Fault("failed", f"The newest snapshot has no copy of {path}.")
    if not listed.parts.get("files.jsonl"):
        yield Fault("partial", "The newest snapshot has no list of files: a restore could not be compared with it.")
    if listed.files < _FILES_SHARE * manifest.files.count - _FILES_SLACK:
        yield Fault("partial", f"The newest snapshot holds {listed.files} of {manifest.files.count} files.")


def _find_database_faults(expected: Expected, listed: Listed, manifest: Manifest) -> Iterator[Fault]:
    if not expected.database and manifest.database is None:
        return
    if listed.dump is None:
        yield Fault("failed", "The newest snapshot has no dump of the database.")
    elif listed.dump == 0:
        yield Fault("failed", "The dump of the database is empty.")
    elif manifest.database is None:
        yield Fault("failed", "The manifest of the newest snapshot says nothing of the database.")
    elif listed.dump != manifest.database.bytes:
        said = manifest.database.bytes
        yield Fault(
            "failed", f"The dump of the database has {listed.dump} bytes; its manifest says {said}: it was cut."
        )
    elif not manifest.database.tables:
        yield Fault("failed", "The dump of the database holds no table.")


def _find_shrink(facts: Facts, observed: Observed, newest: Snapshot, policy: Policy) -> Iterator[Fault]:
    """Whether far less is there than in the last good snapshot: what was emptied must not pass for saved. Names
    each measure."""
    less = [
        f"{now} {what} of {before}"
        for what, now, before in _make_measures(facts, observed, newest)
        if now < policy.shrink * before
    ]
    if less:
        accept = "if that is right: socle backup accept"
        yield Fault("partial", f"Far less was saved than the time before ({', '.join(less)}); {accept}.")


def _make_measures(facts: Facts, observed: Observed, newest: Snapshot) -> Iterator[tuple[str, int, int]]:
    """What there is now and what there was: bytes, files, rows."""
    before = observed.before
    if facts.listed is None:
        return
    if before is not None and before.listed is not None:
        yield "bytes", facts.listed.total, before.listed.total
        yield "files", facts.listed.files, before.listed.files
        if facts.manifest and before.manifest:
            yield "table rows", _count_rows(facts.manifest), _count_rows(before.manifest)
        return
    earlier = [one for one in observed.snapshots if one.arrival < newest.arrival and is_dated(one)]
    last = max(earlier, key=lambda one: one.arrival, default=None)
    if last and None not in (last.bytes, last.files, newest.bytes, newest.files):
        yield "bytes", newest.bytes or 0, last.bytes or 0
        yield "files", newest.files or 0, last.files or 0


def _count_rows(manifest: Manifest) -> int:
    parts = [*manifest.sqlite.values(), *([manifest.database] if manifest.database else [])]
    return sum(sum(part.tables.values()) for part in parts)


def _render_age(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.0f} days" if hours >= 72 else f"{hours:.0f} h" if hours >= 2 else f"{seconds / 60:.0f} min"


def _render_count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _shorten(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file[:8]}" if len(file) == 64 else _cut(name, 60)


def _cut(text: str, limit: int = 300) -> str:
    """One line of what somebody else said, without the full stop that our sentence has."""
    line = " ".join(text.split())
    return (line if len(line) <= limit else f"{line[:limit]}...").rstrip(".")
