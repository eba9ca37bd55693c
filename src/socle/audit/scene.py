"""What checks may read: the plan, hosts, and what the controller knows of the world."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from socle.audit.answers import Answers, Missing, Remote, make_host
from socle.audit.check import OUTSIDE
from socle.load.catalogue import Catalogue
from socle.load.workspace import Workspace
from socle.model.plan import Plan
from socle.model.platform import Platform

T = TypeVar("T")


def together(*questions: Callable[[], T]) -> list[T]:
    """The answer to each question, all of them asked in one round. Raises Missing until each is there."""
    answers, missing = [], False
    for question in questions:
        try:
            answers.append(question())
        except Missing:
            missing = True
    if missing:
        raise Missing
    return answers


class Facts:
    """What the controller reads, by name: each is read once, when a check first asks for it."""

    def __init__(self, loaders: Mapping[str, Callable[[], Any]]) -> None:
        self.loaders = loaders
        self.futures: dict[str, Future[Any]] = {}
        self.wanted: dict[str, None] = {}

    def read(self, name: str) -> Any:
        """The value. Raises Missing until it is there, and what its loader raised."""
        future = self.futures.get(name)
        if future is None or not future.done():
            self.wanted[name] = None
            raise Missing
        return future.result()


@dataclass(frozen=True)
class Scene:
    """One audit."""

    plan: Plan
    platform: Platform
    catalogue: Catalogue
    workspace: Workspace
    now: float
    """Seconds since 1970, by the controller's clock."""
    backends: Mapping[str, Answers]
    """By host; `outside` is where visitors are."""
    facts: Facts
    _remotes: dict[str, Remote] = field(default_factory=dict)

    def on(self, host: str) -> Any:
        """testinfra's host of that name. Questions about it are answered in batches: see socle.audit."""
        if host not in self._remotes:
            self._remotes[host] = make_host(self.backends[host])
        return self._remotes[host]

    @property
    def outside(self) -> Any:
        """testinfra's host of those who look from outside."""
        return self.on(OUTSIDE)

    def feed(self, host: str, command: str, stdin: str) -> Any:
        """Run a command that reads `stdin`. Returns testinfra's result."""
        return self.on(host).run(command, stdin=stdin)

    def feed_json(self, host: str, command: str, data: Any) -> Any:
        """The same with JSON in and out. Raises ValueError when no JSON comes out, with what came."""
        result = self.feed(host, command, json.dumps(data))
        try:
            return json.loads(result.stdout)
        except ValueError:
            raise ValueError((result.stderr or result.stdout).strip()[-400:] or f"status {result.rc}") from None

    def fact(self, name: str) -> Any:
        """What the controller knows: see socle.audit.facts."""
        return self.facts.read(name)
