"""The French of every check is there; a check without French would be shown among the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from socle.audit import checks as audit_checks
from socle.errors import InvalidInput
from socle.load.catalogue import load_catalogue
from socle.reports.promises import CHECKS, PROMISES, load_checks
from tests.live.environment import REPOSITORY

SOURCE = REPOSITORY / "src/socle"
ALL = load_checks(REPOSITORY / "stacks")


def test_every_check_belongs_to_a_promise_and_every_promise_can_be_proven() -> None:
    keys = {promise.key for promise in PROMISES}
    assert len(keys) == len(PROMISES)
    assert {check.promise for check in CHECKS.values()} <= keys
    from_elsewhere = {"restores"}
    """From the journal."""
    assert {check.promise for check in CHECKS.values()} | from_elsewhere == keys


def test_no_sentence_is_said_twice() -> None:
    for part in ("passed", "failed"):
        said = [getattr(check, part) for check in ALL.values()]
        assert len(said) == len(set(said))


@pytest.mark.parametrize("kind", sorted(ALL))
def test_sentences_end_without_full_stop_and_are_complete(kind: str) -> None:
    check = ALL[kind]
    for text in (check.passed, check.failed, check.ask):
        assert text[0].isupper()
        assert text[-1] not in ".;: "


def test_services_bring_the_french_of_their_own_checks(tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "promises.yml").write_text("checks: {own: {promise: limits, passed: Oui, failed: Non, ask: Agir}}")
    checks = load_checks(tmp_path)
    assert checks["own"].promise == "limits"
    assert checks["own"].who == "les administrateurs des systèmes"
    assert CHECKS.keys() < checks.keys()
    (folder / "promises.yml").write_text("checks: {own: {promise: magic, passed: Oui, failed: Non}}")
    with pytest.raises(InvalidInput) as error:
        load_checks(tmp_path)
    assert {(problem.path, problem.where) for problem in error.value.problems} == {
        ("stacks/thing/promises.yml", "checks.own.promise"),
        ("stacks/thing/promises.yml", "checks.own.ask"),
    }


def test_every_check_of_the_audit_has_its_french() -> None:
    assert {check.kind for check in audit_checks.CHECKS} <= CHECKS.keys()


def test_every_check_of_a_service_has_its_french() -> None:
    modules = [entry.module("audit") for entry in load_catalogue(REPOSITORY / "stacks")]
    kinds = {check.kind for module in modules for check in getattr(module, "CHECKS", ())}
    assert "vault" in kinds
    assert kinds <= load_checks(REPOSITORY / "stacks").keys()


def test_what_may_be_left_out_says_why_in_french() -> None:
    path = Path(SOURCE / "audit/not_checked.yml")
    kinds = {entry["check"] for entry in yaml.safe_load(path.read_text())}
    assert {kind for kind in kinds if not CHECKS[kind].why} == set()
