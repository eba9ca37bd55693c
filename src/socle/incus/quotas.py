"""Quotas of the pool: btrfs enforces them only while its count of each volume is right."""

from __future__ import annotations

from pathlib import Path

from socle.runs.process import run

_POOLS = Path("/var/lib/incus/storage-pools")
_SYSFS = Path("/sys/fs/btrfs")
_NEVER_SKIP = "8"  # BTRFS_MAX_LEVEL of the kernel: no tree is as high.


def run_quotas(pool: str) -> bool:
    """Make btrfs count again if it stopped, and keep it from stopping. Whether it had stopped.

    Since Linux 6.1, deleting a large snapshot may make btrfs skip counting and mark all counts as wrong
    (`qgroups/drop_subtree_threshold`): a volume then takes what it likes, and nothing says so. Pools that are
    not btrfs, or not on this machine, are left alone.
    """
    mount = _POOLS / pool
    found = run(["findmnt", "-rno", "FSTYPE,UUID", str(mount)], timeout=10, check=False).stdout.decode().split()
    if len(found) != 2 or found[0] != "btrfs":
        return False
    folder = _SYSFS / found[1] / "qgroups"
    if not folder.is_dir():
        return False
    threshold = folder / "drop_subtree_threshold"
    if threshold.exists() and threshold.read_text().strip() != _NEVER_SKIP:
        threshold.write_text(_NEVER_SKIP)
    if (folder / "inconsistent").read_text().strip() == "0":
        return False
    run(["btrfs", "quota", "rescan", "-w", str(mount)], timeout=900)
    return True
