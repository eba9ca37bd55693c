"""The committed list of what cannot be checked, and where: not_checked.yml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from socle.model.base import Model
from socle.model.platform import Platform

PATH = Path(__file__).parent / "not_checked.yml"


class Entry(Model):
    """A check that cannot be done where a capability is missing."""

    check: str
    """Its kind."""
    capability: str
    """What is missing."""
    where: Literal["anywhere", "lab"] = "anywhere"
    because: str
    """Why that is so, for people."""


@dataclass(frozen=True)
class Listed:
    """The list."""

    entries: tuple[Entry, ...]

    def find(self, kind: str, capability: str, platform: Platform) -> str:
        """Why this check may be left out for want of this capability; empty when the list does not say so."""
        for entry in self.entries:
            here = entry.where == "anywhere" or platform.lab
            if (entry.check, entry.capability) == (kind, capability) and here:
                return entry.because
        return ""


def load_listed(path: Path = PATH) -> Listed:
    """The list as it is committed. Raises ValueError when it is not as it should be."""
    data = yaml.safe_load(path.read_text())
    return Listed(tuple(Entry.model_validate(one) for one in data))
