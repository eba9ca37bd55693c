"""The pool's count of each volume is right, so that its quotas are enforced."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from socle.incus.quotas import load_counts, run_quotas
from tests.live.environment import Lab

POOL = "socle"
MOUNT = Path("/var/lib/incus/storage-pools") / POOL


def btrfs(*arguments: str) -> None:
    subprocess.run(["btrfs", *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120)


@pytest.fixture
def uncounted() -> Iterator[None]:
    """A pool that stopped counting: a snapshot is deleted, and the kernel may skip the counting of any tree."""
    (threshold,) = Path("/sys/fs/btrfs").glob("*/qgroups/drop_subtree_threshold")
    source, copy = MOUNT / "socle-test-source", MOUNT / "socle-test-copy"
    btrfs("subvolume", "create", str(source))
    try:
        for number in range(2000):  # Enough for its tree to have a second level.
            (source / f"{number:060}").touch()
        btrfs("subvolume", "snapshot", str(source), str(copy))
        threshold.write_text("0")
        btrfs("subvolume", "delete", "--commit-after", str(copy))
        btrfs("subvolume", "sync", str(MOUNT))
        yield
    finally:
        btrfs("subvolume", "delete", str(source))
        run_quotas(POOL)


@pytest.mark.usefixtures("uncounted")
def test_apply_has_a_pool_counted_again_that_stopped(lab: Lab) -> None:
    assert not load_counts(POOL), "nothing was tried: the pool went on counting"
    assert "no quota is enforced" in lab.socle("doctor", check=False).stdout
    assert "enforces quotas again" in lab.socle("apply").stderr
    assert load_counts(POOL)
    (threshold,) = Path("/sys/fs/btrfs").glob("*/qgroups/drop_subtree_threshold")
    assert threshold.read_text().strip() == "8"


def test_nothing_is_done_where_there_is_no_pool() -> None:
    assert load_counts("no-such-pool")
    assert not run_quotas("no-such-pool")
