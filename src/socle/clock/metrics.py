"""The same truths for Prometheus: a text file, written whole, for the textfile collector of its node exporter."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from socle.clock.certificates import Certificate
from socle.clock.runs import Record, parse_time
from socle.clock.times import Missed
from socle.files import run_write

FILE = "metrics/socle.prom"
"""In the state folder."""
VERDICTS = ("complete", "partial", "failed", "late", "unknown")
STATUSES = ("passed", "failed", "not_checked")
_MODE = 0o644


@dataclass(frozen=True)
class Facts:
    """What metrics are made from."""

    environment: str
    verdicts: Any = None
    """As `socle backup status --json` gives it; None when it could not be read."""
    findings: tuple[Mapping[str, Any], ...] = ()
    """What each check of the audit last found."""
    records: Mapping[str, Record] | None = None
    missed: tuple[Missed, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    unsent: int = 0
    """Mails that wait to be sent."""


def render_metrics(facts: Facts) -> bytes:
    """The text format of Prometheus. What is not known is left out: a zero would be a claim."""
    registry = CollectorRegistry()
    write = _Writer(registry, facts.environment)
    _write_backups(write, facts.verdicts)
    _write_audit(write, facts.findings)
    _write_runs(write, facts.records or {}, facts.missed)
    _write_certificates(write, facts.certificates)
    write("socle_alerts_unsent", "Mails about troubles that wait to be sent.", {}, facts.unsent)
    return generate_latest(registry)


class _Writer:
    """Gauges by name, made when first needed; each carries the environment."""

    def __init__(self, registry: CollectorRegistry, environment: str) -> None:
        self._registry, self._environment = registry, environment
        self._gauges: dict[str, Gauge] = {}

    def __call__(self, name: str, help_text: str, labels: Mapping[str, str], value: float) -> None:
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, help_text, ("environment", *labels), registry=self._registry)
        self._gauges[name].labels(environment=self._environment, **labels).set(value)

    def time(self, name: str, help_text: str, labels: Mapping[str, str], at: Any) -> None:
        """A time, in seconds since 1970, if it is one."""
        if (found := parse_time(at)) is not None:
            self(name, help_text, labels, found.timestamp())


def _write_backups(write: _Writer, status: Any) -> None:
    for site in _find(status, "sites"):
        labels = {"association": str(site.get("association", "")), "site": str(site.get("site", ""))}
        for verdict in VERDICTS:
            value = float(site.get("verdict") == verdict)
            text = "Verdict on the backups of a site: 1 for the one that holds."
            write("socle_backup_verdict", text, {**labels, "verdict": verdict}, value)
        text = "When the newest snapshot of a site arrived on the vault."
        write.time("socle_backup_last_snapshot_timestamp_seconds", text, labels, site.get("time"))
        size = site.get("bytes")
        if isinstance(size, int | float) and not isinstance(size, bool):
            write("socle_backup_last_snapshot_size_bytes", "Size of the newest snapshot of a site.", labels, size)


def _write_audit(write: _Writer, findings: Iterable[Mapping[str, Any]]) -> None:
    counts = Counter((str(one.get("check", "")), str(one.get("status", ""))) for one in findings)
    for check in sorted({check for check, _ in counts}):
        for status in STATUSES:
            text = "Findings of the last audit, by check and status."
            write("socle_audit_findings", text, {"check": check, "status": status}, counts[check, status])


def _write_runs(write: _Writer, records: Mapping[str, Record], missed: Iterable[Missed]) -> None:
    late = {one.name for one in missed}
    for name in sorted({*records, *late}):
        labels = {"entry": name}
        write("socle_schedule_missed", "Whether a run by the clock did not happen.", labels, name in late)
        record = records.get(name)
        if record is None:
            continue
        text = "When the last run by the clock ended."
        write.time("socle_schedule_last_run_timestamp_seconds", text, labels, record.ended)
        text = "When a run by the clock last ended as it should."
        write.time("socle_schedule_last_success_timestamp_seconds", text, labels, record.succeeded)
        if record.exit is not None:
            text = "Exit code of the last run by the clock."
            write("socle_schedule_last_run_exit_code", text, labels, record.exit)
            text = "How long the last run by the clock took."
            write("socle_schedule_last_run_duration_seconds", text, labels, record.seconds)


def _write_certificates(write: _Writer, certificates: Iterable[Certificate]) -> None:
    for one in certificates:
        labels = {"site": one.site, "domain": one.domain}
        write("socle_certificate_valid", "Whether a visitor trusts the certificate.", labels, not one.error)
        text = "When the certificate that visitors are shown expires."
        write.time("socle_certificate_expiry_timestamp_seconds", text, labels, one.expires)


def run_write_metrics(state: Path, facts: Facts) -> None:
    """Write the file, whole or not at all."""
    run_write(state / FILE, render_metrics(facts), _MODE)


def load_json(path: Path) -> Any:
    """What a file of JSON holds; None when there is nothing to read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _find(data: Any, key: str) -> list[dict[str, Any]]:
    found = data.get(key) if isinstance(data, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
