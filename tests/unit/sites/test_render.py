"""Values in templates are data, whatever they hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from socle.sites.render import php_literal, render


def parse_php(literal: str) -> str:
    """What PHP reads: in single quotes, \\\\ is a backslash, \\' a quote, and everything else is itself."""
    assert literal[0] == literal[-1] == "'"
    inner = literal[1:-1]
    assert re.fullmatch(r"(?:[^'\\]|\\[\\'])*", inner, re.DOTALL), "a quote would end it, a backslash would eat"
    return re.sub(r"\\([\\'])", r"\1", inner)


@given(st.text())
def test_any_text_is_read_back_by_php(value: str) -> None:
    assert parse_php(php_literal(value)) == value


@pytest.mark.parametrize("value", ["L'Été", 'a"b', "$HOME {$x} ${y}", "\\", "\\'", "🎉", "{{ 7*7 }}", "?>", "a\nb\r\n"])
def test_awkward_values(value: str) -> None:
    assert parse_php(php_literal(value)) == value


def test_numbers_and_truth() -> None:
    assert [php_literal(value) for value in (True, False, 3)] == ["true", "false", "3"]


@given(st.text(alphabet=st.characters(exclude_characters="\r", exclude_categories=("Cs",))))
def test_values_are_never_read_as_templates(value: str) -> None:
    folder = Path(__file__).parent / "templates"
    assert render(folder / "value.j2", value=value) == f"<{value}>\n"


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render(Path(__file__).parent / "templates/value.j2")
