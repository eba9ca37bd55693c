"""The services stage: what is due, what a stamp says, and what a failure leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from socle.errors import PartlyDone
from socle.load.catalogue import load_catalogue
from socle.load.workspace import Workspace
from socle.model.plan import Record, Volume
from socle.planning.make_plan import make_plan
from socle.remote import OperationFailed
from socle.runs.talk import Talk
from socle.stages import packages, services
from socle.stages.base import Context
from socle.stages.services import ServicesStage, Task, make_folder_digest, make_tasks, parse_stamp
from tests.make import make_inputs

SERVICE = """
from socle.model.service import Kind, Service
SERVICE = Service(name="{name}", title="T", purpose="P", kind=Kind.HOST, role="{role}", units=("{name}.service",))
"""
DEPLOY = """
def deploy(host, plan, workspace):
    workspace.calls.append(("deploy", host.name, "{name}"))
    if "{name}" in workspace.broken:
        raise workspace.broken["{name}"]


def remove(host, plan, workspace):
    workspace.calls.append(("remove", host.name, "{name}"))
"""
HOLDER = """
import fcntl, sys, time
stream = open(sys.argv[1], "r+")
fcntl.lockf(stream, fcntl.LOCK_EX)
print(1, flush=True)
time.sleep(30)
"""


class World:
    """Stamps as the hosts would keep them, and every call made."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.broken: dict[str, Exception] = {}
        self.stamps: dict[str, str] = {}
        self.history: list[dict[str, str]] = []

    def load(self, _workspace: Any, stage: str, hosts: Sequence[str]) -> dict[str, str]:
        assert stage == "services.json"
        return {host: self.stamps.get(host, "") for host in hosts}

    def write(self, _workspace: Any, _stage: str, digests: Mapping[str, str]) -> None:
        self.stamps.update(digests)
        self.history.append({host: dict(json.loads(text)) for host, text in digests.items()})  # type: ignore[misc]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    @contextmanager
    def connected(*_: Any) -> Iterator[None]:
        yield None

    @contextmanager
    def working_on(_remote: Any, name: str) -> Iterator[None]:
        yield None

    def mend(_workspace: Any, host: str) -> None:
        world.calls.append(("mend", host, ""))

    def restart(name: str, commands: list[str]) -> None:
        world.calls.append(("shell", "", commands[0]))

    monkeypatch.setattr(services, "load_stamps", world.load)
    monkeypatch.setattr(services, "run_stamps", world.write)
    monkeypatch.setattr(services, "connected", connected)
    monkeypatch.setattr(services, "working_on", working_on)
    monkeypatch.setattr(services, "run_mend_packages", mend)
    monkeypatch.setattr(services, "server", SimpleNamespace(shell=restart))
    return world


@pytest.fixture
def context(tmp_path: Path, world: World) -> Context:
    """edge1 with `front`, web1 with `data` and `page`, from real folders."""
    for name, role in (("front", "edge"), ("data", "web"), ("page", "web")):
        folder = tmp_path / "stacks" / name
        folder.mkdir(parents=True)
        (folder / "service.py").write_text(SERVICE.format(name=name, role=role))
        (folder / "deploy.py").write_text(DEPLOY.format(name=name))
    inputs = make_inputs()
    plan = make_plan(inputs)
    wanted = {"edge1": ("front",), "web1": ("data", "page")}
    hosts = tuple(host.model_copy(update={"services": wanted[host.name]}) for host in plan.hosts)

    class Place(Workspace):
        calls = world.calls
        broken = world.broken

    return Context(
        workspace=Place(tmp_path, "test", tmp_path / "state"),
        platform=inputs.platform,
        plan=plan.model_copy(update={"hosts": hosts}),
        catalogue=load_catalogue(tmp_path / "stacks"),
        secrets=None,  # type: ignore[arg-type]
        talk=Talk(quiet=True),
    )


def names(changes: Sequence[Any]) -> list[tuple[str, str]]:
    return [(change.action, change.name) for change in changes]


def calls_of(world: World, host: str) -> list[str]:
    return [f"{verb} {service}".strip() for verb, name, service in world.calls if name == host]


def test_installs_in_order_then_does_nothing(context: Context, world: World) -> None:
    stage = ServicesStage()
    expected = [("create", "edge1/front"), ("create", "web1/data"), ("create", "web1/page")]
    assert names(stage.preview(context)) == expected
    assert world.calls == []
    assert names(stage.apply(context)) == expected
    assert calls_of(world, "edge1") == ["mend", "deploy front"]
    assert calls_of(world, "web1") == ["mend", "deploy data", "deploy page"]
    world.calls.clear()
    assert stage.apply(context) == []
    assert stage.preview(context) == []
    assert world.calls == []


def test_a_full_apply_trusts_no_stamp_and_a_full_preview_claims_nothing(context: Context, world: World) -> None:
    ServicesStage().apply(context)
    full = replace(context, full=True)
    assert ServicesStage().preview(full) == []
    world.calls.clear()
    changes = ServicesStage().apply(full)
    assert {change.action for change in changes} == {"update"}
    assert len(changes) == 3
    assert calls_of(world, "web1") == ["mend", "deploy data", "deploy page"]


def test_a_changed_folder_is_installed_again_on_its_hosts_only(context: Context, world: World) -> None:
    ServicesStage().apply(context)
    (context.workspace.root / "stacks/data/templates").mkdir()
    (context.workspace.root / "stacks/data/templates/data.conf").write_text("new")
    assert names(ServicesStage().preview(context)) == [("update", "web1/data")]


def test_an_association_changes_no_service(context: Context, world: World) -> None:
    ServicesStage().apply(context)
    volume = Volume(name="pg-new", host="web1", path="/srv/sites/pg-new", size=1, association="new")
    record = Record(name="new.example", zone="example", type="A", ttl=60, values=("10.0.0.1",), association="new")
    more = context.plan.model_copy(update={"volumes": (volume,), "records": (record,), "waiting": ()})
    assert more.digest() != context.plan.digest()
    assert ServicesStage().preview(replace(context, plan=more)) == []


def test_another_authority_is_a_change(context: Context, world: World) -> None:
    ServicesStage().apply(context)
    plan = context.plan.model_copy(update={"acme_directory": "https://other.example/directory"})
    assert len(ServicesStage().preview(replace(context, plan=plan))) == 3


def test_hosts_that_do_not_exist_are_not_asked(context: Context, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(workspace: Any, stage: str, hosts: Sequence[str]) -> dict[str, str]:
        asked.extend(hosts)
        return world.load(workspace, stage, hosts)

    monkeypatch.setattr(services, "load_stamps", load)
    changes = ServicesStage().preview(replace(context, absent=frozenset({"edge1"})))
    assert asked == ["web1"]
    assert ("create", "edge1/front") in names(changes)


def test_what_is_no_longer_wanted_is_removed_first(context: Context, world: World) -> None:
    ServicesStage().apply(context)
    world.calls.clear()
    hosts = tuple(host.model_copy(update={"services": host.services[:1]}) for host in context.plan.hosts)
    less = replace(context, plan=context.plan.model_copy(update={"hosts": hosts}))
    assert names(ServicesStage().apply(less)) == [("delete", "web1/page")]
    assert calls_of(world, "web1") == ["mend", "remove page"]
    assert ServicesStage().preview(less) == []


def test_a_failure_stops_its_host_only(context: Context, world: World) -> None:
    world.broken["data"] = OperationFailed("web1: apt said no")
    with pytest.raises(PartlyDone, match="web1/data: web1: apt said no"):
        ServicesStage().apply(context)
    assert "deploy front" in calls_of(world, "edge1")
    assert "deploy page" not in calls_of(world, "web1")
    world.broken.clear()
    assert ("update", "web1/data") in names(ServicesStage().preview(context))
    assert ("create", "web1/page") in names(ServicesStage().preview(context))


def test_after_a_cut_run_all_units_of_the_service_restart(context: Context, world: World) -> None:
    world.broken["data"] = OperationFailed("cut")
    with pytest.raises(PartlyDone):
        ServicesStage().apply(context)
    world.broken.clear()
    world.calls.clear()
    ServicesStage().apply(context)
    shells = [command for verb, _, command in world.calls if verb == "shell"]
    assert shells == ["systemctl try-restart data.service"]


def test_a_service_is_marked_as_begun_before_it_is_touched(context: Context, world: World) -> None:
    ServicesStage().apply(context)
    begun = [next(iter(entry.values())) for entry in world.history if "edge1" in entry]
    assert begun[0] == {"front": ""}
    assert len(begun[1]["front"]) == 64


def test_tasks_from_digests() -> None:
    tasks = list(make_tasks({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "old", "z": "9"}))
    assert tasks == [Task("z", "delete"), Task("a", "create", "1"), Task("c", "update", "3")]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_an_unreadable_stamp_is_no_stamp(text: str) -> None:
    assert parse_stamp(text) == {}


def test_documentation_and_sites_are_not_part_of_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "deploy.py").write_text("x")
    before = make_folder_digest(tmp_path)
    for name in ("README.md", "site.py", "audit.py", "check.py"):
        (tmp_path / name).write_text("y")
    (tmp_path / "expected").mkdir()
    (tmp_path / "expected/one").write_text("z")
    assert make_folder_digest(tmp_path) == before
    (tmp_path / "deploy.py").write_text("X")
    assert make_folder_digest(tmp_path) != before


def test_a_held_lock_is_found(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    absent = tmp_path / "absent"
    assert packages.find_held((str(absent), str(lock))) is None
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        assert packages.find_held((str(absent), str(lock))) == str(lock)
        holder.kill()
    assert packages.find_held((str(lock),)) is None


def test_lists_of_packages_are_read_again_after_an_hour(tmp_path: Path) -> None:
    assert packages.is_stale(tmp_path)
    (tmp_path / "mirror_trixie_main_binary-amd64_Packages").touch()
    os.utime(tmp_path, (1000, 1000))
    assert not packages.is_stale(tmp_path, now=1000 + packages.FRESH)
    assert packages.is_stale(tmp_path, now=1001 + packages.FRESH)


def test_a_failed_host_is_named_with_what_was_done(context: Context, world: World) -> None:
    world.broken["page"] = OperationFailed("no")
    with pytest.raises(PartlyDone) as caught:
        ServicesStage().apply(context)
    assert caught.value.hosts == {"web1"}
    assert names(caught.value.changes) == [("create", "edge1/front"), ("create", "web1/data")]


def test_hosts_that_failed_before_are_left_alone(context: Context, world: World) -> None:
    changes = ServicesStage().apply(replace(context, failed=frozenset({"web1"})))
    assert names(changes) == [("create", "edge1/front")]
    assert calls_of(world, "web1") == []


def test_a_service_that_cannot_be_removed_stays_and_is_said(context: Context, world: World) -> None:
    ServicesStage().apply(context)
    path = context.workspace.root / "stacks" / "page" / "deploy.py"
    path.write_text("def deploy(host, plan, workspace):\n    pass\n")
    other = context.workspace.root / "again"
    (context.workspace.root / "stacks").rename(other)  # another path: a module is loaded once
    hosts = tuple(
        host.model_copy(update={"services": tuple(name for name in host.services if name != "page")})
        for host in context.plan.hosts
    )
    said: list[str] = []
    talk = Talk(quiet=True)
    talk.say = said.append  # type: ignore[method-assign]
    plan = context.plan.model_copy(update={"hosts": hosts})
    left = replace(context, plan=plan, talk=talk, catalogue=load_catalogue(other))
    before = dict(world.stamps)
    assert ServicesStage().preview(left) == []
    assert ServicesStage().apply(left) == []
    assert world.stamps == before
    assert any("page" in line and "left on the host" in line for line in said)
