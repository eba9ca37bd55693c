"""From a plan to resources on hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from socle.load.catalogue import Catalogue, load_catalogue
from socle.model.plan import Host, Plan, Site
from socle.sites.desired import make_desired

_SERVICE = """
from socle.model.service import Kind, Service
SERVICE = Service(
    name={name!r}, title="x", purpose="x", kind=Kind({kind!r}), role={role!r}, tag={tag!r}, requires={needs!r}
)
"""
_SITE = """
from socle.sites.resources import File
def make_site(site, plan, secrets):
    return (File("/etc/{name}/" + {path}, secrets["word"].encode()),)
"""


def write_service(
    stacks: Path, name: str, role: str, tag: str = "", needs: tuple[str, ...] = (), path: str = "site.name"
) -> None:
    folder = stacks / name
    folder.mkdir()
    kind = "site" if tag else "host"
    (folder / "service.py").write_text(_SERVICE.format(name=name, kind=kind, role=role, tag=tag, needs=needs))
    (folder / "site.py").write_text(_SITE.format(name=name, path=path))


def make_host(name: str, role: str) -> Host:
    return Host.model_validate(
        {"name": name, "role": role, "memory": 1, "disk": 1, "nics": (), "address": "10.0.0.1"}
        | {"inputs": (), "services": ()}
    )


def make_site(name: str, host: str) -> Site:
    return Site.model_validate(
        {"name": name, "association": name[3:], "association_name": "X", "service": "page", "host": host}
        | {"uid": 20000, "database": None, "path": f"/srv/sites/{name}", "unit": f"socle-{name}.service"}
        | {
            "domain": f"{name}.example",
            "redirects": (),
            "quota": 1,
            "database_quota": 0,
            "memory": 1,
            "options": {},
            "secrets": (),
        }
    )


def make_plan(*sites: Site) -> Plan:
    hosts = (make_host("edge1", "edge"), make_host("edge2", "edge"), make_host("web1", "web"), make_host("web2", "web"))
    return Plan.model_validate(
        {"environment": "t", "syndicate": "s", "domain": "d", "timezone": "UTC", "acme_directory": "https://a"}
        | {"networks": (), "hosts": hosts, "volumes": (), "records": (), "sites": sites, "orphans": (), "waiting": ()}
    )


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    write_service(tmp_path, "front", "edge")
    write_service(tmp_path, "store", "web")
    write_service(tmp_path, "page", "web", "pg", ("front", "store"))
    return load_catalogue(tmp_path)


def test_resources_go_to_the_hosts_of_their_services_role(catalogue: Catalogue) -> None:
    desired = make_desired(make_plan(make_site("pg-a", "web2")), catalogue, {"pg-a": {"word": "x"}})
    assert {host: tuple(site.keys for site in sites.values()) for host, sites in desired.items()} == {
        "edge1": (("file:/etc/front/pg-a",),),
        "edge2": (("file:/etc/front/pg-a",),),
        "web1": (),
        "web2": (("mount:/srv/sites/pg-a", "user:pg-a", "file:/etc/store/pg-a", "file:/etc/page/pg-a"),),
    }


def test_another_sites_stamp_does_not_move(catalogue: Catalogue) -> None:
    secrets = {"pg-a": {"word": "x"}, "pg-b": {"word": "y"}}
    alone = make_desired(make_plan(make_site("pg-a", "web1")), catalogue, secrets)
    both = make_desired(make_plan(make_site("pg-a", "web1"), make_site("pg-b", "web1")), catalogue, secrets)
    assert alone["web1"]["pg-a"] == both["web1"]["pg-a"]
    changed = make_desired(make_plan(make_site("pg-a", "web1")), catalogue, {"pg-a": {"word": "z"}})
    assert changed["web1"]["pg-a"].stamp != alone["web1"]["pg-a"].stamp


def test_two_sites_that_claim_one_thing_are_refused(tmp_path: Path) -> None:
    write_service(tmp_path, "page", "web", "pg", path='"same"')
    plan = make_plan(make_site("pg-a", "web1"), make_site("pg-b", "web1"))
    with pytest.raises(ValueError, match="pg-a and pg-b both claim file:/etc/page/same"):
        make_desired(plan, load_catalogue(tmp_path), {"pg-a": {"word": "x"}, "pg-b": {"word": "x"}})
