"""Sites that are not installed, because backups of them wait for their restore.

Installed empty, a site would look alive, and be saved that night as its newest copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from socle.errors import SocleError
from socle.model.plan import Repository
from socle.sites.difference import SiteDifference
from socle.stages.base import Context
from socle.vault.exchange import run_vault

_SECONDS = 300.0


def find_empty(differences: Mapping[str, tuple[SiteDifference, ...]]) -> set[str]:
    """The sites that a run would install, or bring up on an empty volume. A step is an installation, which writes the
    first content of a site; one whose result is there (its host was made anew, and its volumes kept) is only noted."""
    return {
        site.site
        for sites in differences.values()
        for site in sites
        if site.bare or any((change.kind, change.action) == ("step", "create") for change in site.changes)
    }


def hold(site: SiteDifference) -> SiteDifference:
    """The same without the installation, and not taken for finished: all that a restore needs is made. Without its
    files, a site does not start either: its database alone would pass for the whole."""
    left = ("step", "unit") if site.bare else ("step",)
    make = tuple(wire for wire in site.make if wire["key"].partition(":")[0] not in left)
    changes = tuple(change for change in site.changes if change.kind not in left)
    return replace(site, make=make, changes=changes, stamp="", held=True)


def load_held(context: Context, differences: Mapping[str, tuple[SiteDifference, ...]]) -> dict[str, str]:
    """Why each site that a run would bring up empty must not be: its repository has snapshots of it, or cannot say."""
    new = find_empty(differences)
    held: dict[str, str] = {}
    for repository in context.plan.repositories:
        if sites := sorted(new.intersection(repository.sites)):
            held.update(_load_held(context, repository, sites))
    return held


def _load_held(context: Context, repository: Repository, sites: list[str]) -> Iterator[tuple[str, str]]:
    wanted = {
        "path": repository.path,
        "key": context.secrets.repository(repository.name).get("key", ""),
        "sites": sites,
    }
    message = {"mode": "saved", "repositories": {repository.name: wanted}}
    try:
        saved = run_vault(context.workspace, repository.host, message, _SECONDS)["repositories"][repository.name]
    except SocleError as error:
        for site in sites:
            yield site, f"not installed: whether it has backups to restore is not known: {error}"
        return
    for site in sites:
        if site in saved:
            yield (
                site,
                (
                    f"not installed: it has backups, the newest of {saved[site]}; "
                    f"run: socle restore {repository.association} --into place"
                ),
            )
