"""socle request: what associations ask for, from a template to an accepted place."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from socle.cli.common import Session, verb
from socle.errors import Exit, InvalidInput, Problem
from socle.load.inputs import load_allocations
from socle.model.domains import render_domain
from socle.model.request import Request
from socle.planning.rules import find_problems, make_domain
from socle.requests import find_new, make_accepted, render_annotated, render_schema, run_accept, run_new


def _render_requests(requests: dict[str, Request], platform_domain: str) -> Table:
    table = Table("association", "name", "service", "address", box=None, pad_edge=False)
    for identifier, request in requests.items():
        for service, options in request.wanted().items():
            address = render_domain(make_domain(options, identifier, platform_domain))
            table.add_row(*map(Text, (identifier, request.name, service, address)))
    return table


def register(group: click.Group) -> None:
    """Add the group and its verbs."""

    @group.group()
    def request() -> None:
        """Requests of associations: new, check, accept; their schema and annotated example."""

    @verb(request, "new", example="socle request new 'Les Amis du Lac' --town 38421", codes=(Exit.REFUSED,))
    @click.argument("name")
    @click.option("--town", required=True, help="INSEE code of the member town.")
    @click.option("--domain", help="Domain of the site.")
    @click.option("--id", "identifier", help="Identifier, if not the one made from the name.")
    def new(session: Session, name: str, town: str, domain: str | None, identifier: str | None) -> Exit:
        """Write a request from the template, to be completed by hand."""
        path = run_new(session.workspace, name, town, domain, identifier)
        session.show({"path": f"associations/{path.name}"}, lambda: f"associations/{path.name}")
        session.next(f"$EDITOR associations/{path.name}", "socle request check")
        return Exit.DONE

    @verb(request, "check", example="socle request check")
    def check(session: Session) -> Exit:
        """Check all requests, each and together. Every problem is shown at once, with its file and line."""
        inputs = session.inputs()
        if problems := find_problems(inputs):
            raise InvalidInput(problems)
        requests = dict(inputs.requests)
        data = {"requests": {name: value.model_dump(mode="json") for name, value in requests.items()}}
        session.show(data, lambda: _render_requests(requests, inputs.platform.domain))
        session.next("socle request accept ASSOCIATION")
        return Exit.DONE

    @verb(request, "accept", example="socle request accept amis-du-lac", codes=(Exit.REFUSED,))
    @click.argument("associations", nargs=-1)
    @click.option("--all", "everyone", is_flag=True, help="Every association that waits.")
    @click.option("--dry-run", is_flag=True, help="Check and choose, write nothing.")
    def accept(session: Session, associations: tuple[str, ...], everyone: bool, dry_run: bool) -> Exit:
        """Give associations their places: host, uid, names, secrets. What is given never changes."""
        if not associations and not everyone:
            raise InvalidInput([Problem("ASSOCIATIONS", 0, "", "expected at least one association", "or --all")])
        sites = _run_accept(session, None if everyone else list(associations), dry_run)
        session.show({"sites": sites}, lambda: Text("\n".join(sites) or "Nothing to accept."))
        session.next("socle plan", "socle apply")
        return Exit.DONE

    _register_documents(request)


def _run_accept(session: Session, wanted: list[str] | None, dry_run: bool) -> list[str]:
    """The sites that were given a place, or would be; new hosts are said."""
    workspace = session.workspace
    before = load_allocations(workspace).hosts
    if dry_run:
        inputs = session.inputs()
        accepted = make_accepted(inputs, workspace.mark, wanted)
        sites, after = find_new(inputs, accepted), accepted.allocations.hosts
    else:
        with session.locked("request accept"):
            sites = run_accept(workspace, wanted)
        after = load_allocations(workspace).hosts
    for host in sorted(set(after) - set(before)):
        session.talk.say(f"{host}: number {after[host]} in the networks")
    return sites


def _register_documents(request: click.Group) -> None:
    @verb(request, "schema", example="socle request schema > associations/schema.json")
    def schema(session: Session) -> Exit:
        """Print the JSON Schema of a request, for editors. Made from the models."""
        click.echo(render_schema(session.workspace))
        return Exit.DONE

    @verb(request, "example", example="socle request example > docs/request.example.yml")
    def example(session: Session) -> Exit:
        """Print the annotated example of a request. Made from the models."""
        click.echo(render_annotated(session.workspace), nl=False)
        return Exit.DONE
