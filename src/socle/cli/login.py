"""socle login: a first sign-in, without a password travelling by e-mail."""

from __future__ import annotations

import click

from socle.cli.common import Session, verb
from socle.errors import Exit, InvalidInput, Problem
from socle.sites.login import run_login_link


def register(group: click.Group) -> None:
    """Add the verb."""

    @verb(group, "login", example="socle login wp-amis-du-lac", codes=(Exit.UNREACHABLE,))
    @click.argument("site")
    def login(session: Session, site: str) -> Exit:
        """Print a link with which the site's administrator chooses a password. It works once."""
        context = session.context()
        sites = {known.name: known for known in context.plan.sites}
        if site not in sites:
            remedy = f"known: {', '.join(sites) or 'none'}"
            raise InvalidInput([Problem("SITE", 0, "", f"expected the name of a site, found {site}", remedy)])
        with session.recorded(f"login {site}", context.plan.digest()):
            link = run_login_link(context, sites[site])
        session.show({"site": site, "link": link}, lambda: link)
        return Exit.DONE
