"""Live tests share one environment, built once through the command line; destructive ones go back to its snapshots."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from socle.lab.engine import run_engine, run_pool
from socle.lab.image import run_image
from tests.live.environment import REPOSITORY, Lab, is_kept


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/live/" in str(item.path):
            item.add_marker(pytest.mark.live)
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """What every live test stands on: the engine, its pool, the base image."""
    if os.geteuid() != 0:
        pytest.skip("live tests make hosts: they need root")
    run_engine()
    run_pool()
    run_image()


@pytest.fixture(scope="session")
def built() -> Iterator[Lab]:
    """The environment, as `socle lab up` makes it. What a killed run left is removed first, unless kept."""
    lab = Lab(REPOSITORY / ".live" / "test")
    if is_kept() and lab.root.exists() and lab.is_saved():
        lab.run_restore()
        yield lab
        return
    lab.write_repository()
    lab.socle("lab", "down", "--all", "--yes")
    lab.write_repository()
    lab.socle("lab", "up")
    lab.run_save()
    yield lab
    if not is_kept():
        lab.socle("lab", "down", "--all", "--yes")


@pytest.fixture
def lab(built: Lab) -> Lab:
    """The built environment, for tests that leave it as they found it."""
    return built


@pytest.fixture
def scratch(built: Lab) -> Iterator[Lab]:
    """The built environment, for tests that change it: it goes back to its snapshots afterwards."""
    yield built
    built.run_restore()
