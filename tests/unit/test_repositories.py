"""Where sites are saved: the repositories of a plan, and what is missing of them on a vault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from socle.errors import InvalidInput, Refused
from socle.load.catalogue import Catalogue, Entry
from socle.load.inputs import Inputs
from socle.model.service import Flow, Kind, Service, State
from socle.planning.allocate import make_platform_allocations, make_site_allocations
from socle.planning.make_plan import make_plan
from socle.stages.repositories import make_account, make_changes, make_tasks
from tests.make import ALLOCATIONS, CATALOGUE, PLATFORM, make_inputs, make_repository, make_request_text

VAULT = Service(
    name="vault",
    title="Coffre",
    purpose="Keeps.",
    kind=Kind.HOST,
    role="vault",
    flows=(Flow(ports=(8443,), source="saved"), Flow(ports=(8443,), source="controller")),
)
BACKUP = Service(name="backup", title="Sauvegarde", purpose="Saves.", kind=Kind.HOST, role="web")
TWO = {"a": make_request_text(name="A"), "b": make_request_text(name="B", services={"page": {"quota": "128MiB"}})}


def make_catalogue() -> Catalogue:
    """The catalogue of tests, in which pages are saved."""
    entries = [*CATALOGUE, *(Entry(service, CATALOGUE.entries[0].folder) for service in (VAULT, BACKUP))]
    return Catalogue(
        tuple(
            Entry(entry.service.model_copy(update={"state": State()}), entry.folder)
            if entry.service.name == "page"
            else entry
            for entry in entries
        )
    )


def make_saved(vaults: dict[str, str] | None = None, **changes: Any) -> Inputs:
    """Inputs with vaults, all requests accepted."""
    hosts = {name: {"role": "vault", "memory": "512MiB"} for name in (vaults or {"vault1": ""})}
    platform = {"hosts": {**PLATFORM["hosts"], **hosts}}
    inputs = make_inputs(changes.pop("requests", TWO), platform=platform, catalogue=make_catalogue(), **changes)
    given = make_platform_allocations(inputs.platform, inputs.allocations, "1a2b", ())
    ready = replace(inputs, allocations=given)
    return replace(ready, allocations=make_site_allocations(ready, sorted(inputs.requests)))


def test_an_association_with_something_to_save_has_a_repository_with_its_volume() -> None:
    plan = make_plan(make_saved())
    assert [(one.name, one.association, one.sites) for one in plan.repositories] == [
        ("_platform", "", ()),
        ("a", "a", ("pg-a",)),
        ("b", "b", ("pg-b",)),
    ]
    repository = plan.repository("b")
    assert repository
    assert repository.url == f"rest:https://{plan.host('vault1').address}:8443/b/"
    assert repository.quota == 192 * 1024**2  # 128 MiB, and half as much again
    (volume,) = [one for one in plan.volumes if one.path == "/srv/vault/b"]
    assert (volume.name, volume.host, volume.size, volume.association) == ("repository__b", "vault1", 192 << 20, "b")


def test_without_a_vault_there_is_nowhere_to_save() -> None:
    inputs = make_inputs(TWO, catalogue=make_catalogue())
    accepted = replace(inputs, allocations=make_site_allocations(inputs, ["a", "b"]))
    assert make_plan(accepted).repositories == ()


def test_a_repository_stays_where_it_is_when_vaults_come() -> None:
    before = make_saved()
    more = make_saved({"avault": "", "vault1": ""}, allocations=before.allocations)
    assert {one.name: one.host for one in make_plan(more).repositories} == {
        "_platform": "vault1",
        "a": "vault1",
        "b": "vault1",
    }
    third = make_saved(
        {"avault": "", "vault1": ""}, allocations=before.allocations, requests={**TWO, "c": make_request_text(name="C")}
    )
    assert third.allocations.repositories["c"].host == "avault"


def test_a_vault_that_came_later_is_given_what_there_is() -> None:
    inputs = make_inputs(TWO, catalogue=make_catalogue())
    accepted = make_site_allocations(inputs, ["a", "b"])
    platform = {"hosts": {**PLATFORM["hosts"], "vault1": {"role": "vault", "memory": "512MiB"}}}
    later = make_inputs(TWO, allocations=accepted, platform=platform, catalogue=make_catalogue())
    hosts = make_platform_allocations(later.platform, accepted, "1a2b", ())
    with pytest.raises(InvalidInput, match=r"expected a vault for the backups of b .*socle request accept --all"):
        make_plan(replace(later, allocations=hosts))


def test_a_vault_that_holds_backups_cannot_go() -> None:
    with pytest.raises(Refused, match=r"hosts\.vault1: expected this host: it holds the backups of _platform, the ba"):
        make_plan(make_inputs(TWO, allocations=make_saved().allocations, catalogue=make_catalogue()))


def test_an_orphan_keeps_its_repository() -> None:
    orphaned = make_inputs(
        {"b": TWO["b"]},
        allocations=make_saved().allocations,
        platform={"hosts": {**PLATFORM["hosts"], "vault1": {"role": "vault", "memory": "512MiB"}}},
        catalogue=make_catalogue(),
    )
    kept = make_plan(orphaned).repository("a")
    assert kept
    assert kept.sites == ("pg-a",)
    assert kept.quota == 3 * 1024**3


def test_vaults_let_in_the_hosts_that_save_and_no_other() -> None:
    plan = make_plan(make_saved())
    (flow,) = plan.host("vault1").inputs
    assert flow.sources == (f"{plan.host('web1').address}/32",)
    assert plan.host("vault1").forwards == (8443,)
    assert [nic.network for nic in plan.host("vault1").nics] == ["inner"]
    assert [nic.network for nic in plan.host("edge1").nics] == ["public", "inner"]


def test_who_saves_is_required_by_what_is_saved() -> None:
    assert make_catalogue().requirements("page") == ("httpd", "edge", "backup", "page")
    assert CATALOGUE.requirements("page") == ("httpd", "edge", "page")


def test_a_role_that_nothing_is_for_is_refused() -> None:
    platform = {"hosts": {**PLATFORM["hosts"], "x": {"role": "webb", "memory": "1GiB"}}}
    with pytest.raises(InvalidInput, match=r"hosts.x.role: expected a role of the catalogue, found 'webb' \(roles: ed"):
        make_plan(make_inputs(platform=platform, allocations=ALLOCATIONS))


REPOSITORY = make_repository("a", "pg-a", url="rest:https://10.0.0.1:8443/a/")
GOOD = {"exists": True, "id": "1f", "recipient": "age1x", "sealed": "5e", "account": "{SHA}x"}


def make_missing(sealed: str = "5e", **changes: Any) -> list[tuple[str, ...]]:
    """What is missing; `sealed`: what is sealed here."""
    seen = {"a": {**GOOD, **changes}}
    return [task.what for task in make_tasks({"a": REPOSITORY}, seen, {"a": "{SHA}x"}, "age1x", {"a": sealed})]


def test_what_is_missing_of_a_repository() -> None:
    assert make_missing() == []
    assert make_missing(account="{SHA}y") == [("account",)]
    assert make_missing(recipient="age1old") == [("escrow",)]
    assert make_missing(exists=False) == [("repository",)]
    assert make_missing(id="") == [("repository",)]
    (task,) = make_tasks({"a": REPOSITORY}, {}, {"a": "{SHA}x"}, "age1x", {"a": ""})
    (change,) = make_changes(task)
    assert (change.action, change.kind, change.name, change.association) == ("create", "repository", "vault1/a", "a")


def test_no_escrow_is_no_change() -> None:
    seen = {"a": {**GOOD, "recipient": "", "sealed": ""}}
    assert list(make_tasks({"a": REPOSITORY}, seen, {"a": "{SHA}x"}, "", {"a": ""})) == []


def test_what_is_sealed_must_be_what_the_repository_was_given() -> None:
    """Another agent may have ended meanwhile, or this machine came back from a backup."""
    assert make_missing(sealed="other") == [("escrow",)]
    assert make_missing(sealed="") == [("escrow",)]
    seen = {"a": {one: value for one, value in GOOD.items() if one != "sealed"}}
    tasks = list(make_tasks({"a": REPOSITORY}, seen, {"a": "{SHA}x"}, "age1x", {"a": ""}))
    assert [task.what for task in tasks] == [("escrow",)], "nothing sealed, and nothing on record"


def test_an_account_holds_the_hash_that_the_server_reads() -> None:
    assert make_account("secret") == "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="  # as `htpasswd -nbs` writes it
