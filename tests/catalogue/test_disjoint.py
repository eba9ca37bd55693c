"""Who owns what: packages, paths and units of roles and of services that meet on a host never overlap."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path, PurePosixPath

import pytest
import yaml

from socle.load.catalogue import load_catalogue

REPOSITORY = Path(__file__).resolve().parents[2]
KINDS = ("packages", "paths", "units")
# Shared by design: software of several services, which none of them configures.
LIBRARIES = {"ca-certificates", "curl", "openssl"}


def load_owned(kind: str) -> dict[str, tuple[str, set[str]]]:
    """What each role (on every host) and each service (on hosts of its role) owns, by owner."""
    owned = {
        f"roles/{path.parent.parent.name}": ("", set(yaml.safe_load(path.read_text())[kind]))
        for path in REPOSITORY.glob("roles/*/meta/owns.yml")
    }
    for service in load_catalogue(REPOSITORY / "stacks").services:
        owned[f"stacks/{service.name}"] = (service.role, set(getattr(service, kind)))
    return owned


def find_overlaps(kind: str, one: set[str], other: set[str]) -> set[str]:
    """Equal names; for paths also a folder and what is in it."""
    if kind != "paths":
        return (one & other) - LIBRARIES
    return {
        f"{a} {b}"
        for a in one
        for b in other
        if PurePosixPath(a).is_relative_to(b) or PurePosixPath(b).is_relative_to(a)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_has_two_owners(kind: str) -> None:
    found = {
        f"{one} and {other}": overlaps
        for (one, (role, mine)), (other, (other_role, theirs)) in combinations(load_owned(kind).items(), 2)
        if (not role or not other_role or role == other_role) and (overlaps := find_overlaps(kind, mine, theirs))
    }
    assert found == {}


def test_an_overlap_is_seen() -> None:
    assert find_overlaps("paths", {"/etc/nginx"}, {"/etc/nginx/sites"}) == {"/etc/nginx /etc/nginx/sites"}
    assert find_overlaps("units", {"nginx.service"}, {"nginx.service"}) == {"nginx.service"}
    assert find_overlaps("paths", {"/etc/nginx"}, {"/etc/nginx-extra"}) == set()


def test_roles_and_services_are_looked_at() -> None:
    owners = load_owned("packages")
    assert {"roles/sshd", "stacks/nginx", "stacks/wordpress", "stacks/edge"} <= set(owners)


def test_packages_are_named_once() -> None:
    """In service.py, from which deploy.py installs them."""
    for service in load_catalogue(REPOSITORY / "stacks").services:
        deploy = REPOSITORY / "stacks" / service.name / "deploy.py"
        if service.packages:
            assert "SERVICE.packages" in deploy.read_text(), service.name


def test_templates_are_read_in_one_way() -> None:
    found = [path for path in (REPOSITORY / "stacks").rglob("*.py") if "jinja2" in path.read_text()]
    assert found == []
