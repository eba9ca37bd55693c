"""Case B2: one domain, whatever its spelling."""

from __future__ import annotations

import unicodedata

import pytest

from socle.model.domains import parse_domain, render_domain

SCHOOL = "xn--cole-du-bourg-9gb.example"


@pytest.mark.parametrize(
    "text",
    [
        "école-du-bourg.example",
        unicodedata.normalize("NFD", "école-du-bourg.example"),
        "ÉCOLE-du-Bourg.example",
        "xn--cole-du-bourg-9gb.example",
        "XN--COLE-DU-BOURG-9GB.EXAMPLE.",
        " école-du-bourg.example. ",
    ],
)
def test_all_spellings_are_one(text: str) -> None:
    assert parse_domain(text) == SCHOOL


def test_people_read_unicode() -> None:
    assert render_domain(SCHOOL) == "école-du-bourg.example"


def test_sharp_s_is_kept() -> None:
    assert parse_domain("straße.example") == "xn--strae-oqa.example"


@pytest.mark.parametrize(
    "bad", ["", "example", "a..b", "-a.example", "a_b.example", "a b.example", "x" * 64 + ".example"]
)
def test_refused_with_what_was_expected(bad: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        parse_domain(bad)
