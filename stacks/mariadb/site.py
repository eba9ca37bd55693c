"""What a site has in MariaDB: a database, an account that may use it alone, and its share of the quota."""

from __future__ import annotations

import json
from collections.abc import Mapping

from socle.model.plan import Plan, Site
from socle.sites.resources import Database, File, Grant, Resource


def make_site(site: Site, _plan: Plan, secrets: Mapping[str, str]) -> tuple[Resource, ...]:
    """The site's database, its account, and the limit that socle-database-quota enforces."""
    if site.database is None:
        return ()
    limit = {"database": site.database, "bytes": site.database_quota}
    return (
        Database(site.database),
        Grant(site.database, secrets["database_password"]),
        File(f"/etc/socle/quota/{site.name}.json", json.dumps(limit, sort_keys=True).encode() + b"\n"),
    )
