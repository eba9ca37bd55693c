"""Live tests share one environment, built once through the command line; destructive ones go back to its snapshots."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from socle.lab.engine import run_engine, run_pool
from socle.lab.image import make_recipe, run_image
from tests.live.environment import REPOSITORY, Lab, is_kept


def is_acceptance(config: pytest.Config) -> bool:
    """Whether the long tests run too: by `make accept`, or because they were asked for by name."""
    return os.environ.get("SOCLE_ACCEPTANCE") == "1" or any(".py" in argument for argument in config.args)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/live/" in str(item.path):
            item.add_marker(pytest.mark.live)
    long = [item for item in items if item.get_closest_marker("acceptance")]
    if long and not is_acceptance(config):
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    items.sort(key=lambda item: [item.get_closest_marker(name) is not None for name in ("last", "late")])


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """What every live test stands on: the engine, its pool, the base image."""
    if os.geteuid() != 0:
        pytest.skip("live tests make hosts: they need root")
    run_engine()
    run_pool()
    run_image()


@pytest.fixture(scope="session", autouse=True)
def molecule(
    request: pytest.FixtureRequest, engine: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[bytes], Path] | None]:
    """Molecule's scenario and its output. It has hosts of its own, and runs beside the making of the lab."""
    if not any("molecule" in item.name for item in request.session.items):
        yield None
        return
    programs = Path(sys.executable).parent
    own = {"PATH": f"{programs}:{os.environ['PATH']}", "SOCLE_IMAGE": make_recipe().alias, "ANSIBLE_FORCE_COLOR": "0"}
    log = tmp_path_factory.mktemp("molecule") / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [programs / "molecule", "test", "-s", "baseline"],
            cwd=REPOSITORY / "playbooks",
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process, log
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


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
