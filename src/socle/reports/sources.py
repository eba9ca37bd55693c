"""What reports are made from: the newest audit, the verdicts of backups, the journal. A file that is missing or
cannot be read is never taken for good news: what it would have proven is not checked, and a note says why."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from socle.backups.memory import VERDICTS
from socle.load.workspace import Workspace
from socle.model.base import Model
from socle.reports.french import clean
from socle.runs.journal import load_journal

FindingStatus = Literal["passed", "failed", "not_checked"]
Verdict = Literal["complete", "partial", "failed", "late", "unknown"]
_STATUSES: tuple[FindingStatus, ...] = ("passed", "failed", "not_checked")
_DRILLS = "drills"
_VERDICTS: tuple[Verdict, ...] = ("complete", "partial", "failed", "late", "unknown")
_DIGITS_OF_TIME = 14


class Finding(Model):
    """What one check of the audit found on one host."""

    host: str
    check: str
    status: FindingStatus
    evidence: str
    remedy: str

    @property
    def kind(self) -> str:
        """The kind of the check: its name is `kind`, or `kind:thing`."""
        return self.check.partition(":")[0]

    @property
    def thing(self) -> str:
        """What was looked at on the host; empty when it is the host itself."""
        return self.check.partition(":")[2]


class Audit(Model):
    """One audit that was made: state/audit/<UTC time>.json."""

    time: datetime
    file: str
    digest: str
    """SHA-256 of the file, so that a reader can be sure to hold the same one."""
    findings: tuple[Finding, ...]


class Backup(Model):
    """The verdict on the backups of one site, read from the repository."""

    association: str
    site: str
    verdict: Verdict
    time: datetime | None
    """When the newest snapshot arrived on the vault; None when there is none."""
    size: int | None
    """Bytes; None when nobody could tell."""
    reason: str


class Backups(Model):
    """All verdicts, and when they were read from the vault."""

    time: datetime | None
    sites: tuple[Backup, ...]


class Drill(Model):
    """A site that was brought up from its backup beside the live one: state/drills/<UTC time>-<site>.json."""

    time: datetime
    """When it began."""
    site: str
    snapshot: str
    verdict: str
    reason: str
    checks: tuple[tuple[str, str], ...]
    """(name, status)"""

    @property
    def proves(self) -> bool:
        """Whether the site came up, and everything that was compared is as it was saved."""
        return self.verdict == "restored" and bool(self.checks) and all(status == "passed" for _, status in self.checks)


class Run(Model):
    """A run that changed something, from the journal. No `result`: it was killed, or is not over."""

    time: datetime | None
    who: str
    command: str
    commit: str
    result: str
    changes: int
    exit: int | None = None
    """The verb's exit code, where its end says it: a verb that ends in order may have done its work in part."""
    restored: int | None = None
    """How many sites a restore brought back, where its end says it."""

    @property
    def proves(self) -> bool:
        """Whether it did all it had to: nothing less is a proof."""
        return self.result == "done" and self.exit == 0

    @property
    def restores(self) -> bool:
        """Whether it did, and there was something to restore."""
        return self.proves and self.restored is not None and self.restored > 0

    @property
    def fails(self) -> bool:
        """Whether it is known not to have."""
        return self.result.startswith("failed") or self.exit not in (0, None)


class Sources(Model):
    """Everything a report reads, with notes in French on what could not be read."""

    audit: Audit | None = None
    backups: Backups | None = None
    runs: tuple[Run, ...] = ()
    drills: tuple[Drill, ...] = ()
    """The newest of each site, newest first."""
    notes: tuple[str, ...] = ()


def load_sources(workspace: Workspace) -> Sources:
    """What there is in the environment's state folder."""
    notes: list[str] = []
    return Sources(
        audit=load_audit(workspace.state / "audit", notes),
        backups=load_backups(workspace.state / VERDICTS, notes),
        runs=load_runs(workspace.state, notes),
        drills=load_drills(workspace.state / _DRILLS, notes),
        notes=tuple(notes),
    )


def load_audit(folder: Path, notes: list[str]) -> Audit | None:
    """The newest audit of `folder` that can be read."""
    for time, path in find_audits(folder.glob("*.json") if folder.is_dir() else ()):
        try:
            return parse_audit(path.read_bytes(), time, path.name)
        except (OSError, ValueError) as error:
            notes.append(f"Le relevé d’audit {clean(path.name)} n’a pas pu être lu ({clean(error)[:200]}).")
    return None


def find_audits(paths: Iterable[Path]) -> list[tuple[datetime, Path]]:
    """Those named after a time, newest first."""
    found = [(time, path) for path in paths if (time := parse_stem(path.stem)) is not None]
    return sorted(found, reverse=True)


def parse_stem(stem: str) -> datetime | None:
    """The UTC time in a file's name, such as 2026-11-27T004500Z, however its digits are set apart."""
    digits = re.sub(r"\D", "", stem)[:_DIGITS_OF_TIME]
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def parse_audit(content: bytes, time: datetime, name: str) -> Audit:
    """An audit's file. Raises ValueError when it is not one."""
    data = _parse_json(content)
    findings = data.get("findings")
    if not isinstance(findings, list):
        raise ValueError("no list of findings in it")
    made = tuple(_make_finding(one) for one in findings)
    return Audit(time=time, file=clean(name), digest=hashlib.sha256(content).hexdigest(), findings=made)


def _make_finding(data: Any) -> Finding:
    """A finding. What has no known status is not checked: nothing unknown is ever good."""
    found = data if isinstance(data, dict) else {"evidence": data}
    said = found.get("status")
    status: FindingStatus = said if said in _STATUSES else "not_checked"
    texts = {key: clean(found.get(key) or "") for key in ("host", "check", "evidence", "remedy")}
    return Finding(status=status, **{**texts, "check": texts["check"] or "unnamed"})


def load_backups(path: Path, notes: list[str]) -> Backups | None:
    """The verdicts that were last written."""
    if not path.is_file():
        return None
    try:
        return parse_backups(path.read_bytes())
    except (OSError, ValueError) as error:
        notes.append(f"Les verdicts des sauvegardes n’ont pas pu être lus ({clean(error)[:200]}).")
        return None


def parse_backups(content: bytes) -> Backups:
    """The file of verdicts. Raises ValueError when it is not one."""
    data = _parse_json(content)
    sites = data.get("sites")
    if not isinstance(sites, list):
        raise ValueError("no list of sites in it")
    return Backups(
        time=parse_time(data.get("time")), sites=tuple(_make_backup(one) for one in sites if isinstance(one, dict))
    )


def _make_backup(data: Mapping[str, Any]) -> Backup:
    said, size = data.get("verdict"), data.get("bytes")
    return Backup(
        association=clean(data.get("association") or ""),
        site=clean(data.get("site") or ""),
        verdict=said if said in _VERDICTS else "unknown",
        time=parse_time(data.get("time")),
        size=int(size) if isinstance(size, int | float) and not isinstance(size, bool) else None,
        reason=clean(data.get("reason") or ""),
    )


def load_drills(folder: Path, notes: list[str]) -> tuple[Drill, ...]:
    """The newest drill of each site that can be read, newest first."""
    found: dict[str, Drill] = {}
    # Names sort by time.
    for path in sorted(folder.glob("*-*.json") if folder.is_dir() else (), reverse=True):
        if path.stem.partition("-")[2] in found:
            continue
        try:
            one = parse_drill(path.read_bytes())
            found[one.site] = one
        except (OSError, ValueError) as error:
            notes.append(f"L’essai de restauration {clean(path.name)} n’a pas pu être lu ({clean(error)[:200]}).")
    return tuple(sorted(found.values(), key=lambda one: one.time, reverse=True))


def parse_drill(content: bytes) -> Drill:
    """The file of a drill. Raises ValueError when it is not one."""
    data = _parse_json(content)
    time, checks = parse_time(data.get("time")), data.get("checks")
    if time is None or not isinstance(checks, list):
        raise ValueError("no time or no list of checks in it")
    pairs = ((one.get("name"), one.get("status")) if isinstance(one, dict) else (one, None) for one in checks)
    texts = {key: clean(data.get(key) or "") for key in ("site", "snapshot", "verdict", "reason")}
    return Drill(time=time, checks=tuple((clean(name), clean(status)) for name, status in pairs), **texts)


def load_runs(state: Path, notes: list[str]) -> tuple[Run, ...]:
    """The runs of the journal, newest first."""
    try:
        return make_runs(load_journal(state))
    except (OSError, ValueError) as error:
        notes.append(f"Le journal n’a pas pu être lu ({clean(error)[:200]}).")
        return ()


def make_runs(events: Iterable[Any]) -> tuple[Run, ...]:
    """Starts and ends of the journal put together, newest first."""
    starts: dict[str, Mapping[str, Any]] = {}
    ends: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if isinstance(event, dict) and event.get("event") in ("started", "ended"):
            (starts if event["event"] == "started" else ends)[str(event.get("run"))] = event
    return tuple(_make_run(event, ends.get(run, {})) for run, event in reversed(starts.items()))


def _make_run(start: Mapping[str, Any], end: Mapping[str, Any]) -> Run:
    changes = end.get("changes")
    return Run(
        time=parse_time(start.get("at")),
        who=clean(start.get("who") or ""),
        command=clean(start.get("command") or ""),
        commit=clean(start.get("commit") or ""),
        result=clean(end.get("result") or ""),
        changes=changes if isinstance(changes, int) else 0,
        exit=_parse_count(end.get("exit")),
        restored=_parse_count(end.get("restored")),
    )


def _parse_count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def parse_time(value: Any) -> datetime | None:
    """A time from text (ISO 8601) or seconds since 1970. None when it is neither."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse_json(content: bytes) -> dict[str, Any]:
    """An object of JSON. Bytes that are not UTF-8 become � and spoil nothing else."""
    data = json.loads(content.decode(errors="replace"))
    if not isinstance(data, dict):
        raise ValueError("expected an object")
    return data
