"""Software of roles: running, unaltered, and nothing laid over it."""

from __future__ import annotations

import hashlib

import pytest

from socle.audit.answers import Answer
from socle.audit.checks import services
from socle.audit.checks.services import Seen
from socle.audit.finding import Status
from tests.unit.audit.scenes import by_name, make_plan, make_scene, run_checks

UNIT = "Id={}\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nDropInPaths=\nFragmentPath=/x\n"


def show(**changes: str) -> str:
    units = [
        *("mariadb.service", "socle-database-quota.service", "nginx.service", "socle-wordpress-cron.timer"),
        *("socle-wp-ecole.service", "socle-wp-amis.service"),
    ]
    blocks = []
    for unit in units:
        text = UNIT.format(unit)
        for name, value in changes.items():
            if unit.startswith(name):
                text = text.replace(*value.split(">"))
        blocks.append(text)
    return "\n".join(blocks)


def test_units_of_a_host_are_those_of_its_services_and_sites() -> None:
    units = services.make_units(make_scene(), make_plan().hosts[1])
    assert set(units) == set(services.parse_units(show()))


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        (show(), set()),
        (show(nginx="active>inactive"), {"nginx"}),
        (show(mariadb="enabled>disabled"), {"mariadb"}),
        (show(socle="active>failed"), {"mariadb", "wordpress"}),
        ("", {"mariadb", "nginx", "wordpress"}),
    ],
)
def test_a_service_whose_unit_does_not_run_is_named(text: str, failed: set[str]) -> None:
    answers = {"web1": lambda _: text, "edge1": lambda _: UNIT.format("caddy.service")}
    found = run_checks(services.service_runs, answers=answers)
    assert {one.check.partition(":")[2] for one in found if one.status is Status.FAILED} == failed


def test_drop_ins_that_nobody_declares_are_named() -> None:
    path = "/etc/systemd/system/socle-wp-ecole.service.d/evil.conf"
    text = show(**{"socle-wp-ecole": f"DropInPaths=>DropInPaths=/usr/lib/systemd/system/service.d/x.conf {path}"})
    declared = UNIT.format("caddy.service").replace(
        "DropInPaths=", "DropInPaths=/etc/systemd/system/caddy.service.d/socle.conf"
    )
    answers = {"web1": lambda _: text, "edge1": lambda _: declared}
    found = by_name(run_checks(services.nothing_is_laid_over_units, answers=answers))
    assert found["edge1 overrides"].status is Status.PASSED
    assert found["web1 overrides"].evidence == f"not declared: {path}"


WANTED = {"/a": b"a", "/b": b"b"}
A, B = (Seen(hashlib.sha256(content).hexdigest(), 0o644, 0) for content in WANTED.values())


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        ({"/a": A, "/b": B}, []),
        ({"/a": A}, ["/b is gone"]),
        ({"/a": A, "/b": A}, ["/b was changed"]),
        ({"/a": A, "/b": B._replace(mode=0o666)}, ["/b may be written by others than root (mode 0666)"]),
        ({"/a": A._replace(owner=33), "/b": B}, ["/a may be written by others than root (mode 0644)"]),
    ],
)
def test_files_are_compared_by_content_owner_and_mode(found: dict[str, Seen], problems: list[str]) -> None:
    assert services.find_altered(WANTED, found) == problems


def test_what_was_read_of_files_is_parsed() -> None:
    text = f"{A.digest}  /a\n{B.digest}  /a b\nmode 644 0 /a\nmode 4755 33 /a b\n"
    assert services.parse_seen(text) == {"/a": A, "/a b": B._replace(mode=0o4755, owner=33)}


def test_a_file_that_is_gone_is_a_finding() -> None:
    found = by_name(run_checks(services.files_are_unaltered))
    assert found["web1 files:wordpress"].status is Status.FAILED
    assert "/usr/share/socle/wordpress/mu-plugins/socle.php is gone" in found["web1 files:wordpress"].evidence


def test_programs_are_as_debian_made_them() -> None:
    text = "??5?????? c /etc/nftables.conf\nmissing     /usr/share/doc/x/copyright\n271\n"
    (found, _) = run_checks(services.packages_are_unaltered, answers=dict.fromkeys(("edge1", "web1"), lambda _: text))
    assert (found.status, found.evidence) == (Status.PASSED, "dpkg --verify: 271 packages as Debian made them")
    altered = "??5??????   /usr/sbin/nginx\nmissing     /usr/bin/top\nmissing   c /etc/x\n"
    assert services.find_damaged(altered) == ["/usr/sbin/nginx was changed", "/usr/bin/top is gone"]
    late = run_checks(
        services.packages_are_unaltered, answers=dict.fromkeys(("edge1", "web1"), lambda _: Answer(124, "", "too long"))
    )
    assert {one.status for one in late} == {Status.FAILED}


def test_packages_of_a_service_must_be_installed() -> None:
    answers = {"web1": lambda _: "ii nginx\nrc mariadb-server\n", "edge1": lambda _: "ii caddy\n"}
    found = by_name(run_checks(services.packages_are_installed, answers=answers))
    assert found["edge1 installed:edge"].status is found["web1 installed:nginx"].status is Status.PASSED
    assert found["web1 installed:mariadb"].evidence == "not installed: mariadb-server"
