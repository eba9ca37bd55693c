"""What `socle status` knows: what was observed, and the screen as data. Frozen, without input or output."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from socle.model.base import Model
from socle.reports.model import BackupRow
from socle.reports.sources import Sources


class Certificate(Model):
    """The certificate that the edge shows for a name."""

    name: str
    site: str
    end: datetime | None = None
    days: float | None = None
    """Days left; negative once it is over, None when nobody could tell."""
    soon: bool = False
    """Whether it should have been renewed by now."""
    source: Literal["edge", "audit", ""] = ""
    """Where this was read: over TLS just now, or in the last audit; empty: nowhere."""
    problem: str = ""


class Quota(Model):
    """What a volume holds, as Incus counts it."""

    volume: str
    association: str
    host: str
    used: int | None
    """Bytes."""
    size: int | None
    share: float | None
    level: Literal["good", "warning", "full", "unknown"]


class HostState(Model):
    """A host of the plan, and what Incus says of it."""

    host: str
    role: str
    state: str


class Need(Model):
    """Something for a human."""

    kind: str
    subject: str
    detail: str
    remedy: str


class Unknown(Model):
    """A source that could not be read, and why."""

    source: str
    reason: str


class SiteLine(Model):
    """A site, its names, and the reasons to look at it."""

    site: str
    association: str
    association_name: str
    service: str
    host: str
    domains: tuple[str, ...]


class AuditLine(Model):
    """The last audit, counted."""

    time: datetime
    passed: int
    failed: int
    not_checked: int


class Shown(Model):
    """What the edge shows to who asks for a name: a certificate with its end, or what is wrong with it."""

    begins: datetime | None = None
    end: datetime | None = None
    problem: str = ""


class Missed(Model):
    """A run by the clock that did not happen, or did not end well."""

    name: str
    detail: str
    remedy: str


class Observed(Model):
    """What was read, each part within its time; None: it could not be."""

    sources: Sources
    instances: Mapping[str, str] | None = None
    """State by host."""
    volumes: Mapping[str, tuple[int, int]] | None = None
    """Bytes used and bytes in all by volume; those that could not be read are absent."""
    certificates: Mapping[str, Shown | str] | None = None
    """What the edge shows by name; text: why it could not be asked."""
    missed: tuple[Missed, ...] | None = ()
    """None: nobody could tell."""
    escrow: bool | None = None
    lab: bool = False
    unknown: tuple[Unknown, ...] = ()


class Status(Model):
    """The screen as data."""

    environment: str
    syndicate: str
    timezone: str
    time: datetime
    associations: tuple[str, ...]
    hosts: tuple[HostState, ...]
    sites: tuple[SiteLine, ...]
    certificates: tuple[Certificate, ...]
    quotas: tuple[Quota, ...]
    backups: tuple[BackupRow, ...]
    backups_time: datetime | None
    audit: AuditLine | None
    needs: tuple[Need, ...]
    unknown: tuple[Unknown, ...]
