"""Requests of associations, from a template to a place of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import yaml

from socle.errors import InvalidInput, Problem, Refused
from socle.files import render_yaml, run_write
from socle.load.addresses import load_networks_in_use
from socle.load.catalogue import load_catalogue
from socle.load.inputs import Inputs, load_inputs
from socle.load.workspace import Workspace
from socle.model.allocation import Allocations
from socle.model.example import render_example
from socle.model.names import IDENTIFIER, make_identifier
from socle.model.request import make_request_model
from socle.planning.allocate import make_platform_allocations, make_site_allocations
from socle.planning.make_plan import make_plan
from socle.planning.rules import find_problems
from socle.secrets import SecretStore

_HEADER = "Written by socle: what must never change once given. Do not edit."
_TEMPLATE_HEADER = "# yaml-language-server: $schema=schema.json\n"


def make_accepted(inputs: Inputs, mark: str, associations: list[str]) -> Inputs:
    """The inputs with what `associations` need given to them. Raises InvalidInput or Refused: nothing is written."""
    problems = find_problems(inputs)
    if problems:
        raise InvalidInput(problems)
    given = make_platform_allocations(inputs.platform, inputs.allocations, mark, load_networks_in_use())
    ready = replace(inputs, allocations=given)
    accepted = replace(ready, allocations=make_site_allocations(ready, associations))
    make_plan(accepted)  # Capacity is refused before anything is written.
    return accepted


def run_accept(workspace: Workspace, associations: list[str]) -> list[str]:
    """Give `associations` their places and secrets; the names of the sites that are new. The caller holds the lock."""
    inputs = load_inputs(workspace)
    accepted = make_accepted(inputs, workspace.mark, associations)
    store = SecretStore(workspace.secrets)
    store.run_create()
    new = sorted(set(accepted.allocations.sites) - set(inputs.allocations.sites))
    for name in new:
        site = accepted.allocations.sites[name]
        store.run_ensure(site.association, name, inputs.catalogue[site.service].service.secrets)
    run_write(workspace.inventory / "allocations.yml", render_allocations(accepted.allocations), mode=0o644)
    return new


def render_allocations(allocations: Allocations) -> bytes:
    """allocations.yml."""
    return render_yaml(allocations.model_dump(mode="json"), _HEADER)


def render_request(workspace: Workspace, name: str, town: str, domain: str | None) -> str:
    """A request from the annotated example, with what is known filled in."""
    model = make_request_model(load_catalogue(workspace.stacks).services)
    data = yaml.safe_load(render_example(model))
    data |= {"name": name, "town": town}
    for options in data["services"].values():
        options.update(domain=domain, redirects=[])
        options.pop("title", None)
    return _TEMPLATE_HEADER + yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=100)


def run_new(workspace: Workspace, name: str, town: str, domain: str | None, identifier: str | None) -> Path:
    """Write the request of a new association. Raises InvalidInput or Refused; an existing file is never touched."""
    chosen = identifier or make_identifier(name)
    if not IDENTIFIER.fullmatch(chosen):
        expected = f"expected an identifier such as amis-du-lac, found {chosen!r}"
        raise InvalidInput([Problem("--id", 0, "", expected, "choose one with --id")])
    path = workspace.associations / f"{chosen}.yml"
    if path.exists():
        remedy = "if it is another association, give it another identifier with --id"
        raise Refused([Problem(f"associations/{path.name}", 0, "", "expected no such request: it exists", remedy)])
    run_write(path, render_request(workspace, name, town, domain).encode(), mode=0o644)
    return path


def render_schema(workspace: Workspace) -> str:
    """associations/schema.json."""
    model = make_request_model(load_catalogue(workspace.stacks).services)
    return json.dumps(model.model_json_schema(), ensure_ascii=False, indent=2)


def render_annotated(workspace: Workspace) -> str:
    """docs/request.example.yml."""
    model = make_request_model(load_catalogue(workspace.stacks).services)
    return "# Made by `socle request example`: every key of a request, with what it means.\n" + render_example(model)
