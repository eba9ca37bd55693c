"""The first login of an association's administrator."""

from __future__ import annotations

from socle.errors import SocleError
from socle.model.plan import Site
from socle.remote import run_ssh
from socle.stages.base import Context


def run_login_link(context: Context, site: Site) -> str:
    """A one-time link for the administrator of a site, from the site itself; it expires after a day.

    Raises SocleError when it does not answer; Unreachable when its host does not.
    """
    program = f"/usr/lib/socle/{site.service}"
    result = run_ssh(context.workspace, site.host, [program, "login-link", site.name], timeout=60)
    if result.returncode:
        reason = result.stderr.decode(errors="replace").strip()
        raise SocleError(f"{site.name}: no login link: {reason}", "does the site answer? see: socle plan --full")
    return result.stdout.decode().strip()
