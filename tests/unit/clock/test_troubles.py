"""What a human must act on, from what verdicts, audits, runs and certificates left; what is unread proves nothing."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from socle.clock.certificates import Certificate, run_write_certificates
from socle.clock.runs import Record
from socle.clock.schedule import Entry
from socle.clock.times import Missed
from socle.clock.troubles import (
    Kind,
    Observed,
    Trouble,
    load_observed,
    make_audit_troubles,
    make_backup_troubles,
    make_certificate_troubles,
    make_findings,
    make_missed_troubles,
    make_run_troubles,
)
from socle.load.workspace import Workspace

NOW = datetime(2026, 11, 27, 5, 30, tzinfo=UTC)


def site(verdict: str, name: str = "wp-a", reason: str = "the dump is empty") -> dict[str, Any]:
    return {"association": "a", "site": name, "verdict": verdict, "snapshot": None, "time": None, "reason": reason}


def test_each_verdict_but_complete_is_a_trouble() -> None:
    verdicts = ("complete", "partial", "failed", "late", "unknown", "odd")
    found = list(make_backup_troubles({"sites": [site(verdict, f"wp-{verdict}") for verdict in verdicts]}))
    assert [(one.key, one.title) for one in found] == [
        ("backup:wp-partial", "sauvegarde incomplète pour wp-partial"),
        ("backup:wp-failed", "sauvegarde en échec pour wp-failed"),
        ("backup:wp-late", "sauvegarde en retard pour wp-late"),
        ("backup:wp-unknown", "sauvegarde impossible à vérifier pour wp-unknown"),
        ("backup:wp-odd", "sauvegarde impossible à vérifier pour wp-odd"),
    ]
    assert found[1].what == "La sauvegarde du site wp-failed (a) est en échec.\nDétail : the dump is empty"
    assert all(one.todo and one.command == "backup status" for one in found)


def finding(status: str, check: str = "ports", host: str = "web1") -> dict[str, Any]:
    return {"host": host, "check": check, "status": status, "evidence": "port 8080 is open", "remedy": "close it"}


def test_what_an_audit_found_failed_is_a_trouble_unless_told_from_its_source() -> None:
    checks = ("ports", "certificate:a.example", "backup:wp-a", "drift:web1", "schedule")
    findings = [finding("failed", check) for check in checks] + [finding("passed"), finding("not_checked", "kernel")]
    (found,) = make_audit_troubles(findings)
    assert (found.key, found.title) == ("audit:web1:ports", "contrôle ports non conforme sur web1")
    assert "port 8080 is open" in found.what
    assert (found.todo, found.command) == ("close it", "audit")


def audit_keys(*audits: Any) -> list[str]:
    return [one.key for one in make_audit_troubles(make_findings(audits))]


def test_of_each_kind_on_each_host_the_newest_audit_that_made_it_counts() -> None:
    whole = {"findings": [finding("failed"), finding("failed", "users"), finding("failed", "users", "edge1")]}
    part = {"findings": [finding("passed", "users")]}
    assert audit_keys(part, whole) == ["audit:web1:ports", "audit:edge1:users"]
    assert audit_keys(whole, part) == ["audit:web1:ports", "audit:web1:users", "audit:edge1:users"]


def test_what_is_no_longer_there_to_be_checked_is_no_trouble() -> None:
    before = {"findings": [finding("failed", "page:gone.example", "edge1")]}
    now = {"findings": [finding("passed", "page:stays.example", "edge1")]}
    assert audit_keys(before) == ["audit:edge1:page:gone.example"]
    assert audit_keys(now, before) == []


def entry(name: str = "drift", run: str = "plan --full") -> Entry:
    return Entry.model_validate({"name": name, "at": "daily 04:40", "run": run, "grace": 12})


@pytest.mark.parametrize(
    ("result", "exit_code", "title", "said", "command"),
    [
        ("failed", 5, "travail programmé « drift » en échec", "ne répond pas", "schedule run drift"),
        ("refused", 4, "travail programmé « drift » en échec", "une règle l’a refusé", "schedule run drift"),
        ("failed", 1, "travail programmé « drift » en échec", "une erreur imprévue", "schedule run drift"),
        ("failed", 137, "travail programmé « drift » en échec", "une erreur imprévue", "schedule run drift"),
        ("timed out", 1, "travail programmé « drift » en échec", "il n’a pas fini en 6 h", "schedule run drift"),
        ("failed", 10, "dérive constatée", "s’écarte de ce qui est déclaré", "plan --full"),
    ],
)
def test_a_run_that_ended_badly_is_a_trouble(result: Any, exit_code: int, title: str, said: str, command: str) -> None:
    record = Record("drift", since="", began=NOW.isoformat(), ended="", exit=exit_code, result=result, reason="why\nso")
    (found,) = make_run_troubles([entry()], {"drift": record})
    assert (found.key, found.title, found.command, found.since) == ("run:drift", title, command, NOW)
    assert said in found.what
    assert found.what.endswith("Détail : why so")


def test_a_run_that_ended_well_or_never_was_is_none() -> None:
    done = Record("drift", since="", began=NOW.isoformat(), exit=0, result="done")
    for records in ({}, {"drift": Record("drift", since="")}, {"drift": done}):
        assert list(make_run_troubles([entry()], records)) == []


def test_missed_runs() -> None:
    missed = [Missed("drift", NOW, None, True), Missed("audit", NOW, None, False), Missed("alert", NOW, None, False)]
    late, absent = make_missed_troubles(missed)
    assert (late.key, late.since, late.command) == ("missed:drift", NOW, "schedule run drift")
    assert (absent.key, absent.command) == ("schedule:absent", "schedule install")
    assert "ne connaît pas ces travaux programmés : audit, alert." in absent.what


def test_certificates() -> None:
    good = Certificate("wp-a", "a.example", "2026-11-01T00:00:00+00:00", "2027-01-30T00:00:00+00:00")
    old = Certificate("wp-b", "b.example", "2026-09-01T00:00:00+00:00", "2026-11-30T00:00:00+00:00")
    gone = Certificate("wp-c", "c.example", "2026-08-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00")
    bad = Certificate("wp-d", "d.example", error="not trusted: hostname mismatch")
    found = list(make_certificate_troubles([good, old, gone, bad], NOW))
    assert [one.key for one in found] == ["certificate:b.example", "certificate:c.example", "certificate:d.example"]
    assert "n’a pas été renouvelé et expire le 30/11/2026" in found[0].what
    assert "a expiré le 01/11/2026" in found[1].what
    assert "hostname mismatch" in found[2].what


def test_words_of_others_are_one_line_and_not_endless() -> None:
    (found,) = make_backup_troubles({"sites": [site("failed", reason="a\r\nBcc: x\x1b[31m\u2028b" + "z" * 1000)]})
    assert "\n" not in found.what.partition("Détail")[2]
    assert "\x1b" not in found.what
    assert len(found.what) < 600


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path, "lab", tmp_path / "state")
    made.run_prepare()
    for folder in ("backups", "audit", "clock"):
        (made.state / folder).mkdir()
    return made


def look(workspace: Workspace) -> Observed:
    return load_observed(workspace, [], {}, [], NOW, ["web1"])


def keys(troubles: tuple[Trouble, ...]) -> list[str]:
    return [one.key for one in troubles]


def write_audit(workspace: Workspace, name: str, content: Any, days: int = 0) -> None:
    path = workspace.state / "audit" / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))


def test_what_is_not_there_is_unread(workspace: Workspace) -> None:
    assert look(workspace) == Observed((), frozenset({Kind.BACKUP, Kind.AUDIT, Kind.CERTIFICATE}))


def test_everything_is_read_together(workspace: Workspace) -> None:
    (workspace.state / "verdicts.json").write_text(json.dumps({"sites": [site("late")]}))
    write_audit(workspace, "2026-11-26T05:10:00Z.json", {"findings": [finding("passed")]}, 1)
    write_audit(workspace, "2026-11-27T05:10:00Z.json", {"findings": [finding("failed")]})
    run_write_certificates(workspace.state, [Certificate("wp-a", "a.example", error="no TLS connection")])
    seen = look(workspace)
    assert keys(seen.troubles) == ["backup:wp-a", "certificate:a.example", "audit:web1:ports"]
    assert seen.unread == frozenset()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"sites": {}}', '{"sites": [1]}', '{"findings": 3}'])
def test_what_cannot_be_read_is_unread(workspace: Workspace, content: str) -> None:
    (workspace.state / "verdicts.json").write_text(content)
    (workspace.state / "certificates.json").write_text(content)
    write_audit(workspace, "2026-11-27T05:10:00Z.json", content)
    assert look(workspace) == Observed((), frozenset({Kind.BACKUP, Kind.AUDIT, Kind.CERTIFICATE}))


def test_a_host_that_is_no_longer_declared_is_no_trouble(workspace: Workspace) -> None:
    hosts = ("web1", "web9", "controller", "outside")
    write_audit(workspace, "20261127T051000Z.json", {"findings": [finding("failed", host=host) for host in hosts]})
    assert keys(look(workspace).troubles) == [f"audit:{host}:ports" for host in ("web1", "controller", "outside")]


def test_an_old_audit_proves_nothing(workspace: Workspace) -> None:
    write_audit(workspace, "2026-10-01T05:10:00Z.json", {"findings": [finding("failed")]}, 31)
    assert look(workspace) == Observed((), frozenset({Kind.BACKUP, Kind.AUDIT, Kind.CERTIFICATE}))
    write_audit(workspace, "2026-10-30T05:10:00Z.json", {"findings": [finding("failed")]}, 28)
    assert keys(look(workspace).troubles) == ["audit:web1:ports"]
