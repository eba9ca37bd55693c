"""What was read about backups: snapshots, what is in them, attempts. Frozen values, parsed from what vaults and
hosting hosts answer; a host may be hostile, so nothing it says is taken without its type and its bounds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from socle.model.base import Model

MOST = 2**63 - 1
Count = Annotated[int, Field(ge=0, le=MOST)]
"""What a computer counts: an integer of any length in somebody's JSON is none, and has no place in a sum."""
_LATEST = datetime(9999, 12, 30, tzinfo=UTC).timestamp()
"""No later time can be rendered in every zone."""


class _Heard(Model):
    """What somebody else wrote: keys that we do not know are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


def parse_time(text: str) -> float:
    """UTC epoch seconds of restic's or a manifest's time, in ISO 8601; without a zone it is UTC. 0.0 when it is
    none, or beyond the years that can be rendered: far from any arrival, so that it is noticed."""
    try:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return seconds if 0.0 <= seconds <= _LATEST else 0.0


def render_time(seconds: float) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


class Expected(Model):
    """A site that should be saved, and what of it."""

    association: str
    """Empty for the platform itself."""
    site: str
    service: str
    host: str
    """Where it lives; empty for the platform itself: this machine."""
    repository: str
    """Name of its repository; empty when there is no vault for it."""
    quota: int
    """Bytes that its repository may take."""
    folder: str
    staging: str
    """Folders that each of its snapshots holds."""
    database: bool
    sqlite: tuple[str, ...] = ()


def _drop_uncountable(value: Any) -> Any:
    return value if isinstance(value, int) and 0 <= value <= MOST else None


Summed = Annotated[Count | None, BeforeValidator(_drop_uncountable)]
"""What a snapshot's summary counts: not known when it is no count, so that the snapshot itself is not passed over."""


class Snapshot(_Heard):
    """A snapshot as the vault has it. `time` is what the host claims; `arrival` (epoch seconds) is when the vault
    received it, which no host can write. `safety`: it is what the site was before a restore."""

    id: str = Field(pattern=r"^[0-9a-f]{64}$")
    time: str
    arrival: float
    site: str = ""
    safety: bool = False
    host: str = ""
    paths: tuple[str, ...] = ()
    files: Summed = None
    bytes: Summed = None

    @property
    def claimed(self) -> float:
        """Epoch seconds of `time`."""
        return parse_time(self.time)


class Part(_Heard):
    """A database as the manifest describes it: bytes of its dump, rows of each table."""

    bytes: Count
    tables: dict[str, Count] = Field(default_factory=dict)


class Files(_Heard):
    """The site's folder as the manifest describes it: how many files, and their bytes."""

    count: Count
    bytes: Count


class Manifest(_Heard):
    """What the host says a snapshot holds."""

    format: int
    site: str
    association: str = ""
    service: str = ""
    files: Files
    database: Part | None = None
    sqlite: Annotated[dict[str, Part], BeforeValidator(lambda value: value or {})] = Field(default_factory=dict)


class Listed(_Heard):
    """What restic lists in a snapshot: the site's folder (entries, files and bytes), the dump, and every staged file
    by its path below the staging folder."""

    folder: bool
    entries: Count
    files: Count
    bytes: Count
    dump: Count | None = None
    parts: dict[str, Count] = Field(default_factory=dict)

    @property
    def total(self) -> int:
        """Bytes of everything."""
        return self.bytes + sum(self.parts.values())


class Facts(Model):
    """What was read in a snapshot, which never changes. `error`: why it could not be read."""

    snapshot: str
    manifest: Manifest | None = None
    listed: Listed | None = None
    error: str = ""


class Attempt(_Heard):
    """What the hosting host recorded of its last attempt to save a site. `seen`: epoch seconds, by this machine's
    clock, when this attempt was first heard of."""

    result: Literal["complete", "partial", "failed"]
    reason: str = ""
    snapshot: Annotated[str, BeforeValidator(lambda value: value or "")] = ""
    began: str = ""
    ended: str = ""
    seen: float = 0.0

    def is_same(self, other: Attempt) -> bool:
        """Whether both are records of one attempt."""
        return self.model_copy(update={"seen": other.seen}) == other


class Lock(_Heard):
    """A lock on a repository. `arrival`: epoch seconds. `holder`: who it says has it, when that was read."""

    id: str
    arrival: float
    holder: str = ""


class Observed(Model):
    """What is known of a site's backups. `error`: why its repository cannot be read; `missing`: there is none.
    `facts`: of the newest snapshot; `before`: of the last good one before it. `damage`: what the last verification
    of the repository found. `silent`: why its host could not be asked."""

    error: str = ""
    missing: bool = False
    used: int = 0
    locks: tuple[Lock, ...] = ()
    foreign: tuple[str, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    facts: Facts | None = None
    before: Facts | None = None
    accepted: str = ""
    damage: str = ""
    silent: str = ""

    @property
    def newest(self) -> Snapshot | None:
        """The snapshot that arrived last."""
        return find_newest(self.snapshots)


def find_newest(snapshots: tuple[Snapshot, ...] | list[Snapshot]) -> Snapshot | None:
    """The one that arrived last; of two that arrived together, always the same one."""
    return max(snapshots, key=lambda one: (one.arrival, one.id), default=None)


def parse_facts(data: Any) -> Facts | None:
    """Facts from what the agent of the vault read in a snapshot. None when it only names it. A manifest that is not
    one counts as none; a list that is not one is the facts' error."""
    if not isinstance(data, dict) or "listed" not in data:
        return None
    manifest = listed = None
    error = str(data.get("error") or "")
    try:
        listed = Listed.model_validate(data["listed"]) if data["listed"] is not None else None
    except ValidationError:
        error = error or "what it lists are no files that can be counted"
    try:
        manifest = Manifest.model_validate(data.get("manifest"))
    except ValidationError:
        manifest = None
    return Facts(snapshot=str(data["snapshot"]), manifest=manifest, listed=listed, error=error)


def parse_attempt(data: Any) -> Attempt | None:
    """An attempt from what the hosting host recorded; None when it is no such record."""
    try:
        found = Attempt.model_validate(data)
    except (ValidationError, OverflowError):
        return None
    reason = " ".join(found.reason.split())
    return found.model_copy(update={"reason": reason[:500], "seen": 0.0})
