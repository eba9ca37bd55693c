"""A site, its plan, and the host's program as modules."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from socle.model.plan import Plan, Site
from socle.planning.make_plan import make_plan
from tests.catalogue import backup_samples  # noqa: F401 (it makes the modules of host programs found)
from tests.make import make_inputs

SITE = {
    "name": "wp-a",
    "association": "a",
    "association_name": "A",
    "service": "page",
    "host": "web1",
    "uid": 2000,
    "database": "wp_a",
    "path": "/srv/sites/wp-a",
    "unit": "socle-wp-a.service",
    "domain": "a.example",
    "redirects": (),
    "quota": 512 * 1024**2,
    "database_quota": 128 * 1024**2,
    "memory": 256 * 1024**2,
    "options": {},
    "secrets": ("database_password",),
}


def make_site(**changes: Any) -> Site:
    return Site(**{**SITE, **changes})


def make_site_plan(*sites: Site) -> Plan:
    """A plan of the test platform with these sites."""
    return make_plan(make_inputs()).model_copy(update={"sites": sites or (make_site(),)})


def load_host(name: str) -> ModuleType:
    """A module of the host's program."""
    return importlib.import_module(f"restore_host.{name}")
