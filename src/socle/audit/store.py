"""Results are kept, so that a report can say when something was last proven."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from socle.audit.finding import Findings
from socle.files import run_write

KEPT = 400
"""Results: more than a year of nights."""
_FORM = "%Y%m%dT%H%M%SZ"


def run_keep(state: Path, findings: Findings, now: float) -> Path:
    """Write a result to `<state>/audit/<UTC>.json` and forget the oldest beyond `KEPT`. Its path."""
    folder = state / "audit"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{datetime.fromtimestamp(now, UTC):{_FORM}}.json"
    run_write(path, findings.model_dump_json(indent=2).encode() + b"\n")
    for old in sorted(folder.glob("*.json"))[:-KEPT]:
        old.unlink()
    return path


def load_latest(state: Path) -> tuple[datetime, Findings] | None:
    """The newest result and when it was read; None when there is none. One that cannot be read is passed over."""
    for path in sorted((state / "audit").glob("*.json"), reverse=True):
        try:
            at = datetime.strptime(path.stem, _FORM).replace(tzinfo=UTC)
            return at, Findings.model_validate_json(path.read_bytes())
        except ValueError:
            continue
    return None
