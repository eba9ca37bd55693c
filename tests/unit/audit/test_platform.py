"""The platform as a whole: drift, orphans, secrets, backups."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from socle.audit.checks import platform
from socle.audit.drift import Difference, find_site_differences, parse_tasks
from socle.audit.finding import Finding, Status
from socle.backups.verdict import Verdict
from socle.clock.times import Missed
from socle.sites.desired import make_wanted
from socle.sites.difference import Seen
from socle.sites.resources import File, Grant, Unit
from tests.make import make_repository
from tests.unit.audit.scenes import by_name, make_plan, run_checks


def judge(one: Any, state: Path = Path(), lab: bool = True, **facts: Any) -> list[Finding]:
    loaders = {name: (lambda value=value: value) for name, value in facts.items()}
    return run_checks(one, facts=loaders, state=state, lab=lab)


def test_each_difference_is_a_finding_on_its_host() -> None:
    (passed,) = judge(platform.nothing_differs_from_the_plan, drift=(40, []))
    assert (passed.status, passed.host) == (Status.PASSED, "controller")
    differences = [Difference("web1", "file /etc/x", "sites: update"), Difference("", "network n", "hosts: …")]
    found = by_name(judge(platform.nothing_differs_from_the_plan, drift=(40, differences)))
    assert found["web1 drift:file /etc/x"].evidence == "sites: update"
    assert found["controller drift:network n"].status is Status.FAILED


def test_what_nobody_names_in_incus_is_found() -> None:
    (passed,) = judge(platform.nobody_left_data, strangers=[])
    assert passed.status is Status.PASSED
    (found,) = judge(platform.nobody_left_data, strangers=[("volume", "wp-gone")])
    assert (found.status, found.check) == (Status.FAILED, "orphans:wp-gone")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    for folder in ("secrets", "ssh/hosts/web1", "logs", "escrow"):
        (tmp_path / folder).mkdir(parents=True, mode=0o700)
    for path, mode in (
        *(("secrets/ecole.age", 0o600), ("secrets/operator.key", 0o600), ("ssh/id_ed25519", 0o600)),
        *(("ssh/id_ed25519.pub", 0o644), ("ssh/hosts/web1/address", 0o644), ("tsig.key", 0o600)),
    ):
        (tmp_path / path).touch(mode=0o600)
        (tmp_path / path).chmod(mode)
    for folder in (tmp_path, *tmp_path.rglob("*")):
        if folder.is_dir():
            folder.chmod(0o700)
    return tmp_path


def test_closed_secrets_pass(state: Path) -> None:
    (found,) = judge(platform.secrets_are_closed, state=state, secrets={})
    assert found.status is Status.PASSED, found


@pytest.mark.parametrize(
    ("path", "mode", "words"),
    [
        ("secrets/ecole.age", 0o640, "secrets/ecole.age has mode 0640, expected 0600"),
        ("ssh/id_ed25519", 0o644, "ssh/id_ed25519 has mode 0644"),
        ("tsig.key", 0o604, "tsig.key has mode 0604"),
        ("secrets", 0o750, "secrets/ has mode 0750, expected 0700"),
    ],
)
def test_an_open_secret_is_named(state: Path, path: str, mode: int, words: str) -> None:
    (state / path).chmod(mode)
    (found,) = judge(platform.secrets_are_closed, state=state, secrets={})
    assert found.status is Status.FAILED
    assert words in found.evidence


def test_secrets_that_cannot_be_read_are_named(state: Path) -> None:
    (found,) = judge(platform.secrets_are_closed, state=state, secrets={"wp-ecole": "no salt"})
    assert "wp-ecole: no salt" in found.evidence


@pytest.mark.parametrize(
    ("escrow", "lab", "status"),
    [(True, False, Status.PASSED), (False, True, Status.NOT_CHECKED), (False, False, Status.FAILED)],
)
def test_escrow_is_missing_in_a_lab_only(escrow: bool, lab: bool, status: Status) -> None:
    (found,) = judge(platform.secrets_survive_the_controller, escrow=escrow, lab=lab)
    assert found.status is status


VERDICT = Verdict(
    association="ecole",
    site="wp-ecole",
    verdict="complete",
    snapshot="abcdef0123",
    time="2026-11-27T01:40:00Z",
    bytes=9,
)
REPOSITORY = make_repository("ecole", "wp-ecole")


@pytest.mark.parametrize("verdict", ["complete", "partial", "failed", "late", "unknown"])
def test_only_complete_is_green(verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan().model_copy(update={"repositories": (REPOSITORY,)})
    monkeypatch.setattr("tests.unit.audit.scenes.make_plan", lambda: plan)
    verdicts = {"wp-ecole": VERDICT.model_copy(update={"verdict": verdict, "reason": "why"})}
    found = by_name(judge(platform.last_backup_is_complete, backups=verdicts))
    assert (found["web1 backup:wp-ecole"].status is Status.PASSED) == (verdict == "complete")
    assert ("why" in found["web1 backup:wp-ecole"].evidence) == (verdict != "complete")
    for name in ("web1 backup:wp-amis", "controller backup:platform"):
        assert found[name].evidence.startswith("no verdict")
        assert found[name].status is Status.FAILED


def test_without_a_vault_nothing_is_saved() -> None:
    found = judge(platform.last_backup_is_complete, backups={})
    assert {one.evidence for one in found} == {"no vault is declared: nothing is saved"}
    assert {one.status for one in found} == {Status.FAILED}


DUE = datetime(2026, 11, 27, 5, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("installed", "lab", "status"),
    [(True, True, Status.FAILED), (False, True, Status.NOT_CHECKED), (False, False, Status.FAILED)],
)
def test_a_missed_run_is_named(installed: bool, lab: bool, status: Status) -> None:
    missed = [Missed("audit", DUE, None, installed)]
    (found,) = judge(platform.nothing_was_missed, lab=lab, schedule=(["audit", "drift"], missed))
    assert found.status is status
    assert found.check == ("schedule:audit" if installed else "schedule")
    (passed,) = judge(platform.nothing_was_missed, lab=lab, schedule=(["audit", "drift"], []))
    assert passed.status is Status.PASSED


def test_what_ansible_would_change_is_named_by_host() -> None:
    text = """
TASK [sshd : Configure the SSH server] *****
changed: [web1]
ok: [edge1]

RUNNING HANDLER [sshd : Reload the SSH server] ***
changed: [web1]
"""
    assert parse_tasks(text) == {"web1": ["sshd : Configure the SSH server", "sshd : Reload the SSH server"]}


WANTED = {
    "wp-ecole": make_wanted(
        "wp-ecole",
        "ecole",
        (File("/etc/x", b"x", 0o640), Grant("wp_ecole", "secret"), Unit("u.service", watches=("file:/etc/x",))),
    )
}
STATE = {wire["key"]: wire["expected"] for wire in WANTED["wp-ecole"].wires}


def drift(state: dict[str, Any] | None, keys: tuple[str, ...] = ()) -> dict[str, str]:
    seen = Seen(keys=(*WANTED["wp-ecole"].keys, *keys), stamp=WANTED["wp-ecole"].stamp, state=state)
    found = find_site_differences("web1", WANTED, {"wp-ecole": seen}, make_plan())
    return {one.label: one.evidence for one in found}


def test_what_differs_of_a_site_is_said_in_words_without_secrets() -> None:
    assert drift(STATE) == {}
    file, grant = STATE["file:/etc/x"], STATE["grant:wp_ecole"]
    assert drift({**STATE, "file:/etc/x": {**file, "mode": 0o644, "owner": "eve"}}) == {
        "file /etc/x": "mode 0644, expected 0640; owner eve, expected root, for wp-ecole"
    }
    assert drift({**STATE, "file:/etc/x": {**file, "digest": "0"}}) == {
        "file /etc/x": "its content is another, for wp-ecole"
    }
    assert drift({**STATE, "grant:wp_ecole": {**grant, "hash": "*0", "databases": ["wp_ecole", "x"]}}) == {
        "database user wp_ecole": "databases ['wp_ecole', 'x'], expected ['wp_ecole']; "
        "its password is another, for wp-ecole"
    }
    assert drift({**STATE, "file:/etc/x": None}) == {"file /etc/x": "it is not there, for wp-ecole"}
    assert drift({**STATE, "unit:u.service": {"unreadable": "no bus"}}) == {
        "unit u.service": "not checked: no bus, for wp-ecole"
    }


def test_what_nothing_explains_any_more_differs() -> None:
    assert drift(STATE, keys=("shared:/etc/caddy/sites/old.caddy",)) == {
        "file /etc/caddy/sites/old.caddy": "nothing declares it any more, for wp-ecole"
    }


def test_a_site_that_was_not_read_is_not_green() -> None:
    assert len(drift(None)) == len(STATE)
