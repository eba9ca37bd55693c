"""What was promised counts: databases in the volume they share, and sites whose request is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from socle.errors import Refused
from socle.load.catalogue import Catalogue, Entry
from socle.load.inputs import Inputs
from socle.model.allocation import Allocations, SiteAllocation
from socle.planning.allocate import make_site_allocations
from socle.planning.make_plan import make_plan
from tests.make import CATALOGUE, make_inputs, make_request_text

GIB = 1024**3


def make_request(quota: str) -> dict[str, str]:
    return {"amis-du-lac": make_request_text(services={"page": {"quota": quota}})}


def accept(inputs: Inputs) -> Allocations:
    return make_site_allocations(inputs, sorted(inputs.requests))


def with_databases() -> Catalogue:
    """The catalogue with the databases of sites in the 1 GiB of `httpd`."""
    return Catalogue(
        tuple(
            Entry(entry.service.model_copy(update={"holds_databases": entry.service.name == "httpd"}), entry.folder)
            for entry in CATALOGUE
        )
    )


@pytest.mark.parametrize("overcommit", ["1", "10"])
def test_databases_must_fit_the_volume_they_share(overcommit: str) -> None:
    platform = {"overcommit": overcommit}
    fits = make_inputs(make_request("2GiB"), catalogue=with_databases(), platform=platform)
    make_plan(replace(fits, allocations=accept(fits)))
    inputs = make_inputs(make_request("2100MiB"), catalogue=with_databases(), platform=platform)
    with pytest.raises(Refused) as error:
        make_plan(replace(inputs, allocations=accept(inputs)))
    (problem,) = error.value.problems
    assert (problem.path, problem.where) == ("inventories/test/platform.yml", "hosts.web1")
    assert "512.0MiB of databases on web1" in problem.expected
    assert "stacks/httpd/service.py" in problem.remedy


def test_databases_of_orphans_are_still_there() -> None:
    gone = accept(make_inputs(make_request("2GiB")))
    texts = {"b": make_request_text(services={"page": {"quota": "64MiB"}})}
    inputs = make_inputs(texts, allocations=gone, catalogue=with_databases())
    with pytest.raises(Refused, match="of databases on web1"):
        make_plan(replace(inputs, allocations=accept(inputs)))


def test_an_orphan_counts_for_what_its_request_asked() -> None:
    allocations = accept(make_inputs(make_request("40GiB")))
    assert allocations.sites["pg-amis-du-lac"].quota == 40 * GIB
    # 20 GiB of root disks and 1 GiB of shared data: 49 GiB hold 28 GiB of files, not the 30 of the orphan.
    make_plan(make_inputs({}, platform={"pool_size": "52GiB"}, allocations=allocations))
    with pytest.raises(Refused, match="pool_size"):
        make_plan(make_inputs({}, platform={"pool_size": "49GiB"}, allocations=allocations))


def test_what_is_remembered_grows_with_the_request_and_never_shrinks() -> None:
    first = accept(make_inputs(make_request("2GiB")))
    for quota, remembered in (("4GiB", 4 * GIB), ("1GiB", 4 * GIB)):
        first = accept(make_inputs(make_request(quota), allocations=first))
        assert first.sites["pg-amis-du-lac"].quota == remembered


def test_allocations_written_before_have_no_quota() -> None:
    old = SiteAllocation.model_validate({"association": "a", "service": "page", "host": "web1", "uid": 20000})
    allocations = make_inputs().allocations.model_copy(update={"sites": {"pg-a": old}})
    (orphan,) = make_plan(make_inputs({}, allocations=allocations)).orphans
    assert (orphan.quota, orphan.database_quota) == (0, 0)
