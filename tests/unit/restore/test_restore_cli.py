"""socle restore: what is asked, and how it ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from socle.cli import common, restore
from socle.cli.main import socle
from socle.cli.restore import _raise_bad, check_options, find_sites
from socle.errors import InvalidInput, PartlyDone, Refused
from socle.reports.sources import make_runs
from socle.restore.place import Result
from socle.runs.journal import load_journal
from tests.unit.restore.samples import make_site, make_site_plan

NONE: dict[str, Any] = {"site": None, "at": None, "output": None, "without_safety": False}


@pytest.mark.parametrize(
    ("association", "everything", "into", "options", "expected"),
    [
        ("", False, "place", {}, "an association, or --all"),
        ("a", True, "place", {}, "an association, or --all"),
        ("", True, "scratch", {}, "--into place with --all"),
        ("", True, "place", {"at": "2026-11-25"}, "neither --site nor --at"),
        ("a", False, "place", {"output": "x"}, "--into archive"),
        ("a", False, "scratch", {"without_safety": True}, "--into place"),
    ],
)
def test_options_that_do_not_go_together(
    association: str, everything: bool, into: str, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InvalidInput, match=expected):
        check_options(association, everything, into, {**NONE, **options})


def test_options_that_do() -> None:
    check_options("a", False, "archive", {**NONE, "output": "x"})
    check_options("", True, "place", {**NONE, "without_safety": True})


def test_a_site_by_its_name_or_its_service() -> None:
    plan = make_site_plan(
        make_site(), make_site(name="nc-a", service="nextcloud"), make_site(name="wp-b", association="b")
    )
    assert [site.name for site in find_sites(plan, "a", "")] == ["wp-a", "nc-a"]
    assert [site.name for site in find_sites(plan, "a", "nextcloud")] == ["nc-a"]
    assert [site.name for site in find_sites(plan, "a", "wp-a")] == ["wp-a"]
    with pytest.raises(InvalidInput, match="expected a site of a"):
        find_sites(plan, "a", "wp-b")
    with pytest.raises(InvalidInput, match="expected an association that has sites"):
        find_sites(plan, "c", "")


def test_all_good_is_silent() -> None:
    _raise_bad([Result("a", "a", "restored"), Result("b", "b", "checked")], "")


def test_one_that_came_back_is_partly_done_with_its_reason_first() -> None:
    with pytest.raises(PartlyDone, match=r"^b: the dump is cut"):
        _raise_bad([Result("a", "a", "restored"), Result("b", "b", "returned", "the dump is cut")], "")


def test_nothing_changed_because_of_a_rule_is_refused() -> None:
    with pytest.raises(Refused, match="newer"):
        _raise_bad([Result("a", "a", "refused", "newer")], "")
    with pytest.raises(PartlyDone):
        _raise_bad([Result("a", "a", "refused", "newer"), Result("b", "b", "restored")], "")


def test_what_leads_to_the_sites_counts() -> None:
    with pytest.raises(PartlyDone, match="socle apply"):
        _raise_bad([Result("a", "a", "restored")], "the edge does not answer")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control repository, for what is recorded beside it."""
    for folder in ("associations", "inventories/lab"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    (tmp_path / "root/inventories/lab/platform.yml").touch()
    monkeypatch.setenv("SOCLE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(common.Session, "context", lambda *_: SimpleNamespace(plan=make_site_plan(make_site())))
    return tmp_path / "root"


@pytest.mark.parametrize("restored", [0, 2])
def test_the_journal_says_how_many_sites_came_back(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restored: int
) -> None:
    waiting = [make_site()] * restored
    monkeypatch.setattr(restore, "find_waiting", lambda _context: waiting)
    monkeypatch.setattr(restore, "_choose", lambda _session, _context, sites, _at: (sites, {}))
    results = [Result(site.name, "a", "restored") for site in waiting]
    monkeypatch.setattr(restore, "run_place", lambda _context, _chosen, **_how: results)
    monkeypatch.setattr(restore, "replace", lambda context, **_changes: context)
    monkeypatch.setattr(restore, "run_apply", lambda _context, _stages: None)
    assert CliRunner().invoke(socle, ["restore", "--all", "--into", "place", "--root", str(root)]).exit_code == 0
    (state,) = (tmp_path / "state").iterdir()
    _, ended = load_journal(state)
    assert (ended["result"], ended["exit"], ended["restored"]) == ("done", 0, restored)
    assert make_runs(load_journal(state))[0].restores == (restored > 0)


def test_its_help_has_exit_codes_and_an_example() -> None:
    text = CliRunner().invoke(socle, ["restore", "--help"]).output
    assert "Example: socle restore amis-du-lac --into scratch" in text
    assert "4 refused by a rule" in text
