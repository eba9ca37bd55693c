"""What the validation of a model found, in the words of a person: what was expected, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from socle.model.example import find_model, render_short_example

Location = tuple[str | int, ...]
Explained = tuple[str, str]


def explain(detail: ErrorDetails, model: type[BaseModel]) -> Explained:
    """What was expected, and the remedy; an empty remedy when nothing useful is known."""
    if detail["input"] is None and detail["type"] not in ("missing", "value_error"):
        return "expected a value: there is none", _make_such_as(detail, model)
    return _EXPLANATIONS.get(detail["type"], _explain_other)(detail, model)


def _explain_missing(detail: ErrorDetails, model: type[BaseModel]) -> Explained:
    example = _find_example(model, detail["loc"])
    return "expected this key: it is missing", f"add it, such as {example}" if example else "add it"


def _explain_extra(detail: ErrorDetails, model: type[BaseModel]) -> Explained:
    known = ", ".join(_find_fields(model, detail["loc"][:-1]))
    return "expected a key that exists: this one is unknown", f"known here: {known}" if known else "remove it"


def _explain_value(detail: ErrorDetails, model: type[BaseModel]) -> Explained:
    message = detail["msg"].removeprefix("Value error, ")
    expected = message if message.startswith("expected") else f"expected something else: {message}"
    return expected, "" if "such as" in message else _make_such_as(detail, model)


def _explain_size(detail: ErrorDetails, model: type[BaseModel]) -> Explained:
    remedy = _make_such_as(detail, model) or "such as 2GiB"
    return f"expected a size in MiB or GiB, found {detail['input']!r}", remedy


def _explain_limit(detail: ErrorDetails, model: type[BaseModel]) -> Explained:
    """A number out of its limits. Limits of sizes are said in the unit that people write."""
    field = _find_field(model, detail["loc"])
    if field is None or field.annotation is not ByteSize:
        return _explain_other(detail, model)
    ((bound, limit),) = detail.get("ctx", {}).items()
    words = "at least" if bound == "ge" else "at most"
    expected = f"expected {words} {ByteSize(limit).human_readable(separator='')}, found {str(detail['input'])!r}"
    return expected, _make_such_as(detail, model)


def _explain_other(detail: ErrorDetails, model: type[BaseModel]) -> Explained:
    message = detail["msg"].removeprefix("Input should be ").replace("Input should", "it should")
    shown = repr(detail["input"]) if isinstance(detail["input"], str | int | float) else "a structure"
    return f"expected {message}, found {shown}", _make_such_as(detail, model)


_EXPLANATIONS: Mapping[str, Callable[[ErrorDetails, type[BaseModel]], Explained]] = {
    "missing": _explain_missing,
    "extra_forbidden": _explain_extra,
    "value_error": _explain_value,
    "byte_size": _explain_size,
    "byte_size_unit": _explain_size,
    "greater_than_equal": _explain_limit,
    "less_than_equal": _explain_limit,
}


def _walk(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """The model found by following `location` through nested models; None where it leaves them."""
    current: type[BaseModel] | None = model
    for part in location:
        if current is None or part not in current.model_fields:
            return None
        current = find_model(current.model_fields[str(part)])
    return current


def _find_fields(model: type[BaseModel], location: Location) -> list[str]:
    found = _walk(model, location)
    return list(found.model_fields) if found else []


def _find_field(model: type[BaseModel], location: Location) -> FieldInfo | None:
    owner = _walk(model, location[:-1]) if location else None
    return owner.model_fields.get(str(location[-1])) if owner else None


def _find_example(model: type[BaseModel], location: Location) -> str:
    field = _find_field(model, location)
    return f"{location[-1]}: {value}" if field and (value := render_short_example(field)) else ""


def _make_such_as(detail: ErrorDetails, model: type[BaseModel]) -> str:
    example = _find_example(model, detail["loc"])
    return f"such as {example}" if example else ""
