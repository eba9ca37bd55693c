"""Checks come from the services' folders, and lists that must agree do."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from socle.audit.checks import CHECKS
from socle.audit.not_checked import load_listed
from socle.audit.prove import ALL, Choice, make_checks, make_items
from socle.audit.roles import render_files
from socle.load.catalogue import Entry, load_catalogue
from tests.unit.audit.scenes import REPOSITORY, make_plan, make_scene

CATALOGUE = load_catalogue(REPOSITORY / "stacks")
AUDITED = [(entry, entry.module("audit")) for entry in CATALOGUE if entry.module("audit")]


@pytest.mark.parametrize(("entry", "audit"), AUDITED, ids=[entry.service.name for entry, _ in AUDITED])
def test_a_service_is_audited_for_what_it_declares(entry: Entry, audit: Any, tmp_path: Path) -> None:
    service, scene = entry.service, make_scene(state=tmp_path)
    assert set(getattr(audit, "RUNNING", ())) <= set(service.units)
    hosts = [host for host in scene.plan.hosts if service.name in host.services]
    for host in hosts:
        for path in audit.make_files(host, scene.plan, scene.workspace):
            assert any(PurePosixPath(path).is_relative_to(owned) for owned in service.paths), path


def test_every_service_of_the_plan_is_audited() -> None:
    used = {name for host in make_plan().hosts for name in host.services}
    assert used <= {entry.service.name for entry, _ in AUDITED}


def test_every_check_says_what_it_promises_and_what_to_do() -> None:
    for one in make_checks(CATALOGUE, make_plan()):
        assert one.promise.endswith("."), one.kind
        assert one.remedy, one.kind
        assert ":" not in one.kind, one.kind


def test_the_list_of_what_is_not_checked_names_kinds_that_exist() -> None:
    kinds = {one.kind for one in make_checks(CATALOGUE, make_plan())}
    entries = load_listed().entries
    assert {entry.check for entry in entries} <= kinds
    assert len({(entry.check, entry.capability) for entry in entries}) == len(entries)


def test_what_is_looked_at_has_one_name() -> None:
    items = list(make_items(make_checks(CATALOGUE, make_plan()), make_plan()))
    names = [(item.subject.host, item.name) for item in items]
    assert len(names) == len(set(names))
    assert len(names) > 60


def test_a_service_thrown_in_is_audited_without_another_edit(tmp_path: Path) -> None:
    for name in ("edge", "mariadb", "nginx", "wordpress"):
        (tmp_path / name).symlink_to(REPOSITORY / "stacks" / name)
    folder = tmp_path / "chat"
    folder.mkdir()
    (folder / "service.py").write_text(
        "from socle.model.service import Kind, Service\n"
        "SERVICE = Service(name='chat', title='C', purpose='C', kind=Kind.HOST, role='web')\n"
    )
    (folder / "audit.py").write_text(
        "from socle.audit.check import check, hosts_with\n"
        "@check('chat', each=hosts_with('chat'), remedy='mend')\n"
        "def answers(scene, host):\n    'It answers.'\n    return scene.on(host.name).check_output('chat')\n"
        "CHECKS = (answers,)\n"
    )
    plan = make_plan()
    web = plan.hosts[1].model_copy(update={"services": (*plan.hosts[1].services, "chat")})
    changed = plan.model_copy(update={"hosts": (plan.hosts[0], web)})
    items = list(make_items(make_checks(load_catalogue(tmp_path), changed), changed))
    assert [(item.subject.host, item.name) for item in items if item.check.kind == "chat"] == [("web1", "chat")]
    assert "chat" not in {one.kind for one in make_checks(load_catalogue(tmp_path), plan)}


def test_a_choice_takes_what_was_asked_for() -> None:
    checks, plan = make_checks(CATALOGUE, make_plan()), make_plan()
    every = list(make_items(checks, plan, ALL))
    edge = list(make_items(checks, plan, Choice(hosts=frozenset({"edge1"}))))
    assert {item.subject.host for item in edge} == {"edge1", "controller"}
    pages = list(make_items(checks, plan, Choice(kinds=frozenset({"page"}))))
    assert [item.name for item in pages] == ["page:wp-ecole", "page:wp-amis"]
    assert 0 < len(edge) < len(every)


def test_files_of_roles_are_those_their_tasks_write() -> None:
    given = {
        "firewall_management_sources": ["10.64.2.1/32"],
        "firewall_inputs": [],
        "monitoring_listen": "10.64.2.11",
        "sshd_penalty_exempt": [],
    }
    files = render_files(REPOSITORY / "roles", given)
    assert set(files) == {
        "/etc/apt/apt.conf.d/20auto-upgrades",
        "/etc/apt/apt.conf.d/52socle-unattended-upgrades",
        "/etc/default/prometheus-node-exporter",
        "/etc/nftables.conf",
        "/etc/ssh/sshd_config.d/00-socle.conf",
        "/etc/sudoers.d/socle-operators",
        "/etc/systemd/journald.conf.d/50-socle.conf",
        "/etc/systemd/resolved.conf.d/50-socle.conf",
        "/etc/systemd/system/nftables.service.d/socle.conf",
        "/etc/systemd/system/prometheus-node-exporter.service.d/socle.conf",
    }
    assert b"10.64.2.11:9100" in files["/etc/default/prometheus-node-exporter"]


def test_kinds_of_the_platform_are_found() -> None:
    assert {"ports", "isolation", "drift", "backup"} <= {one.kind for one in CHECKS}
    assert dataclasses.is_dataclass(CHECKS[0])
