"""Everything a plan is made from, read and validated together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from socle.clock.times import describe_odd_day
from socle.errors import InvalidInput, Problem
from socle.load.catalogue import Catalogue, load_catalogue
from socle.load.workspace import Workspace
from socle.load.yaml_source import Source, load_model, load_source, make_model
from socle.model.allocation import Allocations
from socle.model.names import IDENTIFIER
from socle.model.platform import Platform
from socle.model.policy import Policy
from socle.model.request import Request, make_request_model

T = TypeVar("T")
POLICY = "backups/policy.yml"


@dataclass(frozen=True)
class Inputs:
    """What people wrote and what socle remembers, valid file by file."""

    environment: str
    platform: Platform
    allocations: Allocations
    catalogue: Catalogue
    requests: Mapping[str, Request]
    """By identifier, which is the file's name."""
    sources: Mapping[str, Source]
    """Where each request came from, for messages with a line."""
    policy: Policy = field(default_factory=Policy)

    @property
    def platform_path(self) -> str:
        """How messages call platform.yml."""
        return f"inventories/{self.environment.rpartition('-')[0]}/platform.yml"


@dataclass(frozen=True)
class Requests:
    """The requests that are valid, where they came from, and what is wrong with the others."""

    valid: dict[str, Request] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def load_requests(folder: Path, catalogue: Catalogue) -> Requests:
    """All requests of `folder`. What is wrong in one is kept beside those that are valid: nothing is raised."""
    model = make_request_model(catalogue.services)
    found = Requests()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix not in (".yml", ".yaml") or path.name.startswith("."):
            continue
        name = f"associations/{path.name}"
        if path.suffix == ".yaml" or not IDENTIFIER.fullmatch(path.stem):
            expected = "expected a file name such as amis-du-lac.yml: a-z, 0-9, single hyphens, at most 63"
            found.problems.append(
                Problem(name, 0, "", expected, "rename the file: its name is the association's identifier")
            )
            continue
        source = load_source(path, name)
        request = make_model(model, source)
        found.problems.extend(source.problems)
        if request is not None:
            found.valid[path.stem], found.sources[path.stem] = request, source
    return found


def load_platform(workspace: Workspace) -> Platform:
    """platform.yml of the environment. Raises InvalidInput."""
    name = f"inventories/{workspace.environment}/platform.yml"
    return load_model(Platform, workspace.inventory / "platform.yml", name)


def load_allocations(workspace: Workspace) -> Allocations:
    """allocations.yml of the environment; empty before the first one is given. Raises InvalidInput."""
    path = workspace.inventory / "allocations.yml"
    if not path.exists():
        return Allocations()
    return load_model(Allocations, path, f"inventories/{workspace.environment}/allocations.yml")


def load_policy(workspace: Workspace, timezone: str, now: datetime) -> Policy:
    """backups/policy.yml; without it, the defaults that its model gives. Raises InvalidInput. `timezone`: in which its
    night must begin once on each day; empty when that is not known."""
    path = workspace.root / POLICY
    source = load_source(path, POLICY) if path.exists() else Source(POLICY, data={})
    policy = make_model(Policy, source)
    if policy is not None and timezone and (odd := describe_odd_day(policy.moment, ZoneInfo(timezone), now)):
        source.problems.append(source.problem(("night",), odd, "choose an earlier or a later hour"))
    if policy is None or source.problems:
        raise InvalidInput(source.problems)
    return policy


def load_inputs(workspace: Workspace, find_between: Callable[[Inputs], Sequence[Problem]] = lambda _: ()) -> Inputs:
    """Read everything of an environment. Raises InvalidInput.

    `find_between`: rules between files. When a file is wrong they are run on those that are right, so that
    all problems are shown at once; when none is, the plan runs them.
    """
    catalogue = load_catalogue(workspace.stacks)
    problems: list[Problem] = []

    def gather(load: Callable[[], T]) -> T | None:
        try:
            return load()
        except InvalidInput as error:
            problems.extend(error.problems)
            return None

    platform = gather(lambda: load_platform(workspace))
    allocations = gather(lambda: load_allocations(workspace))
    timezone = platform.timezone if platform else ""
    policy = gather(lambda: load_policy(workspace, timezone, datetime.now(UTC)))
    requests = load_requests(workspace.associations, catalogue)
    problems.extend(requests.problems)
    if platform is None or allocations is None or policy is None:
        raise InvalidInput(problems)
    inputs = Inputs(workspace.name, platform, allocations, catalogue, requests.valid, requests.sources, policy)
    if problems:
        raise InvalidInput([*problems, *find_between(inputs)])
    return inputs
