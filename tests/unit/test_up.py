"""What `lab up` says of its storage pool."""

from __future__ import annotations

import pytest

from socle.doctor_facts import Pool
from socle.lab.engine import PoolInfo
from socle.lab.up import make_pool_notes

GIB = 1024**3


@pytest.mark.parametrize(
    ("driver", "total", "said"),
    [
        ("btrfs", 40 * 1024, []),
        ("btrfs", 20 * 1024, ["pool_size is 40960 MiB, but the pool socle has 20480"]),
        ("dir", 20 * 1024, ["NO QUOTA IS ENFORCED"]),
    ],
)
def test_what_is_not_as_declared_is_said(driver: str, total: int, said: list[str]) -> None:
    info = PoolInfo("socle", driver, driver != "dir", created=False)
    notes = list(make_pool_notes(info, Pool(driver, total, 0), 40 * GIB))
    assert len(notes) == len(said)
    assert all(words in note for words, note in zip(said, notes, strict=True))
