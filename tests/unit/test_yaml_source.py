"""Reading YAML: every problem at once, each with its line, and no value that YAML guessed."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from socle.load.yaml_source import make_model, parse_source
from socle.model.base import Model
from socle.model.request import make_request_model
from tests.make import CATALOGUE, make_request_text

REQUEST_MODEL = make_request_model(CATALOGUE.services)


class Town(Model):
    """A model to read."""

    code: str = Field(examples=["38421"])
    open: str = ""
    people: int = 0


def problems_of(text: str, model: type[BaseModel] = Town) -> list[tuple[int, str, str]]:
    source = parse_source(text, "file.yml")
    assert make_model(model, source) is None
    return [(problem.line, problem.where, f"{problem.expected} ({problem.remedy})") for problem in source.problems]


def test_scalars_stay_text_until_the_model_decides() -> None:
    source = parse_source("code: 01004\nopen: no\npeople: 12\n", "file.yml")
    assert make_model(Town, source) == Town(code="01004", open="no", people=12)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a: null", None), ("a: ~", None), ("a:", None), ("a: 'null'", "null"), ('a: ""', "")],
)
def test_nothing_is_said_plainly(text: str, value: str | None) -> None:
    assert parse_source(text, "file.yml").data == {"a": value}


def test_all_problems_at_once_with_lines() -> None:
    found = problems_of("# comment\npeople: many\n\ncolour: blue\n")
    # What is missing is shown at the line of what should hold it: here the first line with content.
    assert sorted((line, where) for line, where, _ in found) == [(2, "code"), (2, "people"), (4, "colour")]
    text = " ".join(message for _, _, message in found)
    assert "such as code: 38421" in text
    assert "known here: code, open, people" in text
    assert "found 'many'" in text


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("code: 1\ncode: 2\n", 2, "line 1 has it already"),
        ("code: [1\n", 2, "expected YAML"),
        ("", 0, "the file is empty"),
        ("code: \t'x\n", 1, "expected YAML"),
        ("a: &x\n  b: *x\n", 1, "no alias to what holds it"),
        ("[a, b]: 1\n", 1, "expected a word as key"),
        ("just text", 1, "expected"),
    ],
)
def test_bad_yaml_is_a_problem_with_its_line(text: str, line: int, message: str) -> None:
    assert any(message in said for _, _, said in problems_of(text)), problems_of(text)
    assert {found for found, _, _ in problems_of(text)} <= {line, line - 1, line + 1}


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"rna_number": "W12"}, "rna_number", "W381234567"),
        ({"legal_regime": None}, "rna_number", "expected rna_number, since legal_regime is loi_1901"),
        ({"legal_regime": "loi_1901", "purpose": None}, "rna_number", "such as rna_number: W381234567"),
        ({"legal_regime": "alsace_moselle", "rna_number": "W381000001"}, "rna_number", "expected no rna_number"),
        ({"services": None}, "services", "add it, such as services: {page: {}}"),
        ({"convention": None}, "convention", "such as convention: {decision_reference: 2026-114, agreement_date:"),
        ({"siren": "732829321"}, "siren", "valid check digit"),
        ({"town": "3815"}, "town", "INSEE code"),
        ({"services": {"page": {"domain": "a..b"}}}, "services.page.domain", "expected a domain name"),
        ({"services": {"page": {"quota": "1MiB"}}}, "services.page.quota", "at least 64.0MiB, found '1MiB'"),
        (
            {"services": {"page": {"quota": "512Mo"}}},
            "services.page.quota",
            "expected a size in MiB or GiB, found '512Mo' (such as quota: 2GiB)",
        ),
        ({"services": {"page": {"quota": "beaucoup"}}}, "services.page.quota", "(such as quota: 2GiB)"),
        ({"services": {"paje": {}}}, "services.paje", "known here: page"),
        ({"services": {"page": {"titel": "x"}}}, "services.page.titel", "known here: domain"),
        (
            {"convention": {"decision_reference": "1", "agreement_date": "31/01/2026"}},
            "convention.agreement_date",
            "date",
        ),
        (
            {
                "convention": {
                    "decision_reference": "1",
                    "agreement_date": "2026-01-31",
                    "export_days": "90",
                    "erasure_days": "30",
                }
            },
            "convention",
            "expected erasure_days not before export_days",
        ),
    ],
)
def test_request_says_where_what_and_how(change: dict[str, object], where: str, message: str) -> None:
    text = make_request_text(**change)
    found = problems_of(text, REQUEST_MODEL)
    assert [entry for entry in found if entry[1] == where and message in entry[2]], found
    assert all(line >= 1 for line, _, _ in found)
    assert not [message for _, _, message in found if message.endswith("()")], found


def test_title_is_data_byte_for_byte() -> None:
    title = "L'Été à l'école {{ x }} 🏊 \"$HOME\" \\ ’"
    source = parse_source(make_request_text(services={"page": {"title": title}}), "file.yml")
    request = make_model(REQUEST_MODEL, source)
    assert request is not None
    assert request.wanted()["page"].title == title  # type: ignore[attr-defined]
