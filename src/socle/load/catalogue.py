"""The catalogue: every folder of stacks/ with a service.py. Nothing is registered by hand."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from socle.errors import InvalidInput, Problem
from socle.model.service import Kind, Service

SAVER = "backup"
"""The service that saves the sites of its host."""


@dataclass(frozen=True)
class Entry:
    """A service's declaration and its folder."""

    service: Service
    folder: Path

    def module(self, name: str) -> ModuleType | None:
        """The module `name` of the service's folder (`deploy`, `site`), or None if it has none."""
        path = self.folder / f"{name}.py"
        return load_module(path) if path.is_file() else None


@dataclass(frozen=True)
class Catalogue:
    """The services, by name, in alphabetical order."""

    entries: tuple[Entry, ...]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, name: str) -> Entry:
        entry = self.find(name)
        if entry is None:
            raise KeyError(name)
        return entry

    def find(self, name: str) -> Entry | None:
        """The service of that name; None when it is not, or no longer, in the catalogue."""
        return next((entry for entry in self.entries if entry.service.name == name), None)

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(entry.service for entry in self.entries)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that a host may have: those of the services of a platform."""
        return tuple(sorted({service.role for service in self.services if service.kind is not Kind.LAB}))

    def is_public(self, role: str) -> bool:
        """Whether a service of that role is for anyone: its hosts have an address in the public network."""
        flows = (flow for service in self.services if service.role == role for flow in service.flows)
        return any(flow.source == "anyone" for flow in flows)

    def requirements(self, name: str) -> tuple[str, ...]:
        """What a service needs, directly or not, itself last: the order of installation."""
        ordered: dict[str, None] = {}

        def visit(current: str, path: tuple[str, ...]) -> None:
            if current in path:
                raise ValueError(f"services require each other in a circle: {' > '.join((*path, current))}")
            for needed in self._needs(current):
                visit(needed, (*path, current))
            ordered.setdefault(current)

        visit(name, ())
        return tuple(ordered)

    def _needs(self, name: str) -> tuple[str, ...]:
        """What a service says it requires; and what has something to be saved requires who saves it."""
        service = self[name].service
        saved = service.state is not None and self.find(SAVER) is not None
        return (*service.requires, SAVER) if saved else service.requires


def load_module(path: Path) -> ModuleType:
    """Import a Python file of a stack under a name of its own, once per path."""
    name = f"socle_stacks.{path.parent.name}.{path.stem}@{path}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def load_catalogue(stacks: Path) -> Catalogue:
    """Every service under `stacks`. Raises InvalidInput when two claim one tag, or a need is unknown."""
    entries = tuple(
        Entry(service=load_module(path).SERVICE, folder=path.parent) for path in sorted(stacks.glob("*/service.py"))
    )
    problems = list(_find_problems(entries))
    if problems:
        raise InvalidInput(problems)
    return Catalogue(entries)


def _find_problems(entries: tuple[Entry, ...]) -> Iterator[Problem]:
    names = {entry.service.name for entry in entries}
    tags: dict[str, str] = {}
    for entry in entries:
        service, path = entry.service, f"stacks/{entry.folder.name}/service.py"
        if service.name != entry.folder.name:
            yield Problem(path, 0, "name", f"expected {entry.folder.name}, the name of its folder")
        if (service.kind is Kind.SITE) != bool(service.tag):
            yield Problem(path, 0, "tag", "expected a tag for kind site, and none for the others")
        if service.tag and (other := tags.setdefault(service.tag, service.name)) != service.name:
            yield Problem(path, 0, "tag", f"expected a tag of its own: {other} has {service.tag}")
        for needed in sorted(set(service.requires) - names):
            yield Problem(path, 0, "requires", f"expected services that exist: there is no stacks/{needed}/service.py")
