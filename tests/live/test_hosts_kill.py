"""Killed anywhere, the controller alone: nothing of it goes on, and the next run completes the work."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from socle.runs.talk import Talk
from socle.stages.hosts import HostsStage
from socle.stages.hosts_destroy import run_destroy
from tests.live.hosts_environment import IMAGE, REPOSITORY, Environment, making_environment

pytestmark = pytest.mark.live
STAGE = HostsStage(IMAGE)
SEED = int(os.environ.get("SOCLE_SEED", "4"))
MOMENTS = int(os.environ.get("SOCLE_KILLS", "2"))
_GONE_SECONDS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kill")


@pytest.fixture(scope="module")
def environment(folder: Path) -> Iterator[Environment]:
    with making_environment(folder, hosts=1, volumes=2) as made:
        (folder / "plan.json").write_text(made.plan.model_dump_json())
        yield made


def start(folder: Path) -> subprocess.Popen[bytes]:
    """`apply` in a process of its own."""
    path = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])
    return subprocess.Popen(
        [sys.executable, "-m", "tests.live.hosts_environment", str(folder)],
        env={**os.environ, "PYTHONPATH": path},
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def clear(environment: Environment) -> None:
    context = environment.context
    run_destroy(context.workspace, context.platform, Talk(quiet=True), data=True)


def find_survivors(folder: Path) -> list[str]:
    """Processes that work on the environment's state."""
    mark = f"file://{folder}"
    found = []
    for process in psutil.process_iter():
        try:
            if any(mark in value for value in process.environ().values()):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def duration(environment: Environment, folder: Path) -> float:
    """Seconds of a whole first run, to choose moments in it."""
    began = time.monotonic()
    assert start(folder).wait(300) == 0
    return time.monotonic() - began


@pytest.mark.parametrize("number", range(MOMENTS))
def test_killed_run_is_completed(number: int, environment: Environment, folder: Path, duration: float) -> None:
    fraction = (number + random.Random(SEED + number).random()) / MOMENTS  # noqa: S311
    clear(environment)
    process = start(folder)
    time.sleep(fraction * duration)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    deadline = time.monotonic() + _GONE_SECONDS
    while find_survivors(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert find_survivors(folder) == []

    STAGE.apply(environment.context)
    assert STAGE.preview(environment.context) == []
    assert STAGE.apply(environment.full()) == []
    with environment.client() as client:
        assert [one["name"] for one in client.list_instances()] == ["web1"]
        assert sorted(one["name"] for one in client.list_volumes()) == ["wp-asso0", "wp-asso1"]
        devices = set(client.get_instance("web1")["devices"])
    assert devices == {"root", "eth0", "wp-asso0", "wp-asso1"}
    result = environment.ssh("web1", "cat", "/etc/hostname", "/etc/systemd/network/10-eth0.network")
    address = environment.plan.hosts[0].nics[0].ipv4
    assert result.returncode == 0
    assert result.stdout.startswith(b"web1\n")
    assert f"Address={address}\n".encode() in result.stdout
