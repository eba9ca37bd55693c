"""The host to throw away: what it is made of, and what it never has."""

from __future__ import annotations

from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from socle.errors import Refused
from socle.incus.marker import ENVIRONMENT, OWNER
from socle.load.catalogue import SAVER, Catalogue, Entry
from socle.model.service import Kind, Service, State
from socle.restore import drill
from socle.restore.drill import check_isolation, make_path, make_verdict
from socle.restore.place import Result
from socle.restore.scratch import EXPIRES, make_config, make_devices, make_volume_size, render_client, run_clear
from socle.restore.template import find_address, make_catalogue, make_key, make_plan, make_services, make_versions
from tests.make import CATALOGUE, WEB, make_repository
from tests.unit.restore.samples import make_site, make_site_plan

REPOSITORY = make_repository("a", "wp-a")
BACKUP = Service(name=SAVER, title="Sauvegarde", purpose="Saves.", kind=Kind.HOST, role="web")


def make_saving_catalogue() -> Catalogue:
    """The catalogue of tests, in which pages are saved."""
    folder = CATALOGUE.entries[0].folder
    entries = [
        Entry(entry.service.model_copy(update={"state": State()}), entry.folder)
        if entry.service.name == "page"
        else entry
        for entry in CATALOGUE
    ]
    return Catalogue((*entries, Entry(BACKUP, folder)))


def test_it_has_no_network_interface() -> None:
    devices = make_devices("socle", 10, 4022, "scratch-1-files", "/srv/sites/wp-a")
    assert sorted(device["type"] for device in devices.values()) == ["disk", "disk", "proxy"]
    assert devices["ssh"] == {
        "type": "proxy",
        "bind": "host",
        "listen": "tcp:127.0.0.1:4022",
        "connect": "tcp:127.0.0.1:22",
    }


def test_it_carries_our_marker_and_when_it_expires() -> None:
    config = make_config("lab-1a2b", "wp-a", 1024, 1000.0)
    assert (config[ENVIRONMENT], config[OWNER], config[EXPIRES]) == ("lab-1a2b", "scratch:wp-a", "22600")
    assert (config["security.guestapi"], config["boot.autostart"]) == ("false", "false")


def test_nothing_that_saves_is_on_it() -> None:
    catalogue = make_saving_catalogue()
    assert SAVER in catalogue.requirements("page"), "else this test proves nothing"
    assert make_services(catalogue, "page") == ("httpd", "page"), "of its own role, and without the edge"
    assert make_catalogue(catalogue).find(SAVER) is None


def test_its_plan_holds_one_site_and_no_repository() -> None:
    other = make_site(name="wp-b", association="b")
    whole = make_site_plan(make_site(), other).model_copy(update={"repositories": (REPOSITORY,)})
    plan = make_plan(whole, make_site(), ("httpd", "page"))
    assert [site.name for site in plan.sites] == ["wp-a"]
    assert [host.name for host in plan.hosts] == ["scratch"]
    assert (plan.repositories, plan.volumes, plan.records, plan.role("edge")) == ((), (), (), ())
    assert plan.host(plan.sites[0].host).nics == ()


def test_ssh_finds_it_behind_its_port() -> None:
    config, known = render_client("127.0.0.1", 4022, Path("/state/ssh"), "ssh-ed25519 AAAA scratch")
    assert "Host scratch 127.0.0.1\n  HostName 127.0.0.1\n  User root\n  Port 4022\n" in config
    assert known == "scratch,127.0.0.1,[127.0.0.1]:4022 ssh-ed25519 AAAA\n"


def test_its_volume_has_room_for_what_was_saved() -> None:
    assert make_volume_size(512 * 1024**2, 1000) == 512 * 1024**2
    assert make_volume_size(100, 1024**3) > 1024**3


def test_a_template_follows_what_decides_its_content() -> None:
    key = make_key("image", {"a": "1"}, {"php": "8"})
    assert key == make_key("image", {"a": "1"}, {"php": "8"})
    assert len({key, make_key("other", {"a": "1"}, {"php": "8"}), make_key("image", {"a": "2"}, {"php": "8"})}) == 3
    assert key != make_key("image", {"a": "1"}, {"php": "9"})


def test_versions_of_what_is_not_on_it_do_not_matter() -> None:
    service = WEB.model_copy(update={"packages": ("nginx",)})
    assert make_versions((service,), {"restic": "1", "nginx": "2"}) == {"nginx": "2"}


def test_its_place_while_it_is_made_is_free() -> None:
    plan = make_site_plan()
    network = next(one for one in plan.networks if one.name == "inner")
    assert find_address(network, plan) == IPv4Interface("10.64.2.254/24")
    host = plan.host("web1")
    nic = host.nics[0].model_copy(update={"ipv4": IPv4Interface("10.64.2.254/24")})
    taken = plan.model_copy(update={"hosts": (host.model_copy(update={"nics": (nic,)}),)})
    assert find_address(network, taken) == IPv4Interface("10.64.2.253/24")
    small = network.model_copy(update={"ipv4": IPv4Interface("10.64.2.1/31")})
    with pytest.raises(Refused):
        find_address(small, plan)


class FakeClient:
    """Incus with what a killed run left."""

    def __init__(self) -> None:
        ours = {ENVIRONMENT: "test-1a2b"}
        self.deleted: list[str] = []
        self.things = [
            {"name": "scratch-old", "status": "Running", "config": {**ours, OWNER: "scratch:wp-a"}},
            {"name": "template-page", "status": "Stopped", "config": {**ours, OWNER: "template:template-page"}},
            {"name": "web1", "status": "Running", "config": {**ours, OWNER: "host:web1"}},
            {"name": "scratch-theirs", "status": "Running", "config": {ENVIRONMENT: "lab-1", OWNER: "scratch:x"}},
        ]

    def list_instances(self) -> list[Any]:
        return self.things

    def list_volumes(self) -> list[Any]:
        return [{**one, "name": f"{one['name']}-files"} for one in self.things]

    def wait_idle(self, path: str) -> None: ...
    def set_state(self, name: str, action: str, force: bool = False) -> None: ...
    def delete_instance(self, name: str) -> None:
        self.deleted.append(name)

    def delete_volume(self, name: str) -> None:
        self.deleted.append(name)


def test_what_a_killed_run_left_is_removed_and_nothing_else() -> None:
    class Context:
        plan = make_site_plan()
        talk = type("Talk", (), {"say": staticmethod(lambda _: None)})

    client: Any = FakeClient()
    names = run_clear(Context(), client)  # type: ignore[arg-type]
    assert names == client.deleted == ["scratch-old", "scratch-old-files"]


def test_a_way_out_stops_the_drill_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"out": b"lo  UNKNOWN\n"}

    class Done:
        @property
        def stdout(self) -> bytes:
            return answers["out"]

    monkeypatch.setattr(drill, "run_ssh", lambda *_, **__: Done())
    assert check_isolation(None)["status"] == "passed"  # type: ignore[arg-type]
    answers["out"] = b"lo  UNKNOWN\neth0@if5  UP\n"
    with pytest.raises(Exception, match="eth0"):
        check_isolation(None)  # type: ignore[arg-type]


def test_the_verdict_that_is_kept() -> None:
    result = Result("wp-a", "a", "restored", "", "e" * 64, checks=({"name": "n", "status": "passed", "evidence": "e"},))
    verdict = make_verdict(result, 1795741510.0, 12.34)
    assert (verdict["verdict"], verdict["seconds"], verdict["time"]) == ("restored", 12.3, "2026-11-27T01:05:10+00:00")
    assert make_path(Path("/s/drills"), verdict) == Path("/s/drills/20261127T010510Z-wp-a.json")
    assert make_verdict(Result("wp-a", "a", "stuck"), 1.0, 1.0)["verdict"] == "failed"
