"""Many WordPress sites in a few minutes: all as in real life, but for the installation, which takes PHP seconds
for each. Everything else is made by the sites stage; the tables are copies of those of one installed site."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import cast

from socle.load.catalogue import Catalogue, Entry
from socle.model.plan import Plan, Site
from socle.sites.resources import Resource, Step
from socle.stages.base import Change, Context
from socle.stages.sites import SitesStage
from tests.bench.environment import HOST, Failed
from tests.bench.report import step
from tests.live.environment import Lab

COPY_SECONDS = 600.0


@dataclass(frozen=True)
class LightEntry(Entry):
    """A service that declares no installation for the sites named `light`."""

    light: frozenset[str] = frozenset()

    def module(self, name: str) -> ModuleType | None:
        real = super().module(name)
        if name != "site" or real is None:
            return real

        def make_site(site: Site, plan: Plan, secrets: Mapping[str, str]) -> tuple[Resource, ...]:
            resources: tuple[Resource, ...] = real.make_site(site, plan, secrets)
            return tuple(one for one in resources if not (isinstance(one, Step) and site.name in self.light))

        return cast(ModuleType, SimpleNamespace(make_site=make_site))


def make_light(context: Context, names: Collection[str]) -> Context:
    """The context without the installation of the sites `names`."""
    light = frozenset(names)
    entries = tuple(LightEntry(entry.service, entry.folder, light) for entry in context.catalogue)
    return dataclasses.replace(context, catalogue=Catalogue(entries))


def render_copy(source: str, tables: Sequence[str], targets: Sequence[str]) -> str:
    """SQL that copies the tables of one database into others, `wp_options` last: by it a site counts as installed."""
    ordered = sorted(tables, key=lambda table: (table == "wp_options", table))
    return "\n".join(_render_copy(source, table, target) for target in targets for table in ordered)


def _render_copy(source: str, table: str, target: str) -> str:
    made = f"CREATE TABLE IF NOT EXISTS `{target}`.`{table}` LIKE `{source}`.`{table}`;"
    return f"{made} REPLACE INTO `{target}`.`{table}` SELECT * FROM `{source}`.`{table}`;"  # noqa: S608 (names of ours)


def run_copy(lab: Lab, installed: Site, new: Sequence[Site]) -> None:
    """Give each of `new` the tables of `installed`."""
    tables = lab.ssh(HOST, ["mariadb", "-N", "-e", f"SHOW TABLES IN `{installed.database}`"]).split()
    statements = render_copy(str(installed.database), tables, [str(site.database) for site in new])
    lab.ssh(HOST, ["mariadb"], stdin=statements.encode(), timeout=COPY_SECONDS)


def run_light(lab: Lab, context: Context, new: Sequence[Site]) -> None:
    """Make `new`, whose volumes are there. Raises Failed when another site is changed by it."""
    installed = next(site for site in context.plan.sites if site.service == new[0].service and site not in new)
    with step(f"{len(new)} sites by the sites stage, without their installation"):
        _check_new(SitesStage().apply(make_light(context, [site.name for site in new])), new)
    with step(f"the tables of {installed.name} copied {len(new)} times"):
        run_copy(lab, installed, new)
    with step("the sites stage takes note"):
        _check_new(SitesStage().apply(context), new)


def _check_new(changes: Sequence[Change], new: Sequence[Site]) -> None:
    others = {change.association for change in changes} - {site.association for site in new}
    if others:
        raise Failed(f"expected changes of new sites only, found: {', '.join(sorted(others))}")
