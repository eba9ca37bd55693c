"""Kernel limits that all containers of a machine share: what the lab needs, and raising them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from socle.errors import SocleError

SYSCTL_FILE = Path("/etc/sysctl.d/60-socle.conf")
# Lowest values. Keys and inotify are counted over all containers of the machine: with the kernel's defaults
# (200 and 128) about the tenth container fails in odd ways. Bridges need the kernel to forward.
LIMITS: Mapping[str, int] = {
    "kernel.keys.maxkeys": 2000,
    "kernel.keys.maxbytes": 2_000_000,
    "fs.inotify.max_user_instances": 1024,
    "net.ipv4.ip_forward": 1,
}


def make_raised(current: Mapping[str, int]) -> dict[str, int]:
    """Limits to raise: those below what the lab needs. A limit that the kernel lacks is left out."""
    return {name: low for name, low in LIMITS.items() if name in current and current[name] < low}


def render_sysctl() -> str:
    """The file that keeps the limits over a restart of the machine."""
    lines = "".join(f"{name} = {low}\n" for name, low in LIMITS.items())
    return f"# Written by socle: what several system containers on one machine need.\n{lines}"


def _sysctl_path(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def load_limits() -> dict[str, int]:
    """The present values of the limits that this kernel has."""
    return {name: int(_sysctl_path(name).read_text()) for name in LIMITS if _sysctl_path(name).is_file()}


def run_limits() -> dict[str, int]:
    """Raise the limits that are too low, now and for the next start of the machine."""
    raised = make_raised(load_limits())
    for name, low in raised.items():
        try:
            _sysctl_path(name).write_text(f"{low}\n")
        except OSError as error:
            remedy = f"on the machine that holds this one: sysctl -w {name}={low}"
            raise SocleError(f"the kernel limit {name} cannot be raised: {error.strerror}", remedy) from None
    if SYSCTL_FILE.parent.is_dir() and (not SYSCTL_FILE.exists() or SYSCTL_FILE.read_text() != render_sysctl()):
        SYSCTL_FILE.write_text(render_sysctl())
    return raised
