"""Templates of stacks. Values are data: nothing in them is ever read as a template, a quote or a variable."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_PLAIN = {"'": "\\'", "\\": "\\\\"}


def render(template: Path, **values: Any) -> str:
    """The text of a template file. Raises jinja2.UndefinedError for a value it needs and does not get."""
    return _environment(template.parent).get_template(template.name).render(values)


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (no HTML here; PHP values go through the filter `php`)
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["php"] = php_literal
    return environment


def php_literal(value: str | int | bool) -> str:
    """A PHP literal for a value. In single quotes, only the quote and the backslash are special:
    `$`, `{`, line breaks and `?>` are themselves. Source: PHP manual, "Strings"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return "'" + "".join(_PLAIN.get(character, character) for character in value) + "'"
