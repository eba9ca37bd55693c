"""The pool's count of each volume is right, so that its quotas are enforced."""

from __future__ import annotations

from pathlib import Path

from socle.lab.quotas import run_quotas


def test_the_pool_counts() -> None:
    assert not run_quotas("socle"), "the pool had stopped counting: something here makes it stop"
    (folder,) = Path("/sys/fs/btrfs").glob("*/qgroups")
    assert (folder / "inconsistent").read_text().strip() == "0"
    assert (folder / "drop_subtree_threshold").read_text().strip() == "8"


def test_nothing_is_done_where_there_is_no_pool() -> None:
    assert not run_quotas("no-such-pool")
