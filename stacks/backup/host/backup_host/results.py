"""What came of each site's last attempt: files for us, metrics for Prometheus."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LONGEST = 1500
VERDICTS = ("complete", "partial", "failed")


def make_time(seconds: float) -> str:
    """UTC, ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def make_printable(text: str) -> str:
    """Text for people: bytes that are not UTF-8, and whatever would move their terminal's cursor, are escaped. Names of
    files are their owners', who may be hostile."""
    decoded = os.fsencode(text).decode(errors="backslashreplace")
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in decoded)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."


def load_json(path: Path) -> dict[str, Any]:
    """A file of ours; nothing when it is not there or cannot be read."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def run_write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """The old content or the new, never half."""
    new = path.with_name(f".{path.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(handle, mode)
        stream.write(content)
        stream.flush()
        os.fsync(handle)
    new.replace(path)


def make_result(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The result to keep. The last complete save stays named, whatever came after it (case A3)."""
    last = {"snapshot": now["snapshot"], "ended": now["ended"]} if now["result"] == "complete" else before.get("last")
    return {**now, "last": last}


def render_metrics(results: Iterable[Mapping[str, Any]]) -> str:
    """Text for the node exporter's collector. Sites' names hold nothing that needs quoting."""
    lines = []
    for result in results:
        site = f'site="{result["site"]}"'
        for verdict in VERDICTS:
            value = int(result["result"] == verdict)
            lines.append(f'socle_backup_result{{{site},result="{verdict}"}} {value}')
        lines.append(f"socle_backup_attempt_seconds{{{site}}} {_seconds(result['ended'])}")
        if last := result.get("last"):
            lines.append(f"socle_backup_complete_seconds{{{site}}} {_seconds(last['ended'])}")
    return "".join(f"{line}\n" for line in sorted(lines))


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
