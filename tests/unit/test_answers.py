"""Whether sites answer: what curl says is read rightly, and asking goes on until all do or time is over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from socle.lab import answers

ONE, TWO = "https://one.example/", "https://two.example/"


def test_a_page_is_an_answer_and_all_else_is_not() -> None:
    assert answers.parse_silent(f"{ONE}\t200\t\n{TWO}\t502\t\n", [ONE, TWO]) == {TWO: "HTTP 502"}
    assert answers.parse_silent(f"{ONE}\t000\tno\tcertificate\n", [ONE]) == {ONE: "no\tcertificate"}
    assert answers.parse_silent("", [ONE]) == {ONE: "the host outside said nothing"}


def _make_plan() -> Any:
    sites = [SimpleNamespace(name=name, domain=f"{name}.example") for name in ("one", "two", "elsewhere")]
    return SimpleNamespace(sites=sites, records=[SimpleNamespace(name=f"{name}.example") for name in ("one", "two")])


def test_only_silent_sites_of_ours_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = iter([{ONE: "no certificate", TWO: "no certificate"}, {TWO: "no certificate"}, {}])
    asked = []

    def load(_workspace: Any, urls: list[str]) -> dict[str, str]:
        asked.append(urls)
        return next(heard)

    monkeypatch.setattr(answers, "load_silent", load)
    monkeypatch.setattr(answers, "_PAUSE_SECONDS", 0)
    assert answers.run_wait_answers(Any, _make_plan()) == {}
    assert asked == [[ONE, TWO], [ONE, TWO], [TWO]]


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "load_silent", lambda _workspace, urls: dict.fromkeys(urls, "HTTP 502"))
    assert answers.run_wait_answers(Any, _make_plan(), patience=0) == {"one": "HTTP 502", "two": "HTTP 502"}
