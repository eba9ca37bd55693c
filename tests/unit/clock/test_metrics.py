"""Metrics: what Prometheus reads back is what was written; what is not known is not claimed."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from socle.clock.certificates import Certificate
from socle.clock.metrics import FILE, Facts, render_metrics, run_write_metrics
from socle.clock.runs import Record
from socle.clock.times import Missed

NOW = datetime(2026, 11, 27, 5, 30, tzinfo=UTC)


def parse(facts: Facts) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples, by name and labels (without the environment, which each must have)."""
    found = {}
    for family in text_string_to_metric_families(render_metrics(facts).decode()):
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("environment") == facts.environment
            key = (sample.name, frozenset(labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def get(samples: dict[Any, float], name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def test_backups() -> None:
    verdicts = {
        "sites": [
            {"association": "a", "site": "wp-a", "verdict": "complete", "time": NOW.isoformat(), "bytes": 1234},
            {"association": "b", "site": "wp-b", "verdict": "unknown", "time": None, "bytes": None},
        ]
    }
    samples = parse(Facts("prod", verdicts))
    for name, site in (("a", "wp-a"), ("b", "wp-b")):
        states = {
            verdict: get(samples, "socle_backup_verdict", association=name, site=site, verdict=verdict)
            for verdict in ("complete", "partial", "failed", "late", "unknown")
        }
        wanted = "complete" if name == "a" else "unknown"
        assert states == {verdict: float(verdict == wanted) for verdict in states}
    labels = {"association": "a", "site": "wp-a"}
    assert get(samples, "socle_backup_last_snapshot_timestamp_seconds", **labels) == NOW.timestamp()
    assert get(samples, "socle_backup_last_snapshot_size_bytes", **labels) == 1234
    assert get(samples, "socle_backup_last_snapshot_size_bytes", association="b", site="wp-b") is None


def test_audit() -> None:
    findings = [{"check": "ports", "status": status} for status in ("passed", "passed", "failed")]
    samples = parse(Facts("prod", findings=tuple(findings)))
    assert [
        get(samples, "socle_audit_findings", check="ports", status=status)
        for status in ("passed", "failed", "not_checked")
    ] == [2, 1, 0]


def test_runs() -> None:
    records = {
        "drift": Record("drift", "", "", NOW.isoformat(), NOW.isoformat(), 12.5, 10, "failed"),
        "audit": Record("audit", ""),
    }
    samples = parse(Facts("prod", records=records, missed=(Missed("audit", NOW, None, True),)))
    assert get(samples, "socle_schedule_last_run_timestamp_seconds", entry="drift") == NOW.timestamp()
    assert get(samples, "socle_schedule_last_run_exit_code", entry="drift") == 10
    assert get(samples, "socle_schedule_last_run_duration_seconds", entry="drift") == 12.5
    assert get(samples, "socle_schedule_last_success_timestamp_seconds", entry="drift") is None
    assert get(samples, "socle_schedule_last_run_timestamp_seconds", entry="audit") is None
    assert get(samples, "socle_schedule_missed", entry="drift") == 0
    assert get(samples, "socle_schedule_missed", entry="audit") == 1


def test_certificates_and_mails() -> None:
    certificates = (
        Certificate("wp-a", "a.example", "2026-11-01T00:00:00+00:00", NOW.isoformat()),
        Certificate("wp-b", "b.example", error="not trusted"),
    )
    samples = parse(Facts("prod", certificates=certificates, unsent=2))
    name = "socle_certificate_expiry_timestamp_seconds"
    assert get(samples, name, site="wp-a", domain="a.example") == NOW.timestamp()
    assert get(samples, name, site="wp-b", domain="b.example") is None
    assert get(samples, "socle_certificate_valid", site="wp-b", domain="b.example") == 0
    assert get(samples, "socle_alerts_unsent") == 2


odd = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(odd, odd, st.integers(0, 2**53))
@settings(deadline=None)
def test_any_label_is_read_back(association: str, site: str, size: int) -> None:
    verdicts = {"sites": [{"association": association, "site": site, "verdict": "late", "time": 1, "bytes": size}]}
    samples = parse(Facts("prod", verdicts))
    assert get(samples, "socle_backup_last_snapshot_size_bytes", association=association, site=site) == size


def test_names_follow_the_conventions() -> None:
    """Base units, no metric type in a name. Source: https://prometheus.io/docs/practices/naming/"""
    verdicts = {"sites": [{"association": "a", "site": "b", "verdict": "late", "time": 1, "bytes": 1}]}
    record = Record("drift", "", "", NOW.isoformat(), NOW.isoformat(), 1, 0, "done", succeeded=NOW.isoformat())
    certificate = Certificate("a", "b", NOW.isoformat(), NOW.isoformat())
    findings = ({"check": "a", "status": "passed"},)
    samples = parse(Facts("prod", verdicts, findings, {"drift": record}, (), (certificate,)))
    names = {name for name, _ in samples}
    assert len(names) == 12
    for name in names:
        assert re.fullmatch(r"socle_[a-z]+(_[a-z]+)+", name)
        assert not re.search(r"_(days|hours|minutes|gauge|total|kib|mib)(_|$)", name)
        assert ("time" not in name) or name.endswith("_timestamp_seconds")


def test_what_cannot_be_read_is_left_out() -> None:
    for verdicts in (None, [], {"sites": 1}, {"sites": [1]}, {}):
        assert {name for name, _ in parse(Facts("prod", verdicts))} == {"socle_alerts_unsent"}


def test_the_file_is_replaced_whole_and_readable(tmp_path: Path) -> None:
    run_write_metrics(tmp_path, Facts("prod", unsent=1))
    first = (tmp_path / FILE).stat()
    run_write_metrics(tmp_path, Facts("prod", unsent=2))
    second = (tmp_path / FILE).stat()
    assert first.st_ino != second.st_ino
    assert second.st_mode & 0o777 == 0o644
    assert [path.name for path in (tmp_path / FILE).parent.iterdir()] == ["socle.prom"]


def test_a_thousand_sites_take_little_time() -> None:
    sites = [
        {"association": f"a{n}", "site": f"wp-a{n}", "verdict": "complete", "time": n, "bytes": n} for n in range(1000)
    ]
    start = time.process_time()
    assert len(parse(Facts("prod", {"sites": sites}))) == 7001
    assert time.process_time() - start < 5
