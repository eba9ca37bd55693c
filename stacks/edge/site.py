"""A site on the edge: one file. Caddy makes one order per name, so a dead name holds up no other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from socle.load.catalogue import load_module
from socle.model.plan import Plan, Site
from socle.sites.resources import File, Resource

_render = load_module(Path(__file__).parent / "render.py")


def make_site(site: Site, plan: Plan, secrets: Mapping[str, str]) -> tuple[Resource, ...]:  # noqa: ARG001
    """The file that leads the site's names to its web host's inner address, on port 80."""
    upstream = f"{plan.host(site.host).address}:80"
    text = _render.render_site(site.name, site.domain, site.redirects, upstream)
    path = f"/etc/caddy/sites/{site.name}.caddy"
    return (File(path=path, content=text.encode(), reload="caddy", validate=_render.VALIDATE),)
