"""Isolation: one thing in reach, or one limit that does not hold, is named; a blind probe proves nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from socle.audit.checks import isolation
from socle.audit.finding import Status
from tests.unit.audit.scenes import by_name, make_plan, make_scene, run_checks

OWN = {"file /srv/sites/x": True, "socket /run/x": True, "process": True, "database": True}
NOTHING = dict.fromkeys(OWN, False)


def make_found(uid: int, tmp: str) -> dict[str, Any]:
    other = "wp-amis" if uid == 20000 else "wp-ecole"
    php = {"own": dict(OWN), "others": {other: dict(NOTHING)}, "elsewhere": [], "tmp": tmp, "open_basedir": "/"}
    kernel = {
        "uid": [str(uid)],
        "filters": 3,
        "no_new_privileges": "1",
        "capabilities": "0000000000000000",
        "shared_namespaces": [],
        "memory": str(256 * 1024**2),
        "processes": "32",
        "tmp": tmp,
    }
    return {"php": php, "kernel": kernel}


ANSWER = {"tmp": "1:1", "sites": {"wp-ecole": make_found(20000, "2:2"), "wp-amis": make_found(20001, "3:3")}}


def judge(change: Callable[[dict[str, Any]], object] = lambda _: None) -> str:
    """Why wp-ecole is not isolated when its answer is changed; empty when it is. wp-amis must not change."""
    answer = copy.deepcopy(ANSWER)
    change(answer["sites"]["wp-ecole"])  # type: ignore[index]
    found = by_name(
        run_checks(isolation.site_reaches_nothing_of_others, answers={"web1": lambda _: json.dumps(answer)})
    )
    assert found["web1 isolation:wp-amis"].status is Status.PASSED
    one = found["web1 isolation:wp-ecole"]
    return "" if one.status is Status.PASSED else one.evidence


def test_isolated_sites_pass() -> None:
    assert judge() == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one["php"]["others"]["wp-amis"].update(process=True), "process of wp-amis"),
        (lambda one: one["php"].update(elsewhere=["/etc/shadow"]), "file /etc/shadow"),
        (lambda one: one["php"].update(tmp="1:1"), "/tmp is the host's"),
        (lambda one: one["php"].update(tmp="3:3"), "/tmp is shared with wp-amis"),
        (lambda one: one["kernel"].update(filters=0), "no filter of system calls (Seccomp_filters)"),
        (lambda one: one["kernel"].update(no_new_privileges="0"), "it may gain privileges (NoNewPrivs)"),
        (lambda one: one["kernel"].update(capabilities="0000000000000400"), "it has capabilities (0000000000000400)"),
        (lambda one: one["kernel"].update(shared_namespaces=["mnt"]), "it shares namespaces with its host: mnt"),
        (lambda one: one["kernel"].update(memory="max"), "memory limit is max, expected 268435456"),
        (lambda one: one["kernel"].update(memory=str(1 << 30)), "memory limit is 1073741824, expected 268435456"),
        (lambda one: one["kernel"].update(processes="max"), "limit of processes is max"),
        (lambda one: one["kernel"].update(uid=["0"]), "it runs as uid 0, expected 20000"),
        (
            lambda one: one["php"]["own"].update(database=False),
            "not checked: the probe does not reach the site's own database",
        ),
        (
            lambda one: one["php"].update(open_basedir="/srv"),
            "not checked: open_basedir hid what the sandbox must hide",
        ),
        (lambda one: (one.clear(), one.update(error="the pool is gone")), "not checked: the pool is gone"),
    ],
)
def test_one_breach_is_named(change: Callable[[dict[str, Any]], object], words: str) -> None:
    assert judge(change) == words


def test_every_site_looks_at_every_other_of_its_host() -> None:
    scene = make_scene()
    targets = [isolation.make_target(scene, site) for site in make_plan().sites]
    assert [one["name"] for one in targets] == ["wp-ecole", "wp-amis"]
    assert targets[0]["paths"] == [
        "/srv/sites/wp-ecole",
        "/etc/wordpress/config-wp-ecole.php",
        "/etc/socle/php/wp-ecole.conf",
    ]
    assert all(one["socket"] and one["login"] and one["script"] for one in targets)
