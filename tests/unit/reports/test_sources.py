"""What reports are made from: what cannot be read is noted, and never good."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from socle.load.workspace import Workspace
from socle.reports.sources import (
    load_audit,
    load_drills,
    load_sources,
    make_runs,
    parse_audit,
    parse_backups,
    parse_stem,
    parse_time,
)

TIME = datetime(2026, 11, 27, 0, 45, tzinfo=UTC)


def write(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


@pytest.mark.parametrize("stem", ["2026-11-27T004500Z", "20261127T004500Z", "2026-11-27T00:45:00+00:00"])
def test_the_time_of_an_audit_is_in_its_name(stem: str) -> None:
    assert parse_stem(stem) == TIME


def test_the_newest_audit_that_can_be_read_counts_and_the_other_is_told(tmp_path: Path) -> None:
    good = json.dumps({"findings": [{"check": "page:x", "host": "web1", "status": "passed"}]}).encode()
    for name in ("2026-11-25T000000Z.json", "2026-11-26T000000Z.json"):
        write(tmp_path, name, good)
    write(tmp_path, "2026-11-27T000000Z.json", b'{"findings": [')
    write(tmp_path, "latest.json", good)
    notes: list[str] = []
    audit = load_audit(tmp_path, notes)
    assert audit is not None
    assert audit.file == "2026-11-26T000000Z.json"
    assert len(notes) == 1
    assert "2026-11-27T000000Z.json" in notes[0]


def test_unknown_statuses_are_not_checked() -> None:
    data = {"findings": [{"check": "a", "status": "ok"}, {"check": "b"}, "c", {"status": "passed", "check": "d:x"}]}
    audit = parse_audit(json.dumps(data).encode(), TIME, "x")
    assert [one.status for one in audit.findings] == ["not_checked"] * 3 + ["passed"]
    assert (audit.findings[3].kind, audit.findings[3].thing) == ("d", "x")
    assert audit.digest == hashlib.sha256(json.dumps(data).encode()).hexdigest()


def test_bytes_that_are_no_utf8_spoil_nothing_else() -> None:
    content = b'{"findings": [{"host": "web1", "check": "page", "status": "failed", "evidence": "caf\xe9 \\udce9"}]}'
    audit = parse_audit(content, TIME, "x")
    assert audit.findings[0].evidence == "caf� �"
    audit.model_dump_json().encode()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"sites": 1}', b"\xff\xfe"])
def test_what_is_no_file_of_verdicts_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected|no list|Expecting"):
        parse_backups(content)


def test_verdicts_are_read_with_care() -> None:
    rows = [
        {"site": "a", "verdict": "complete", "time": "2026-11-27T00:45:00Z", "bytes": 12},
        {"site": "b", "verdict": "green", "time": "", "bytes": "12"},
        {"site": "c", "verdict": None, "time": 1795740300, "bytes": True},
    ]
    backups = parse_backups(json.dumps({"time": TIME.isoformat(), "sites": rows}).encode())
    assert backups.time == TIME
    assert [(one.verdict, one.time, one.size) for one in backups.sites] == [
        ("complete", TIME, 12),
        ("unknown", None, None),
        ("unknown", TIME, None),
    ]


@pytest.mark.parametrize("value", [None, "", "yesterday", [], True, 1e30, float("nan")])
def test_what_is_no_time_is_none(value: object) -> None:
    assert parse_time(value) is None


def test_starts_and_ends_are_put_together_newest_first() -> None:
    events = [
        {"run": "1", "event": "started", "at": "2026-11-26T10:00:00+00:00", "who": "awa", "command": "apply"},
        {"run": "2", "event": "started", "at": "2026-11-26T11:00:00+00:00", "who": "léo", "command": "plan"},
        {"run": "1", "event": "ended", "result": "done", "changes": 3},
        "junk",
    ]
    killed, done = make_runs(events)
    assert (killed.command, killed.result) == ("plan", "")
    assert (done.command, done.result, done.changes) == ("apply", "done", 3)


def test_the_newest_drill_of_each_site_counts_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    for day, site, verdict in ((25, "wp-a-b", "failed"), (26, "wp-a-b", "restored"), (25, "wp-c", "restored")):
        data = {"site": site, "verdict": verdict, "time": f"2026-11-{day}T01:00:00+00:00", "checks": []}
        write(tmp_path, f"202611{day}T010000Z-{site}.json", json.dumps(data).encode())
    write(tmp_path, "20261127T010000Z-wp-c.json", b'{"site": "wp-c", "checks": []}')
    notes: list[str] = []
    drills = load_drills(tmp_path, notes)
    assert [(one.site, one.verdict, one.time.day) for one in drills] == [
        ("wp-a-b", "restored", 26),
        ("wp-c", "restored", 25),
    ]
    assert len(notes) == 1
    assert "20261127T010000Z-wp-c.json" in notes[0]


def test_an_empty_state_folder_gives_nothing(tmp_path: Path) -> None:
    found = load_sources(Workspace(tmp_path, "lab", tmp_path / "state"))
    assert (found.audit, found.backups, found.runs, found.drills, found.notes) == (None, None, (), (), ())


def test_every_part_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    write(tmp_path / "audit", "2026-11-27T000000Z.json", b"\xff")
    write(tmp_path, "verdicts.json", b"{")
    (tmp_path / "journal.jsonl").mkdir()
    found = load_sources(Workspace(tmp_path, "lab", tmp_path))
    assert len(found.notes) == 3
