"""The one base of all models: frozen, and strict about unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A frozen value. Unknown keys are errors, so that a typing mistake never passes in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
