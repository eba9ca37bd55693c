"""Inputs for tests: a catalogue that depends on no folder of stacks/, platforms, requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from socle.load.catalogue import Catalogue, Entry
from socle.load.inputs import Inputs
from socle.load.yaml_source import make_model, parse_source
from socle.model.allocation import Allocations, NetworkAllocation
from socle.model.plan import Repository
from socle.model.platform import Platform
from socle.model.request import make_request_model
from socle.model.service import Data, Flow, Kind, Secret, Service, SiteOptions


class PageOptions(SiteOptions):
    """Options of the service that tests use."""

    title: str = Field(default="", description="Its title.", examples=["Bonjour"])


WEB = Service(
    name="httpd",
    title="Serveur",
    purpose="Serves.",
    kind=Kind.HOST,
    role="web",
    flows=(Flow(ports=(80,), source="edge"),),
    memory=50 * 1024**2,
    data=Data(path="/var/lib/httpd", size=1024**3),
)
EDGE = Service(
    name="edge",
    title="Bord",
    purpose="Faces the world.",
    kind=Kind.HOST,
    role="edge",
    flows=(Flow(ports=(80, 443), source="anyone"),),
)
PAGE = Service(
    name="page",
    title="Page",
    purpose="A page.",
    kind=Kind.SITE,
    role="web",
    tag="pg",
    requires=("httpd", "edge"),
    secrets=(Secret(name="admin_password"),),
    options=PageOptions,
    database=True,
    site_memory=64 * 1024**2,
)
CATALOGUE = Catalogue(tuple(Entry(service, Path("stacks") / service.name) for service in (EDGE, WEB, PAGE)))
PLATFORM: dict[str, Any] = {
    "syndicate": "SITPI",
    "domain": "asso.example",
    "lab": "true",
    "towns": {"38151": "Échirolles", "38169": "Fontaine"},
    "hosts": {
        "edge1": {"role": "edge", "memory": "512MiB"},
        "web1": {"role": "web", "memory": "2GiB"},
    },
    "pool_size": "100GiB",
    "dns": {"server": "outside", "zones": ["example"]},
    "acme": {"directory": "https://acme.outside.test/directory"},
}
REQUEST: dict[str, Any] = {
    "name": "Les Amis du Lac",
    "town": "38151",
    "purpose": "Le lac",
    "legal_regime": "other",
    "convention": {"decision_reference": "2026-1", "agreement_date": "2026-01-31"},
    "services": {"page": {"title": "Bonjour"}},
}
ALLOCATIONS = Allocations(
    networks={
        "public": NetworkAllocation(ipv4="10.64.1.0/24", ipv6="fd50:1::/64"),  # type: ignore[arg-type]
        "inner": NetworkAllocation(ipv4="10.64.2.0/24"),  # type: ignore[arg-type]
    },
    hosts={"edge1": 10, "web1": 11},
)


def make_request_text(**changes: Any) -> str:
    """A valid request as YAML text, with top-level keys changed; a key set to None is left out."""
    data = {key: value for key, value in {**REQUEST, **changes}.items() if value is not None}
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False)


def make_inputs(
    requests: dict[str, str] | None = None,
    allocations: Allocations = ALLOCATIONS,
    platform: dict[str, Any] | None = None,
    catalogue: Catalogue = CATALOGUE,
) -> Inputs:
    """Inputs from request texts by identifier. Fails the test when one is not valid."""
    model = make_request_model(catalogue.services)
    texts = {"amis-du-lac": make_request_text()} if requests is None else requests
    sources = {name: parse_source(text, f"associations/{name}.yml") for name, text in texts.items()}
    parsed = {name: make_model(model, source) for name, source in sources.items()}
    assert all(parsed.values()), [problem for source in sources.values() for problem in source.problems]
    values = Platform.model_validate({**PLATFORM, **(platform or {})})
    return Inputs("test-1a2b", values, allocations, catalogue, parsed, sources)  # type: ignore[arg-type]


def make_repository(association: str, *sites: str, **changes: Any) -> Repository:
    """The repository of an association, as a vault of this platform has it."""
    return Repository(
        **{
            "name": association,
            "association": association,
            "host": "vault1",
            "path": f"/srv/vault/{association}",
            "volume": f"repository__{association}",
            "url": f"rest:https://10.64.2.12:8443/{association}/",
            "quota": 1,
            "sites": sites,
            **changes,
        }
    )
