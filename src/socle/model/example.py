"""The annotated example of a model: every key, what it means, a value that is valid. Made from the model,
so that it can never differ from what is accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_WIDTH = 100
_ASKED = ("rna_number",)
"""Keys that may be left out, but only under a law that few associations live under."""


def render_example(model: type[BaseModel], indent: int = 0) -> str:
    """YAML text with a comment above each key: its French name, its meaning, whether it may be left out."""
    return "".join(_render_fields(model, indent))


def _render_fields(model: type[BaseModel], indent: int) -> Iterator[str]:
    pad = " " * indent
    for name, info in model.model_fields.items():
        yield f"{pad}# {_describe(info)}\n"
        nested = find_model(info)
        if nested is not None:
            yield f"{pad}{name}:\n"
            yield from _render_fields(nested, indent + 2)
        else:
            yield f"{pad}{name}: {_render_value(_find_value(info))}\n"


def render_template(model: type[BaseModel], given: Mapping[str, Any], indent: int = 0) -> str:
    """YAML text to be completed: what is `given`, and empty keys, with their comment, for what only people know.

    Optional keys that nothing is given for are left out, but the one that most requests need.
    """
    return "".join(_render_asked(model, given, indent))


def _render_asked(model: type[BaseModel], given: Mapping[str, Any], indent: int) -> Iterator[str]:
    pad = " " * indent
    for name, info in model.model_fields.items():
        if name not in given and not info.is_required() and name not in _ASKED:
            continue
        comment, nested = f"{pad}# {_describe(info)}\n", find_model(info)
        if nested is None:
            value = f" {_render_value(given[name])}" if name in given else ""
            yield f"{comment}{pad}{name}:{value}\n"
        else:
            inner = render_template(nested, given.get(name, {}), indent + 2)
            yield f"{comment}{pad}{name}:\n{inner}" if inner else f"{comment}{pad}{name}: {{}}\n"


def render_short_example(info: FieldInfo) -> str:
    """A value for a key on one line: its first example, or what a structure cannot do without. "" if unknown."""
    nested = find_model(info)
    if info.examples or nested is None:
        example = info.examples[0] if info.examples else ""
        return example if isinstance(example, str) else _render_value(_plain(example))
    required = {name: field for name, field in nested.model_fields.items() if field.is_required()}
    shown = {name: render_short_example(field) for name, field in required.items()}
    if not shown:  # One of several structures, such as the services of a request.
        shown = {name: "{}" for name, field in list(nested.model_fields.items())[:1] if find_model(field)}
    return "{" + ", ".join(f"{name}: {value}" for name, value in shown.items()) + "}"


def _render_value(value: Any) -> str:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=_WIDTH)
    return text.removesuffix("\n").removesuffix("\n...")


def find_model(info: FieldInfo) -> type[BaseModel] | None:
    """The model a field holds, if it holds one (`X` or `X | None`)."""
    options = getattr(info.annotation, "__args__", (info.annotation,))
    return next((t for t in options if isinstance(t, type) and issubclass(t, BaseModel)), None)


def _describe(info: FieldInfo) -> str:
    title = f"{info.title}. " if info.title else ""
    if info.is_required():
        need = "Required."
    elif info.default in (None, (), "") or isinstance(info.default, BaseModel):
        need = "Optional."
    else:
        need = f"Default: {_plain(info.default)}."
    return f"{title}{info.description or ''} {need}".strip()


def _find_value(info: FieldInfo) -> Any:
    if info.examples:
        return _plain(info.examples[0])
    default = info.default
    return None if default is PydanticUndefined else _plain(default)


def _plain(value: Any) -> Any:
    if hasattr(value, "human_readable"):
        return value.human_readable(separator="").replace(".0", "")
    return getattr(value, "value", list(value) if isinstance(value, tuple) else value)
