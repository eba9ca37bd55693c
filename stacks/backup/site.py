"""What a host must know to save a site: one file, with the keys of its repository. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from socle.load.catalogue import load_module
from socle.model.plan import Plan, Site
from socle.model.service import Service
from socle.sites.resources import File, Resource

FOLDER = Path(__file__).parent
_ALWAYS = ("restic",)


def load_service(name: str) -> Service:
    """The declaration of another service of the catalogue."""
    service: Service = load_module(FOLDER.parent / name / "service.py").SERVICE
    return service


def make_packages(service: Service) -> list[str]:
    """Packages whose versions go with each snapshot: those that made what is saved, on the same host."""
    needed = (load_service(name) for name in service.requires)
    found = {
        *_ALWAYS,
        *service.packages,
        *(name for one in needed if one.role == service.role for name in one.packages),
    }
    return sorted(found)


def make_site(site: Site, plan: Plan, secrets: Mapping[str, str]) -> tuple[Resource, ...]:
    """The site's file; nothing when its service has nothing to save, or the platform no vault."""
    service, repository = load_service(site.service), plan.repository(site.association)
    if service.state is None or repository is None:
        return ()
    config = {
        "site": site.name,
        "association": site.association,
        "service": site.service,
        "url": repository.url,
        "user": repository.name,
        "credential": secrets["repository_credential"],
        "key": secrets["repository_key"],
        "folder": site.path,
        "exclude": service.state.exclude,
        "sqlite": service.state.sqlite,
        "database": site.database,
        "packages": make_packages(service),
    }
    content = json.dumps(config, indent=1, sort_keys=True).encode() + b"\n"
    return (File(f"/etc/socle/backups/{site.name}.json", content, 0o600),)
