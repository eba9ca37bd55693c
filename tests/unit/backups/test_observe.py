"""From what vaults and hosts answer to verdicts, and what is remembered from one time to the next."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest

from socle.authority import run_ensure_certificate
from socle.backups import observe, own, run
from socle.backups.facts import render_time
from socle.backups.memory import find_path, load_memory
from socle.backups.observe import load_sight, make_expected, run_accept
from socle.backups.retention import make_kept
from socle.errors import Refused, SocleError, Unreachable
from socle.load.workspace import Workspace
from socle.model.plan import Plan
from socle.planning.make_plan import make_plan
from socle.runs.talk import Talk
from socle.stages.base import Context
from tests.make import CATALOGUE
from tests.unit.test_repositories import make_catalogue, make_saved

NOW = 1_800_000_000.0
HOUR = 3600.0


class Secrets:
    """Keys that show when they travel where they should not."""

    def repository(self, name: str) -> dict[str, str]:
        return {"key": f"CANARY-{name}", "credential": f"CANARY-{name}"}


class World:
    """A vault and a hosting host that answer as they are told."""

    def __init__(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context = context
        self.attempts: dict[str, Any] | str = {}
        self.told: dict[str, bytes] = {}
        self.answers: dict[str, dict[str, Any]] = {one.name: make_answer() for one in context.plan.repositories}
        self.payloads: list[dict[str, Any]] = []
        self.down = self.damage = ""
        self.looked = True
        monkeypatch.setattr(observe, "run_ssh", self.run_ssh)
        monkeypatch.setattr(observe, "run_vault", self.run_vault)
        monkeypatch.setattr(run, "run_vault", self.run_vault)

    def run_ssh(self, _workspace: Any, host: str, *_arguments: Any, **_options: Any) -> Any:
        if isinstance(self.attempts, str):
            raise Unreachable(self.attempts)
        told = self.told.get(host, b"") or json.dumps(self.attempts).encode()
        return type("Result", (), {"stdout": told, "stderr": b""})

    def run_vault(self, _workspace: Any, _host: str, payload: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        self.payloads.append(dict(payload))
        if self.down:
            raise Unreachable(self.down)
        asked = payload["repositories"]
        if payload["mode"] != "read":
            done = {"error": self.damage, "seconds": 1, "looked": self.looked}
            return {"repositories": {name: {**done, "forgotten": spec.get("ids")} for name, spec in asked.items()}}
        return {"repositories": {name: self.answer(name, spec) for name, spec in asked.items()}}

    def answer(self, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """As the agent does: what is known is not read again."""
        answer = self.answers[name]
        if spec["stamp"] and spec["stamp"] == answer["stamp"]:
            cheap = [one for one in answer["foreign"] if one.startswith("keys/")]
            return {
                **make_answer(),
                "unchanged": True,
                "foreign": cheap,
                **{one: answer[one] for one in ("stamp", "used")},
            }
        latest = {
            site: {"snapshot": one["snapshot"]} if spec["known"].get(site) == one["snapshot"] else one
            for site, one in answer["latest"].items()
        }
        return {**answer, "latest": latest}

    def save(self, number: int, name: str = "a", age: float = HOUR, **changes: Any) -> str:
        """A snapshot of a site arrives."""
        site = "platform" if name == "_platform" else f"pg-{name}"
        expected = next(one for one in make_expected(self.context) if one.site == site)
        identity, answer = f"{number:064x}", self.answers[name]
        snapshot = {
            "id": identity,
            "time": render_time(NOW - age - 60),
            "arrival": NOW - age,
            "site": site,
            "host": expected.host,
            "paths": [expected.folder, expected.staging],
            "files": 3,
            "bytes": 900,
        }
        database = {"bytes": 500, "tables": {"t": 9}} if expected.database else None
        parts = {"files.jsonl": 9, "manifest.json": 9} | ({"database.sql": 500} if database else {})
        manifest = {
            "site": site,
            "association": expected.association,
            "format": 1,
            "files": {"count": 3, "bytes": 400},
            "database": database,
        }
        listed = {
            "folder": True,
            "entries": 4,
            "files": 3,
            "bytes": 400,
            "dump": parts.get("database.sql"),
            "parts": parts,
        }
        answer["snapshots"] = [*answer["snapshots"], {**snapshot, **changes.pop("snapshot", {})}]
        answer["latest"][site] = {
            "snapshot": identity,
            "manifest": manifest,
            "listed": {**listed, **changes},
            "error": "",
        }
        answer["stamp"] = f"stamp-{number}"
        return identity

    def save_all(self, number: int = 1, **changes: Any) -> None:
        for name in ("a", "b", "_platform"):
            self.save(number, name, **changes)

    def words(self, now: float = NOW) -> dict[str, str]:
        return {one.site: one.verdict for one in load_sight(self.context, now).verdicts}

    def reason(self, site: str = "pg-a") -> str:
        return load_sight(self.context, NOW).verdict(site).reason


def make_answer() -> dict[str, Any]:
    empty = {"error": "", "missing": False, "unchanged": False, "stamp": "new", "hint": "h", "used": 7}
    return {**empty, "locks": [], "snapshots": [], "latest": {}, "before": {}, "foreign": []}


def make_context(tmp_path: Path, plan: Plan | None = None) -> Context:
    workspace = Workspace(root=tmp_path / "root", environment="lab", state=tmp_path / "state")
    for folder in ("root/associations", "state"):
        (tmp_path / folder).mkdir(parents=True)
    inputs = make_saved()
    return Context(
        workspace=workspace,
        platform=inputs.platform,
        plan=plan or make_plan(inputs),
        catalogue=make_catalogue(),
        secrets=cast(Any, Secrets()),
        talk=Talk(quiet=True),
    )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(make_context(tmp_path), monkeypatch)


def test_what_is_expected_comes_from_declarations(world: World) -> None:
    expected = {one.site: one for one in make_expected(world.context)}
    assert list(expected) == ["pg-a", "pg-b", "platform"]
    site = expected["pg-a"]
    assert (site.folder, site.staging) == ("/srv/sites/pg-a", "/var/lib/socle/backups/staging/pg-a")
    assert (site.repository, site.host, site.database) == ("a", "web1", True)
    assert (expected["platform"].association, expected["platform"].repository) == ("", "_platform")
    catalogue = replace(world.context, catalogue=CATALOGUE)
    assert [one.site for one in make_expected(catalogue)] == ["platform"]


def test_first_nothing_then_everything(world: World) -> None:
    assert world.words() == {"pg-a": "late", "pg-b": "late", "platform": "late"}
    world.save_all()
    world.attempts = {"pg-a": {"result": "complete", "snapshot": f"{1:064x}"}}
    assert world.words() == {"pg-a": "complete", "pg-b": "complete", "platform": "complete"}
    assert [one.bytes for one in load_sight(world.context, NOW).verdicts] == [918, 918, 418]


def test_what_was_read_is_not_asked_again(world: World) -> None:
    world.save_all()
    world.words()
    first = world.payloads[-1]["repositories"]["a"]
    assert (first["known"], first["before"], first["stamp"]) == ({}, ["pg-a"], "")
    assert world.words() == {"pg-a": "complete", "pg-b": "complete", "platform": "complete"}
    second = world.payloads[-1]["repositories"]["a"]
    assert (second["known"], second["before"], second["stamp"]) == ({"pg-a": f"{1:064x}"}, [], "stamp-1")
    world.answers["a"]["stamp"] = "other"
    assert world.words()["pg-a"] == "complete"


def test_a_lost_memory_costs_nothing_but_time(world: World) -> None:
    world.save_all()
    before = load_sight(world.context, NOW).verdicts
    path = find_path(world.context.workspace, "a")
    assert path.stat().st_mode & 0o777 == 0o600
    for content in (b"", b"{", b'{"facts": 3}'):
        path.write_bytes(content)
        assert load_sight(world.context, NOW).verdicts == before
    assert b"CANARY" not in path.read_bytes()


def test_a_vault_that_does_not_answer_leaves_all_unknown(world: World) -> None:
    world.save_all()
    world.words()
    world.down = "cannot reach vault1 over SSH"
    assert set(world.words().values()) == {"unknown"}
    assert "cannot reach vault1" in world.reason()
    world.down = ""
    assert set(world.words().values()) == {"complete"}


def test_a_host_that_does_not_answer_hides_nothing(world: World) -> None:
    world.save_all()
    world.attempts = {"pg-a": {"result": "failed", "reason": "disk full"}}
    assert world.words()["pg-a"] == "failed"
    world.attempts = "web1 did not answer"
    assert world.words() == {"pg-a": "failed", "pg-b": "complete", "platform": "complete"}
    assert "disk full" in world.reason()
    assert "could not be asked: web1 did not answer" in world.reason()


def test_a_host_speaks_of_its_own_sites_only(world: World) -> None:
    expected = {one.site: one for one in make_expected(world.context)}
    elsewhere = expected["pg-b"].model_copy(update={"host": "web2"})
    failed = {"result": "failed", "reason": "no"}
    world.attempts = {"pg-a": failed, "pg-b": failed, "platform": failed}
    world.told["web2"] = json.dumps({"pg-a": {"result": "complete"}, "platform": failed}).encode()
    world.save_all()
    assert world.words() == {"pg-a": "failed", "pg-b": "failed", "platform": "complete"}
    found, _ = observe.load_attempts(world.context.workspace, [expected["pg-a"], elsewhere, expected["platform"]])
    assert {site: attempt.result for site, attempt in found.items()} == {"pg-a": "failed"}


@pytest.mark.parametrize("told", [b"[" * 100_000 + b"]" * 100_000, b"[]", b"Traceback", b"\xff"])
def test_a_host_that_says_anything_is_silent(world: World, told: bytes) -> None:
    world.save_all()
    world.attempts = {"pg-a": {"result": "failed", "reason": "disk full"}}
    world.words()
    world.told["web1"] = told
    assert world.words() == {"pg-a": "failed", "pg-b": "complete", "platform": "complete"}
    assert "could not be asked: web1 did not say" in world.reason()


@pytest.mark.parametrize("record", [None, 3, {"result": "great"}, {"result": "complete", "seen": 10**400}])
def test_a_record_that_cannot_be_read_is_a_failed_attempt(world: World, record: Any) -> None:
    world.save_all()
    world.attempts = {"pg-a": record}
    assert world.words() == {"pg-a": "failed", "pg-b": "complete", "platform": "complete"}
    assert "cannot be read" in world.reason()


def test_a_host_reads_out_what_it_recorded(tmp_path: Path) -> None:
    names = [f"{number}{'é' * 198}" for number in range(20)]
    records = {
        "pg-a": {"result": "partial", "reason": "x", "changed": {"count": 20, "first": names}, "unread": {}},
        "pg-b": "cut",
    }
    for site, record in records.items():
        (tmp_path / f"{site}.json").write_text(json.dumps(record)[: -1 if record == "cut" else None])
    script = observe._ATTEMPTS.replace("/var/lib/socle/backups/results", str(tmp_path))
    said = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, check=True).stdout
    found = observe.parse_attempts(said, ["pg-a", "pg-b", "pg-c"])
    assert {site: one.result for site, one in found.items()} == {"pg-a": "partial", "pg-b": "failed"}
    assert len(said) < 300, "only what is judged by"


def test_a_failure_stays_until_a_later_snapshot(world: World) -> None:
    world.save_all()
    world.attempts = {"pg-a": {"result": "failed", "reason": "disk full"}}
    assert world.words()["pg-a"] == "failed"
    world.attempts = {}  # the host was made anew
    assert world.words(NOW + HOUR)["pg-a"] == "failed"
    world.save(2, age=-HOUR)
    assert world.words(NOW + 2 * HOUR)["pg-a"] == "complete"
    world.attempts = {"pg-a": {"result": "failed", "reason": "again"}}
    assert world.words(NOW + 3 * HOUR)["pg-a"] == "failed"


def test_a_site_that_shrank_stays_so_until_a_person_accepts(world: World) -> None:
    world.save_all()
    world.words()
    world.save(2, age=0.0, files=1, bytes=10)
    assert world.words()["pg-a"] == "partial"
    world.save(3, age=-60.0, files=1, bytes=10)
    assert "(1 files of 3)" in world.reason(), "a second night does not make it right"
    accepted = run_accept(world.context, load_sight(world.context, NOW), "pg-a")
    assert accepted == f"{3:064x}"
    assert world.words()["pg-a"] == "complete"
    world.save(4, age=-120.0, files=1, bytes=10)
    assert world.words()["pg-a"] == "complete", "it is compared with what was accepted"
    world.save(5, age=-180.0, files=0, bytes=10)
    assert world.words()["pg-a"] == "partial"


def test_without_a_vault_nothing_can_be_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_context(tmp_path, make_plan(make_saved()).model_copy(update={"repositories": ()}))
    monkeypatch.setattr(observe, "run_ssh", lambda *_, **__: type("Result", (), {"stdout": b"{}", "stderr": b""}))
    sight = load_sight(context, NOW)
    assert {one.verdict for one in sight.verdicts} == {"failed"}
    with pytest.raises(Refused, match=r"repository for, found pg-a.*role vault"):
        run_accept(context, sight, "pg-a")


def test_what_is_wrong_with_a_repository_is_not_held_against_its_snapshots(world: World) -> None:
    world.save_all()
    world.answers["a"]["foreign"] = ["keys/" + "ab" * 32]
    assert world.words() == {"pg-a": "partial", "pg-b": "complete", "platform": "complete"}
    memory = load_memory(world.context.workspace, "a")
    assert (memory.good, memory.bad) == ({"pg-a": f"{1:064x}"}, ())


@pytest.mark.parametrize(
    ("changes", "word", "said"),
    [
        ({"bytes": 2**64}, "unknown", "no files that can be counted"),
        ({"snapshot": {"time": "9999-12-31T23:59:59-12:00"}}, "partial", "claims to be of 9999-12-31"),
        ({"snapshot": {"files": 2**64}}, "complete", ""),
        ({"snapshot": {"arrival": 1e300}}, "unknown", "could not be judged: unexpected"),
    ],
)
def test_no_snapshot_ends_the_verdicts_on_other_sites(
    world: World, changes: dict[str, Any], word: str, said: str
) -> None:
    world.save_all()
    world.save(2, age=0.0, **changes)
    assert world.words() == {"pg-a": word, "pg-b": "complete", "platform": "complete"}
    assert said in world.reason()
    run.run_mend(world.context, dry_run=True, now=NOW)


def test_an_answer_that_nobody_foresaw_is_an_error_of_its_repository(world: World) -> None:
    world.save_all()
    world.words()
    world.answers["a"] |= {"snapshots": 3, "stamp": "other"}
    assert world.words() == {"pg-a": "unknown", "pg-b": "complete", "platform": "complete"}
    assert "unexpected answer of the vault: TypeError" in world.reason()


def test_a_snapshot_of_nobody_is_foreign(world: World) -> None:
    world.save_all()
    stranger = world.save(2, snapshot={"site": "pg-x"}, age=60.0)
    world.answers["a"]["latest"]["pg-a"]["snapshot"] = f"{1:064x}"
    sight = load_sight(world.context, NOW)
    assert sight.verdict("pg-a").verdict == "partial"
    assert sight.observed["pg-a"].foreign == (f"snapshots/{stranger}",)
    assert sight.verdict("pg-b").verdict == "complete"


def test_unreadable_snapshots_stay_told_when_nothing_changes(world: World) -> None:
    world.save_all()
    world.answers["a"]["foreign"] = ["snapshots/" + "ab" * 32]
    assert world.words()["pg-a"] == "partial"
    assert world.words()["pg-a"] == "partial"
    assert world.payloads[-1]["repositories"]["a"]["stamp"] == "stamp-1"


def test_what_a_verification_found_stays_until_one_finds_nothing(world: World) -> None:
    world.save_all()
    assert [one.reason for one in run.run_verify(world.context, "1/20", NOW)] == ["", "", ""]
    world.damage = "pack 1 is damaged"
    assert run.run_verify(world.context, "1/20", NOW)[0].reason == "pack 1 is damaged"
    assert set(world.words().values()) == {"failed"}
    world.down = "away"
    run.run_verify(world.context, "1/20", NOW)
    world.down = ""
    world.looked, world.damage = False, ""
    run.run_verify(world.context, "1/20", NOW)
    world.looked = True
    assert set(world.words().values()) == {"failed"}, "not looking is not finding nothing"
    world.damage = ""
    run.run_verify(world.context, "1/20", NOW)
    assert set(world.words().values()) == {"complete"}


def test_what_was_not_looked_at_is_not_damaged(world: World) -> None:
    world.save_all()
    run.run_verify(world.context, now=NOW)
    known = load_memory(world.context.workspace, "a").check
    world.looked, world.damage = False, "another run is at work in this repository"
    outcomes = run.run_verify(world.context, now=NOW + HOUR)
    assert [(one.reason, one.done) for one in outcomes] == [(world.damage, ())] * 3
    assert load_memory(world.context.workspace, "a").check == known
    assert set(world.words().values()) == {"complete"}


def test_what_is_said_while_the_vaults_are_read_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.save_all()
    world.words()
    world.save(2, age=0.0, files=1, bytes=10)
    sight = load_sight(world.context, NOW)
    read = world.run_vault

    def run_vault(*arguments: Any, **options: Any) -> dict[str, Any]:
        """A person accepts, and a verification ends, while a vault answers."""
        answer = read(*arguments, **options)
        monkeypatch.setattr(observe, "run_vault", read)
        run_accept(world.context, sight, "pg-a")
        world.damage = "pack 1 is damaged"
        run.run_verify(world.context, now=NOW)
        return answer

    monkeypatch.setattr(observe, "run_vault", run_vault)
    world.words()
    memory = load_memory(world.context.workspace, "a")
    assert memory.accepted == {"pg-a": f"{2:064x}"}
    assert memory.check
    assert memory.check.reason == "pack 1 is damaged"


def test_keys_go_to_the_vault_and_nowhere_else(world: World) -> None:
    world.save_all()
    world.words()
    assert world.payloads[-1]["repositories"]["a"]["key"] == "CANARY-a"
    written = b"".join(path.read_bytes() for path in world.context.workspace.state.rglob("*") if path.is_file())
    assert b"CANARY" not in written


def fill(world: World, nights: int) -> None:
    for number in range(nights):
        world.save(number + 1, age=HOUR + (nights - 1 - number) * 24 * HOUR)


def test_retention_forgets_on_the_vault_what_does_not_stay(world: World) -> None:
    fill(world, 60)
    world.save_all(1000, age=0.0)
    world.answers["b"]["snapshots"] = []
    outcomes = {one.name: one for one in run.run_retain(world.context, dry_run=False, now=NOW)}
    payload = world.payloads[-1]
    assert payload["mode"] == "forget"
    assert set(payload["repositories"]) == {"a"}
    kept = make_kept(
        run.make_candidates(load_memory(world.context.workspace, "a"), load_sight(world.context, NOW).verdicts),
        world.context.plan.policy,
        "Europe/Paris",
        NOW,
    )
    assert len(outcomes["a"].done) == 61 - len(kept) > 10
    assert outcomes["a"].kept == len(kept)
    assert "pg-b" in outcomes["b"].reason


@pytest.mark.parametrize("fault", ["attempt", "foreign", "down"])
def test_nothing_is_forgotten_after_a_bad_night(world: World, fault: str) -> None:
    fill(world, 60)
    world.save_all(1000, age=0.0)
    world.words()
    if fault == "attempt":
        world.attempts = {"pg-a": {"result": "failed", "reason": "dump"}}
    elif fault == "foreign":
        world.answers["a"]["foreign"] = ["keys/" + "ab" * 32]
    else:
        world.down = "vault1 is away"
    outcomes = {one.name: one for one in run.run_retain(world.context, dry_run=False, now=NOW)}
    assert outcomes["a"].done == ()
    assert "not complete: pg-a" in outcomes["a"].reason
    assert all(payload["mode"] == "read" for payload in world.payloads)


def test_a_dry_run_forgets_nothing(world: World) -> None:
    fill(world, 60)
    world.save_all(1000, age=0.0)
    assert len(run.run_retain(world.context, dry_run=True, now=NOW)[1].done) > 10
    assert all(payload["mode"] == "read" for payload in world.payloads)


def test_mending_sets_aside_what_is_foreign_or_dated(world: World) -> None:
    world.save_all()
    forged = world.save(2, snapshot={"time": "2001-01-01T00:00:00Z"}, age=0.0)
    junk = "keys/" + "ab" * 32
    world.answers["a"]["foreign"] = [junk]
    world.answers["b"]["used"] = 190 * 1024**2
    dry = {one.name: one.done for one in run.run_mend(world.context, dry_run=True, now=NOW)}
    assert dry == {"_platform": (), "a": (junk, f"snapshots/{forged}"), "b": ()}
    run.run_mend(world.context, dry_run=False, now=NOW)
    sent = world.payloads[-1]
    assert sent["mode"] == "set_aside"
    assert sent["repositories"]["a"]["names"] == [junk, f"snapshots/{forged}"]
    assert {name: spec["sweep"] for name, spec in sent["repositories"].items()} == {
        "_platform": False,
        "a": False,
        "b": True,
    }


def test_what_is_due(world: World) -> None:
    world.save_all(1)
    world.attempts = {"pg-b": {"result": "failed"}}
    verdicts = load_sight(world.context, NOW).verdicts
    assert run.find_due(verdicts, NOW) == ["pg-b"]
    assert run.find_due(verdicts, NOW + 23 * HOUR) == ["pg-a", "pg-b", "platform"]


def test_nothing_is_forgotten_after_a_night_that_was_missed(world: World) -> None:
    fill(world, 60)
    world.save_all(1000, age=0.0)
    morning = NOW + 21.5 * HOUR  # 06:30
    outcomes = {one.name: one for one in run.run_retain(world.context, dry_run=False, now=morning)}
    assert outcomes["a"].done == ()
    assert "not complete: pg-a" in outcomes["a"].reason


def test_each_verification_reads_the_next_part(world: World) -> None:
    parts = [run.run_verify(world.context, now=NOW)[0].done[0] for _ in range(21)]
    assert parts == [*(f"{number}/20" for number in range(1, 21)), "1/20"]
    assert run.run_verify(world.context, "5%", NOW)[0].done == ("5%",)
    world.damage = "pack 1 is damaged"
    run.run_verify(world.context, now=NOW)
    world.damage = ""
    assert run.run_verify(world.context, now=NOW)[0].done == ("2/20",), "what was not read whole is read again"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"site": "a", "result": "complete", "reason": "", "seconds": 1.25}', ("a", "a: complete, 1.2 s")),
        (
            b'{"site": "a", "result": "failed", "reason": "x\\n\\u001b[31m", "seconds": 1}',
            ("a", "a: failed, 1.0 s: x ?[31m"),
        ),
        (b'{"site": "other", "result": "complete"}', None),
        (b'{"site": "a", "result": "great"}', None),
        (b'{"site": "a", "result": "complete", "seconds": "x"}', None),
        (b"[1]", None),
        (b"caf\xe9", None),
        (b'{"site": "a", "result": []}', None),
        (b'{"site": [], "result": "complete"}', None),
        (b'{"site": "a", "result": "complete", "seconds": 1' + b"0" * 400 + b"}", None),
        (b"[" * 60_000, None),
    ],
)
def test_what_a_host_tells_while_it_saves(line: bytes, told: Any) -> None:
    assert run.parse_line(line, ["a"]) == told


def test_saving_starts_the_program_of_each_host(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    lines = [
        {"site": "pg-a", "result": "complete", "seconds": 1},
        {"site": "pg-b", "result": "failed", "reason": "full"},
    ]
    script = "".join(f"echo '{json.dumps(line)}'; " for line in lines) + "exit 3"
    monkeypatch.setattr(run, "make_ssh", lambda _workspace, host, arguments: ["sh", "-c", script, host, *arguments])
    assert run.run_host(world.context.workspace, "web1", ["pg-a", "pg-b"], said.append) == ""
    assert said == ["  web1: pg-a: complete, 1.0 s", "  web1: pg-b: failed, 0.0 s: full"]
    why = run.run_host(world.context.workspace, "web1", ["pg-a", "pg-c"], said.append)
    assert "ended with 3" in why, "one site was not even tried"
    said.clear()
    script = "yes '" + json.dumps(lines[0]) + "'"
    monkeypatch.setattr(run, "_SAID_BYTES", 10_000)
    monkeypatch.setattr(run, "make_ssh", lambda _workspace, host, arguments: ["sh", "-c", script, host, *arguments])
    assert "said more than 10000 bytes" in run.run_host(world.context.workspace, "web1", ["pg-a"], said.append)
    assert said == ["  web1: pg-a: complete, 1.0 s"], "a site is told once"
    script = "echo Connection refused >&2; exit 255"
    monkeypatch.setattr(run, "make_ssh", lambda _workspace, host, arguments: ["sh", "-c", script, host, *arguments])
    assert "ended with 255: Connection refused" in run.run_host(world.context.workspace, "web1", ["pg-a"], said.append)


def test_the_platforms_own_files_are_staged(world: World) -> None:
    workspace = world.context.workspace
    (workspace.root / "associations/a.yml").write_text("x")
    (workspace.root / "src").mkdir()
    for name in (
        "lock",
        "logs/apply.log",
        "pulumi/home/cache",
        "pulumi/.pulumi/stack.json",
        "secrets/a.age",
        "journal.jsonl",
    ):
        path = workspace.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("y")
    (workspace.state / "link").symlink_to("journal.jsonl")
    staging = own.find_staging(workspace)
    own.run_stage(workspace, staging, NOW)
    found = sorted(
        str(path.relative_to(staging / "files")) for path in (staging / "files").rglob("*") if not path.is_dir()
    )
    assert found == [
        "control/associations/a.yml",
        "state/journal.jsonl",
        "state/link",
        "state/pulumi/.pulumi/stack.json",
        "state/secrets/a.age",
    ]
    manifest = json.loads((staging / "proof/manifest.json").read_text())
    assert (manifest["site"], manifest["files"]["count"], manifest["files"]["bytes"]) == ("platform", 4, 4)
    lines = [json.loads(line) for line in (staging / "proof/files.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines if line["path"] == "state/link"] == ["link"]
    assert len({line["path"] for line in lines}) == len(lines)
    own.run_stage(workspace, staging, NOW)


def test_saving_the_platform_is_recorded_whatever_happens(world: World) -> None:
    repository = world.context.plan.repository("")
    assert repository
    attempt = own.run_save_platform(world.context, repository)  # there is no authority's certificate
    assert attempt.result == "failed"
    assert "certificate of the platform's authority" in attempt.reason
    assert own.load_own_attempt(world.context.workspace) == attempt
    assert not own.find_staging(world.context.workspace).exists()
    world.save_all()
    assert world.words() == {"pg-a": "complete", "pg-b": "complete", "platform": "failed"}


@pytest.fixture
def server(world: World) -> Iterator[tuple[Any, str, Path]]:
    """A server with a certificate of our own authority: its class of answers, its URL, whom to trust."""

    class Answer(BaseHTTPRequestHandler):
        status = 200
        seen = ""

        def do_HEAD(self) -> None:
            Answer.seen = f"{self.path} {self.headers['Authorization']}"
            self.send_response(Answer.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    workspace = world.context.workspace
    run_ensure_certificate(workspace, "vault1", IPv4Address("10.0.0.1"))
    folder = workspace.state / "authority"
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(folder / "vault1.pem", folder / "vault1.key")
    with HTTPServer(("127.0.0.1", 0), Answer) as listening:
        listening.socket = trust.wrap_socket(listening.socket, server_side=True)
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield Answer, f"rest:https://127.0.0.1:{listening.server_port}/_platform/", folder / "authority.pem"
        listening.shutdown()


def test_the_vaults_server_is_asked_before_restic_is(server: tuple[Any, str, Path], tmp_path: Path) -> None:
    answer, url, trusted = server
    own.run_probe(url, "_platform", "secret", trusted)
    assert answer.seen == f"/_platform/config Basic {base64.b64encode(b'_platform:secret').decode()}"
    for status, said in ((401, "run: socle apply"), (404, "no such repository"), (500, "HTTP status 500")):
        answer.status = status
        with pytest.raises(SocleError, match=said):
            own.run_probe(url, "_platform", "secret", trusted)
    other = Workspace(root=tmp_path, environment="lab", state=tmp_path / "other")
    other.state.mkdir()
    run_ensure_certificate(other, "vault1", IPv4Address("10.0.0.1"))
    answer.seen = ""
    with pytest.raises(SocleError, match=r"does not answer: .*CERTIFICATE_VERIFY_FAILED"):
        own.run_probe(url, "_platform", "secret", other.state / "authority/authority.pem")
    assert answer.seen == "", "the credential goes to nobody else"
    with pytest.raises(SocleError, match="does not answer"):
        own.run_probe("rest:https://127.0.0.1:9/_platform/", "_platform", "secret", trusted)


def test_restics_command_holds_no_secret() -> None:
    arguments = own.make_backup(Path("/s"), Path("/s/authority.pem"), "controller")
    assert arguments == [
        *("restic", "backup", "--json", "--no-cache", "--cacert", "/s/authority.pem", "--host", "controller"),
        *("--tag", "site=platform", "--tag", "association=", "--tag", "format=1", "/s/files", "/s/proof"),
    ]
