"""Quotas of the pool: btrfs enforces them only while its count of each volume is right."""

from __future__ import annotations

from pathlib import Path

from socle.runs.process import run

_POOLS = Path("/var/lib/incus/storage-pools")
_SYSFS = Path("/sys/fs/btrfs")
_NEVER_SKIP = "8"  # BTRFS_MAX_LEVEL of the kernel: no tree is as high.


def load_counts(pool: str) -> bool:
    """Whether what is counted is right. Pools that are not btrfs, or not on this machine, are taken to be."""
    folder = _load_folder(pool)
    return folder is None or _load_right(folder)


def run_quotas(pool: str) -> bool:
    """Make btrfs count again if it stopped, and keep it from stopping where that can be. Whether it had stopped.

    A volume then takes what it likes, and only the kernel's log says so. Two causes were seen: deleting a large
    snapshot (Linux 6.1 and later skip the counting: `qgroups/drop_subtree_threshold`, which is raised here), and
    volumes deleted while they are written ("to be deleted qgroup has non-zero numbers", Linux 6.18), which may
    come at any time: callers ask again whenever they have deleted something, and before they promise anything.
    """
    folder = _load_folder(pool)
    if folder is None:
        return False
    threshold = folder / "drop_subtree_threshold"
    if threshold.exists() and threshold.read_text().strip() != _NEVER_SKIP:
        threshold.write_text(_NEVER_SKIP)
    if _load_right(folder):
        return False
    run(["btrfs", "quota", "rescan", "-w", str(_POOLS / pool)], timeout=900)
    return True


def _load_right(folder: Path) -> bool:
    return (folder / "inconsistent").read_text().strip() == "0"


def _load_folder(pool: str) -> Path | None:
    """The kernel's folder of a pool's quotas."""
    found = run(["findmnt", "-rno", "FSTYPE,UUID", str(_POOLS / pool)], timeout=10, check=False)
    match found.stdout.decode().split():
        case ["btrfs", uuid] if (folder := _SYSFS / uuid / "qgroups").is_dir():
            return folder
    return None
