"""Volumes: mounted, limited, with room."""

from __future__ import annotations

from typing import Any

import pytest

from socle.audit.checks import storage
from socle.audit.facts import parse_limits
from socle.audit.finding import Finding, Status
from tests.unit.audit.scenes import run_checks

GIB = 1024**3
SHOWN = """\
Qgroupid    Referenced    Exclusive  Max referenced   Path 
--------    ----------    ---------  --------------   ---- 
0/5              16384        16384            none   <toplevel>
0/261            16384        16384      1073741824   custom/socle-test-0000_wp-ecole
0/262            16384        16384            none   custom/socle-test-0000_wp-amis
0/263            16384        16384       402653184   custom/socle-other-0000_wp-ecole
"""  # noqa: W291 (as btrfs prints it)


def test_limits_of_the_kernel_are_parsed() -> None:
    assert parse_limits(SHOWN, "custom/socle-test-0000_") == {"wp-ecole": GIB, "wp-amis": None}


def judge(one: Any, **facts: Any) -> Finding:
    found = run_checks(one, facts={name: (lambda value=value: value) for name, value in facts.items()})
    return next(finding for finding in found if finding.host == "web1")


@pytest.mark.parametrize(
    ("incus", "kernel", "words"),
    [
        (GIB, GIB, ""),
        (2 * GIB, 2 * GIB, "the plan says 1073741824"),
        (GIB, None, "the kernel has no limit"),
        (GIB, 2 * GIB, "the kernel's limit is 2147483648 bytes"),
        (None, None, "Incus has no such volume"),
    ],
)
def test_a_quota_is_the_plans_incus_and_the_kernels(incus: int | None, kernel: int | None, words: str) -> None:
    volumes = {"wp-ecole": {"size": incus, "used": 0}} if incus else {}
    quotas = {"enforced": True, "why": "", "limits": {"wp-ecole": kernel}}
    found = judge(storage.quota_is_enforced, volumes=volumes, quotas=quotas)
    assert (found.status is Status.PASSED) == (not words)
    assert words in found.evidence


@pytest.mark.parametrize(
    ("quotas", "status"),
    [
        ({"enforced": True, "why": "", "limits": {}}, Status.PASSED),
        ({"enforced": False, "why": "btrfs has stopped counting", "limits": {}}, Status.FAILED),
        (None, Status.NOT_CHECKED),
    ],
)
def test_a_pool_that_does_not_count_enforces_nothing(quotas: dict[str, Any] | None, status: Status) -> None:
    (found,) = run_checks(storage.pool_enforces_quotas, facts={"quotas": lambda: quotas})
    assert found.status is status


def test_a_pool_elsewhere_is_not_checked_but_its_size_is() -> None:
    right, wrong = ({"wp-ecole": {"size": size, "used": 0}} for size in (GIB, 2 * GIB))
    assert judge(storage.quota_is_enforced, volumes=right, quotas=None).status is Status.NOT_CHECKED
    assert judge(storage.quota_is_enforced, volumes=wrong, quotas=None).status is Status.FAILED


@pytest.mark.parametrize(
    ("share", "status", "words"),
    [
        (0.1, Status.PASSED, "10% used"),
        (0.85, Status.PASSED, "nearly full: 85% used"),
        (0.96, Status.FAILED, "full: 96% used"),
    ],
)
def test_room_on_volumes_and_disks(share: float, status: Status, words: str) -> None:
    found = judge(storage.volume_has_room, volumes={"wp-ecole": {"size": GIB, "used": int(share * GIB)}})
    assert (found.status, found.evidence.startswith(words)) == (status, True)
    found = judge(storage.disk_has_room, disks={"web1": int(share * 10 * GIB), "edge1": 0})
    assert (found.status, found.evidence.startswith(words)) == (status, True)


def test_use_that_nobody_counts_is_not_green() -> None:
    assert judge(storage.volume_has_room, volumes={"wp-ecole": {"size": GIB, "used": None}}).status is Status.FAILED
    assert judge(storage.disk_has_room, disks={}).status is Status.FAILED


@pytest.mark.parametrize(
    ("mounts", "words"),
    [
        ("/dev/loop0 /srv/sites/wp-ecole btrfs rw,relatime 0 0\n", ""),
        ("/dev/loop0 /srv/sites/wp-ecole btrfs ro,relatime 0 0\n", "read-only"),
        ("/dev/loop0 / btrfs rw 0 0\n", "nothing is mounted"),
    ],
)
def test_a_volume_is_mounted_and_writable(mounts: str, words: str) -> None:
    def web(command: str) -> str:
        return mounts if command == "cat /proc/mounts" else "Linux\n" if command.startswith("uname") else ""

    (found,) = run_checks(storage.volume_is_mounted, answers={"web1": web})
    assert (found.status is Status.PASSED) == (not words)
    assert words in found.evidence
