"""The resources of a fake site that are its own, as socle's sites stage makes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from socle.model.plan import Plan, Site
from socle.sites.render import render
from socle.sites.resources import Directory, File, Resource, Unit

TEMPLATES = Path(__file__).parent / "templates"


def make_site(site: Site, _plan: Plan, secrets: Mapping[str, str]) -> tuple[Resource, ...]:
    """Two folders, two files, and a unit that restarts with them. The rest of the nine comes from elsewhere:
    the user with every site; the database, its account and its limit (a file) from MariaDB's site.py."""
    values = {
        "site": site.name,
        "path": site.path,
        "database": site.database,
        "password": secrets["database_password"],
    }
    folder = f"/etc/fake/{site.name}"
    files = (
        File(f"{folder}/service.conf", _render("service.conf", values), 0o640, "root", site.name),
        File(f"/etc/systemd/system/{site.unit}", _render("unit.service", values)),
    )
    return (
        Directory(site.path, 0o750, site.name, site.name),
        Directory(folder, 0o750, "root", site.name),
        *files,
        Unit(site.unit, watches=tuple(file.key for file in files)),
    )


def _render(name: str, values: Mapping[str, str | None]) -> bytes:
    return render(TEMPLATES / f"{name}.j2", **values).encode()
