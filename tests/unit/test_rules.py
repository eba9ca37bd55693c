"""Rules between files: what a host holds stays where it is, and nothing declared is silently left out."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import IPv4Network
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from socle.errors import Exit, InvalidInput, Refused
from socle.load.addresses import load_networks_in_use
from socle.load.inputs import Inputs
from socle.model.allocation import Allocations
from socle.model.platform import Platform
from socle.planning.allocate import make_platform_allocations, make_site_allocations
from socle.planning.make_plan import make_plan
from tests.make import PLATFORM, make_inputs, make_request_text

EDGE = {"role": "edge", "memory": "512MiB"}
WEB = {"role": "web", "memory": "2GiB"}


def accepted() -> Allocations:
    inputs = make_inputs()
    return make_site_allocations(inputs, sorted(inputs.requests))


def with_hosts(hosts: dict[str, Any], requests: dict[str, str] | None = None) -> Inputs:
    return make_inputs(requests, allocations=accepted(), platform={"hosts": hosts})


@pytest.mark.parametrize(
    ("hosts", "where", "remedy"),
    [
        ({"edge1": EDGE, "web2": WEB}, "hosts.web1", "declare web1 again"),
        ({"edge1": EDGE}, "hosts.web1", "declare web1 again"),
        ({"edge1": EDGE, "web1": EDGE, "web2": WEB}, "hosts.web1.role", "give web1 its role back"),
    ],
)
@pytest.mark.parametrize("requests", [None, {}], ids=["site", "orphan"])
def test_a_host_that_holds_data_stays(
    hosts: dict[str, Any], where: str, remedy: str, requests: dict[str, str] | None
) -> None:
    with pytest.raises(Refused) as error:
        make_plan(with_hosts(hosts, requests))
    (problem,) = error.value.problems
    assert error.value.exit is Exit.REFUSED
    assert (problem.path, problem.where) == ("inventories/test/platform.yml", where)
    assert "it holds pg-amis-du-lac" in problem.expected
    assert remedy in problem.remedy


def test_a_host_that_holds_nothing_may_go() -> None:
    plan = make_plan(with_hosts({"web1": WEB}))
    assert [host.name for host in plan.hosts] == ["web1"]


def test_a_host_without_number_is_not_ignored() -> None:
    inputs = with_hosts({**PLATFORM["hosts"], "web2": WEB})
    with pytest.raises(InvalidInput) as error:
        make_plan(inputs)
    (problem,) = error.value.problems
    assert (problem.where, problem.remedy) == ("hosts.web2", "run: socle request accept --all")
    given = make_platform_allocations(inputs.platform, inputs.allocations, "1a2b", [])
    assert [host.name for host in make_plan(replace(inputs, allocations=given)).hosts] == ["edge1", "web1", "web2"]


def test_the_names_of_many_sites_are_counted() -> None:
    texts = {f"a{number}": make_request_text() for number in range(7)}
    inputs = make_inputs(texts, platform={"overcommit": "2"})
    allocations = make_site_allocations(inputs, sorted(inputs.requests))
    with pytest.raises(Refused, match="pg-a0, pg-a1, pg-a2, pg-a3, pg-a4 and 2 more"):
        make_plan(make_inputs(texts, allocations=allocations, platform={"hosts": {"edge1": EDGE}}))


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"domain": "Mail.asso.example."}, "services.page.domain"),
        ({"domain": "www.example"}, "services.page.domain"),
        ({"redirects": ["a.example", "mail.asso.example"]}, "services.page.redirects.1"),
    ],
)
def test_a_reserved_name_is_not_taken_in_full(options: dict[str, object], where: str) -> None:
    texts = {"a": make_request_text(services={"page": options})}
    with pytest.raises(InvalidInput) as error:
        make_plan(make_inputs(texts, platform={"reserved": ["www", "mail"]}))
    (problem,) = error.value.problems
    assert (problem.path, problem.where) == ("associations/a.yml", where)
    assert "is reserved in platform.yml" in problem.expected


def test_a_reserved_label_under_a_domain_of_its_own_is_free() -> None:
    texts = {"a": make_request_text(services={"page": {"domain": "www.a.example", "redirects": ["mail.a.example"]}})}
    assert make_plan(make_inputs(texts, platform={"reserved": ["www", "mail"]}))


@pytest.mark.parametrize(("key", "number"), [("rna_number", "W381000009"), ("siren", "732829320")])
def test_two_requests_have_two_legal_numbers(key: str, number: str) -> None:
    texts = {
        name: make_request_text(legal_regime="loi_1901", **{"rna_number": rna, key: number})
        for name, rna in (("a", "W381000001"), ("b", "W381000002"))
    }
    with pytest.raises(InvalidInput) as error:
        make_plan(make_inputs(texts))
    (problem,) = error.value.problems
    assert (problem.path, problem.where) == ("associations/b.yml", key)
    assert f"{number} is that of associations/a.yml:" in problem.expected


@pytest.mark.parametrize(
    ("networks", "where", "said"),
    [
        ({"inner": {"ipv4": "10.9.0.0/29"}}, "networks.inner", "at least 13 addresses, found 10.9.0.0/29"),
        ({"public": {"ipv6": "fd00::/125"}}, "networks.public", "found fd00::/125"),
        ({"inner": {"ipv4": "10.8.0.0/24"}}, "networks.inner.ipv4", "10.8.0.0/24 overlaps 10.8.0.0/16"),
        (
            {"public": {"ipv4": "10.9.0.0/24"}, "inner": {"ipv4": "10.9.0.0/16"}},
            "networks.inner.ipv4",
            "10.9.0.0/16 overlaps 10.9.0.0/24",
        ),
        (
            {"public": {"ipv4": "10.9.0.0/24"}, "inner": {"ipv4": "10.9.0.0/16", "bridge": "br0"}},
            "networks.inner.ipv4",
            "10.9.0.0/16 overlaps 10.9.0.0/24",
        ),
    ],
)
def test_a_declared_network_is_large_enough_and_free(networks: dict[str, Any], where: str, said: str) -> None:
    inputs = make_inputs({}, allocations=Allocations(), platform={"networks": networks})

    def give_and_plan() -> None:
        given = make_platform_allocations(inputs.platform, Allocations(), "1a2b", [IPv4Network("10.8.0.0/16")])
        make_plan(replace(inputs, allocations=given))

    with pytest.raises(InvalidInput) as error:
        give_and_plan()
    (problem,) = error.value.problems
    assert problem.where == where
    assert said in problem.expected
    assert problem.remedy


def test_the_addresses_of_a_bridge_that_exists_are_its_own() -> None:
    networks = {"public": {"bridge": "br0", "ipv4": "10.8.0.0/24"}}
    inputs = make_inputs({}, allocations=Allocations(), platform={"networks": networks})
    given = make_platform_allocations(inputs.platform, Allocations(), "1a2b", [IPv4Network("10.8.0.0/24")])
    assert str(given.networks["public"].ipv4) == "10.8.0.0/24"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"networks": {"inner": {"ipv6": "fd00::/64"}}}, "expected no ipv6 for inner"),
        ({"acme": {"directory": "https://acme.test/", "email": "a@b.example"}}, "email"),
    ],
)
def test_settings_that_nothing_uses_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Platform.model_validate({**PLATFORM, **change})


def test_the_bridges_of_this_environment_are_not_somebody_else_s(monkeypatch: pytest.MonkeyPatch) -> None:
    address = SimpleNamespace(family=socket.AF_INET, address="10.8.0.1", netmask="255.255.255.0")
    found = {"sl1a2b-inner": [address]}
    monkeypatch.setattr("psutil.net_if_addrs", lambda: found)
    assert load_networks_in_use("1a2b") == []
    assert load_networks_in_use("ffff") == [IPv4Network("10.8.0.0/24")]
