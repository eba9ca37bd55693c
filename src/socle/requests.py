"""Requests of associations, from a template to a place of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from socle.errors import InvalidInput, Problem, Refused
from socle.files import render_yaml, run_write
from socle.load.addresses import load_networks_in_use
from socle.load.catalogue import load_catalogue
from socle.load.inputs import Inputs, load_inputs, load_platform
from socle.load.workspace import Workspace
from socle.model.allocation import Allocations
from socle.model.domains import parse_domain
from socle.model.example import render_example, render_template
from socle.model.names import IDENTIFIER, make_identifier
from socle.model.platform import Platform
from socle.model.request import make_request_model
from socle.model.service import Kind
from socle.planning.allocate import make_platform_allocations, make_site_allocations
from socle.planning.make_plan import make_plan
from socle.planning.rules import find_problems
from socle.runs.journal import recorded
from socle.secrets import SecretStore

_HEADER = "Written by socle: what must never change once given. Do not edit."
_TEMPLATE_HEADER = "# yaml-language-server: $schema=schema.json\n"


def make_accepted(inputs: Inputs, mark: str, associations: list[str] | None) -> Inputs:
    """The inputs with what `associations` (None: all) need given to them. Nothing is written.

    Raises InvalidInput or Refused.
    """
    problems = find_problems(inputs)
    if problems:
        raise InvalidInput(problems)
    given = make_platform_allocations(inputs.platform, inputs.allocations, mark, load_networks_in_use(mark))
    wanted = sorted(inputs.requests) if associations is None else associations
    ready = replace(inputs, allocations=given)
    accepted = replace(ready, allocations=make_site_allocations(ready, wanted))
    make_plan(accepted)  # Capacity is refused before anything is written.
    return accepted


def run_accept(workspace: Workspace, associations: list[str] | None) -> list[str]:
    """Give `associations` (None: all) their places and secrets, and new hosts their numbers.

    Returns the names of the sites that are new. What changes is recorded. The caller holds the lock.
    """
    inputs = load_inputs(workspace, find_problems)
    accepted = make_accepted(inputs, workspace.mark, associations)
    store = SecretStore(workspace.secrets)
    store.run_create()
    if accepted.allocations != inputs.allocations:
        plan = make_plan(accepted)
        with recorded(workspace.state, workspace.root, "request accept", plan.digest()) as entry:
            _run_give(workspace, store, inputs, accepted)
            entry.changes = len(find_new(inputs, accepted))
    return find_new(inputs, accepted)


def _run_give(workspace: Workspace, store: SecretStore, before: Inputs, accepted: Inputs) -> None:
    """Secrets first: a site that is written down has them."""
    for name in find_new(before, accepted):
        site = accepted.allocations.sites[name]
        store.run_ensure(site.association, name, accepted.catalogue[site.service].service.secrets)
    for name in accepted.allocations.repositories:
        store.run_ensure_repository(name)
    run_write(workspace.inventory / "allocations.yml", render_allocations(accepted.allocations), mode=0o644)


def find_new(before: Inputs, accepted: Inputs) -> list[str]:
    """The sites that were given a place."""
    return sorted(set(accepted.allocations.sites) - set(before.allocations.sites))


def render_allocations(allocations: Allocations) -> bytes:
    """allocations.yml."""
    return render_yaml(allocations.model_dump(mode="json"), _HEADER)


def render_request(workspace: Workspace, name: str, town: str, domain: str | None) -> str:
    """A request to be completed. What only the association and its officials know is left empty, never
    invented: `socle request check` asks for it."""
    catalogue = load_catalogue(workspace.stacks)
    options = {"domain": domain} if domain else {}
    services = {service.name: options for service in catalogue.services if service.kind is Kind.SITE}
    given = {"name": name, "town": town, "services": services}
    return _TEMPLATE_HEADER + render_template(make_request_model(catalogue.services), given)


def run_new(workspace: Workspace, name: str, town: str, domain: str | None, identifier: str | None) -> Path:
    """Write the request of a new association. Raises InvalidInput or Refused; an existing file is never touched."""
    chosen = identifier or make_identifier(name)
    if not IDENTIFIER.fullmatch(chosen):
        expected = f"expected an identifier such as amis-du-lac, found {chosen!r}"
        raise InvalidInput([Problem("--id", 0, "", expected, "choose one with --id")])
    problems = list(_find_wrong_arguments(load_platform(workspace), town, domain, chosen))
    if problems:
        raise InvalidInput(problems)
    path = workspace.associations / f"{chosen}.yml"
    if path.exists():
        remedy = "if it is another association, give it another identifier with --id"
        raise Refused([Problem(f"associations/{path.name}", 0, "", "expected no such request: it exists", remedy)])
    run_write(path, render_request(workspace, name, town, domain).encode(), mode=0o644)
    return path


def _find_wrong_arguments(platform: Platform, town: str, domain: str | None, identifier: str) -> Iterator[Problem]:
    if town not in platform.towns:
        known = ", ".join(f"{code} ({name})" for code, name in sorted(platform.towns.items()))
        yield Problem("--town", 0, "", f"expected a member town, found {town}", f"member towns: {known}")
    if identifier in platform.reserved:
        expected = f"expected another identifier: {identifier} is reserved in platform.yml"
        yield Problem("--id", 0, "", expected, "choose one with --id")
    try:
        if domain is not None:
            parse_domain(domain)
    except ValueError as error:
        yield Problem("--domain", 0, "", str(error), "leave it out for a name under the platform's domain")


def render_schema(workspace: Workspace) -> str:
    """associations/schema.json."""
    model = make_request_model(load_catalogue(workspace.stacks).services)
    return json.dumps(model.model_json_schema(), ensure_ascii=False, indent=2)


def render_annotated(workspace: Workspace) -> str:
    """docs/request.example.yml."""
    model = make_request_model(load_catalogue(workspace.stacks).services)
    return "# Made by `socle request example`: every key of a request, with what it means.\n" + render_example(model)
