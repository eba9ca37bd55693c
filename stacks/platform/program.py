"""The Pulumi program: registers what `socle.stages.hosts_resources` computed from the Plan.

It decides nothing. Every input is known before the run, so a preview is exact.
"""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from socle.model.plan import Plan
from socle.stages.hosts_resources import Settings, Wanted, make_stacks

PACKAGE = "incus"


class IncusProvider(pulumi.ProviderResource):
    """Our provider, with its configuration: paths and addresses, nothing secret."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(PACKAGE, name, dict(settings.provider))


def make_program(plan: Plan, settings: Settings, stack: str) -> Callable[[], None]:
    """The inline program of one stack."""
    resources = make_stacks(plan, settings)[stack]

    def program() -> None:
        provider = IncusProvider(PACKAGE, settings)
        made: dict[tuple[str, str], pulumi.Resource] = {}
        for wanted in resources:
            made[wanted.type, wanted.name] = _register(wanted, provider, made)

    return program


def _register(wanted: Wanted, provider: IncusProvider, made: dict[tuple[str, str], pulumi.Resource]) -> pulumi.Resource:
    options = pulumi.ResourceOptions(
        provider=provider,
        depends_on=[made[key] for key in wanted.after],
        # A volume that leaves the plan is forgotten, never deleted; the provider refuses to anyway.
        retain_on_delete=wanted.type == "Volume",
    )
    return pulumi.CustomResource(f"{PACKAGE}:index:{wanted.type}", wanted.name, dict(wanted.inputs), options)
