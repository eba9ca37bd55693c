"""The report as data: what the page shows, in French, and what `--json` gives. Frozen, without input or output."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from socle.model.base import Model
from socle.reports.sources import Run, Verdict

FactStatus = Literal["passed", "failed", "not_checked", "pending"]
"""`pending`: neither good nor bad, a person must decide."""


class State(StrEnum):
    """How well a promise is proven."""

    PROVEN = "proven"
    PARTLY = "partly"
    """Proven where it was checked; elsewhere it was not."""
    OLD = "old"
    """It was proven, too long ago to be believed."""
    FAILED = "failed"
    UNKNOWN = "not_checked"


class Detail(Model):
    """What was seen in one place, in the words of the check (English)."""

    place: str
    evidence: str
    remedy: str = ""
    thing: str = ""
    """What was looked at there; a site's name when it is one."""


class Fact(Model):
    """One thing that was checked, or not, wherever it was."""

    check: str
    status: FactStatus
    text: str
    ask: str = ""
    """What somebody must do about it; empty: nothing."""
    who: str = ""
    time: datetime | None = None
    """When it was seen."""
    details: tuple[Detail, ...] = ()


class Kept(Model):
    """A promise, with its proofs."""

    key: str
    title: str
    sentence: str
    how: str
    state: State
    proven: datetime | None
    """When it was last proven; of several proofs, the oldest."""
    facts: tuple[Fact, ...]


class Action(Model):
    """Something for a person to do."""

    ask: str
    who: str
    because: str
    promise: str
    """Title of the promise; empty when it is about the report itself."""
    associations: tuple[str, ...] = ()
    """Names of those whose sites are concerned."""
    details: tuple[Detail, ...] = ()


class SiteRow(Model):
    """A site as its association knows it."""

    association: str
    site: str
    service: str
    addresses: tuple[str, ...]
    quota: int
    """Bytes."""


class BackupRow(Model):
    """The backups of a site."""

    association: str
    site: str
    verdict: Verdict
    time: datetime | None
    size: int | None
    reason: str


class Provenance(Model):
    """What the report was made from."""

    environment: str
    plan: str
    """Digest of the plan."""
    audit: str
    """File of the audit; empty when there is none."""
    audit_digest: str
    audit_time: datetime | None
    backups_time: datetime | None


class Report(Model):
    """Everything the page says."""

    syndicate: str
    timezone: str
    time: datetime
    headline: str
    ordered: bool
    """Whether nothing needs anybody."""
    promises: tuple[Kept, ...]
    actions: tuple[Action, ...]
    sites: tuple[SiteRow, ...]
    backups: tuple[BackupRow, ...]
    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    provenance: Provenance

    def having(self, *states: State) -> tuple[Kept, ...]:
        """The promises in one of these states."""
        return tuple(promise for promise in self.promises if promise.state in states)

    def facts(self, status: FactStatus) -> tuple[Fact, ...]:
        """All facts of a status, promise by promise."""
        return tuple(fact for promise in self.promises for fact in promise.facts if fact.status == status)
