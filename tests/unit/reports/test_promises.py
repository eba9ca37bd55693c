"""The French of every check is there; a check without French would be shown among the others."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from socle.load.catalogue import load_catalogue
from socle.reports.promises import CHECKS, PROMISES
from tests.live.environment import REPOSITORY

SOURCE = REPOSITORY / "src/socle"


def test_every_check_belongs_to_a_promise_and_every_promise_can_be_proven() -> None:
    keys = {promise.key for promise in PROMISES}
    assert len(keys) == len(PROMISES)
    assert {check.promise for check in CHECKS.values()} <= keys
    from_elsewhere = {"restores"}
    """From the journal."""
    assert {check.promise for check in CHECKS.values()} | from_elsewhere == keys


def test_no_sentence_is_said_twice() -> None:
    for part in ("passed", "failed"):
        said = [getattr(check, part) for check in CHECKS.values()]
        assert len(said) == len(set(said))


@pytest.mark.parametrize("kind", sorted(CHECKS))
def test_sentences_end_without_full_stop_and_are_complete(kind: str) -> None:
    check = CHECKS[kind]
    for text in (check.passed, check.failed, check.ask):
        assert text[0].isupper()
        assert text[-1] not in ".;: "


def load_kinds() -> set[str]:
    """The kinds of checks that the audit knows."""
    audit: Any = pytest.importorskip("socle.audit.checks")
    catalogue = load_catalogue(REPOSITORY / "stacks")
    return {check.kind for check in audit.load_checks(catalogue)}


def test_every_kind_of_check_has_its_french() -> None:
    assert load_kinds() <= CHECKS.keys()


def test_what_may_be_left_out_says_why_in_french() -> None:
    path = Path(SOURCE / "audit/not_checked.yml")
    if not path.exists():
        pytest.skip("this version has no audit")
    kinds = {entry["check"] for entry in yaml.safe_load(path.read_text())}
    assert {kind for kind in kinds if not CHECKS[kind].why} == set()
    importlib.import_module("socle.audit.not_checked")
