"""A plan with one awkward WordPress site, for tests of what services render."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from socle.load.catalogue import load_module
from socle.model.plan import Host, Nic, Plan, Site

STACKS = Path(__file__).resolve().parents[2] / "stacks"
TITLE = 'L\'Été à l’école "$HOME" \\ {{ 7*7 }} & 🎉'
SECRETS = {"admin_password": "admin'\"\\$", "database_password": "db'\"\\${x}", "salt": "salt"}


def stack(service: str, module: str) -> ModuleType:
    return load_module(STACKS / service / f"{module}.py")


def load_program(service: str, name: str) -> ModuleType:
    """A program of a service that runs on hosts, as a module."""
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(STACKS / service / "host" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def make_site(**changes: Any) -> Site:
    site: dict[str, Any] = {
        "name": "wp-ecole",
        "association": "ecole",
        "association_name": TITLE,
        "service": "wordpress",
        "host": "web1",
        "uid": 20000,
        "database": "wp_ecole",
        "path": "/srv/sites/wp-ecole",
        "unit": "socle-wp-ecole.service",
        "domain": "xn--cole-9oa.example",
        "redirects": (),
        "quota": 1024**3,
        "database_quota": 256 * 1024**2,
        "memory": 256 * 1024**2,
        "options": {},
        "secrets": tuple(SECRETS),
    }
    return Site.model_validate({**site, **changes})


def _make_host(name: str, role: str, address: str, services: tuple[str, ...]) -> Host:
    nic = Nic(network="inner", device="eth0", ipv4=f"{address}/24")  # type: ignore[arg-type]
    return Host(
        name=name,
        role=role,
        memory=2 * 1024**3,
        disk=10 * 1024**3,
        nics=(nic,),
        address=address,  # type: ignore[arg-type]
        inputs=(),
        services=services,
    )


def make_plan(*sites: Site) -> Plan:
    return Plan(
        environment="test-0000",
        syndicate="SITPI",
        domain="asso.example",
        timezone="Europe/Paris",
        acme_directory="https://acme.example/directory",
        networks=(),
        hosts=(
            _make_host("edge1", "edge", "10.64.2.10", ("edge",)),
            _make_host("web1", "web", "10.64.2.11", ("mariadb", "nginx", "wordpress")),
        ),
        volumes=(),
        records=(),
        sites=sites or (make_site(),),
        orphans=(),
        waiting=(),
    )


def check_expected(service: str, name: str, text: str) -> None:
    """Compare with the golden render; SOCLE_RENDER=1 writes it anew, to be read before it is committed."""
    import os

    path = STACKS / service / "expected" / name
    if os.environ.get("SOCLE_RENDER") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
