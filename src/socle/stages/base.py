"""What all stages share: a change, and what a stage is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from socle.model.base import Model
from socle.model.plan import Host, Plan
from socle.model.platform import Platform

if TYPE_CHECKING:
    from socle.load.catalogue import Catalogue
    from socle.load.workspace import Workspace
    from socle.runs.talk import Talk
    from socle.secrets import SecretStore

StageName = Literal["hosts", "baseline", "services", "repositories", "sites"]
Action = Literal["create", "update", "replace", "delete", "stop"]


class Change(Model):
    """Something a stage would do, or did. `association` is empty for what serves all."""

    stage: StageName
    action: Action
    kind: str
    name: str
    association: str = ""


@dataclass(frozen=True)
class Context:
    """What a stage is given. `full`: trust no stamp, read everything again. `absent`: hosts that do not
    exist yet, so that a preview takes everything on them as new without asking them. `failed`: hosts out of
    reach, or on which an earlier stage failed; they are left alone."""

    workspace: Workspace
    platform: Platform
    plan: Plan
    catalogue: Catalogue
    secrets: SecretStore
    talk: Talk
    full: bool = False
    absent: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The hosts to work on, in the plan's order."""
        return tuple(host for host in self.plan.hosts if host.name not in self.failed)


class Stage(Protocol):
    """One step of the flow. Each can be run again alone; only the Plan and what is on its left feed it."""

    @property
    def name(self) -> StageName:
        """Its name."""

    def preview(self, context: Context) -> Sequence[Change]:
        """What `apply` would do. Changes nothing."""

    def apply(self, context: Context) -> Sequence[Change]:
        """Do it, and say what was done. Raises PartlyDone when some of it failed."""
