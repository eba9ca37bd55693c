"""Can this machine carry the lab? Facts are read once; each check is a pure function of them.

One problem is one line with its remedy. An error stops the lab from working; a warning says what will not be
as it should.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from socle.doctor_facts import Facts, load_facts
from socle.incus.marker import ENVIRONMENT
from socle.lab.limits import LIMITS

__all__ = ["CHECKS", "Facts", "Problem", "Severity", "load_facts", "make_problems"]

# Debian release: the day it came out, the day its long-term support ends.
RELEASES = {
    "bookworm": (datetime.date(2023, 6, 10), datetime.date(2028, 6, 30)),
    "trixie": (datetime.date(2025, 8, 9), datetime.date(2030, 6, 30)),
}
MEMORY_MIB = (3 * 1024, 2 * 1024)  # in all; available
DISK_MIB = (20 * 1024, 8 * 1024)  # warned below; refused below
_DAY = 86400.0
_INSTALL = "run: make up (it installs what is missing)"


class Severity(StrEnum):
    """Does the problem stop the lab, or only lessen it?"""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """One line for a person: which check, what is wrong, what to do."""

    check: str
    message: str
    remedy: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.severity}: {self.check}: {self.message} ({self.remedy})"


def check_root(facts: Facts) -> Iterator[Problem]:
    """Containers, bridges and package installation need root."""
    if facts.user_id != 0:
        yield Problem("root", f"running as user {facts.user_id}", "run it as root")


def check_debian(facts: Facts) -> Iterator[Problem]:
    """Debian 12 or 13, amd64."""
    if facts.release not in RELEASES:
        yield Problem("debian", f"the release is {facts.release or 'unknown'}", "use Debian 12 or 13")
    if facts.machine != "x86_64":
        yield Problem("debian", f"the machine is {facts.machine}", "use an amd64 machine")


def check_memory(facts: Facts) -> Iterator[Problem]:
    """Enough for the lab's hosts with a handful of sites."""
    total, available = MEMORY_MIB
    if facts.memory_total_mib < total:
        remedy = f"give the machine at least {total} MiB"
        yield Problem("memory", f"{facts.memory_total_mib} MiB in all", remedy)
    elif facts.memory_available_mib < available:
        message = f"{facts.memory_available_mib} MiB available, {available} are wanted"
        remedy = "end other programs, or another lab: socle lab down"
        yield Problem("memory", message, remedy, Severity.WARNING)


def check_disk(facts: Facts) -> Iterator[Problem]:
    """Enough for the image, the hosts and their volumes; the pool's file grows as it fills."""
    warned, refused = DISK_MIB
    if facts.disk_free_mib < warned:
        severity = Severity.ERROR if facts.disk_free_mib < refused else Severity.WARNING
        message = f"{facts.disk_free_mib} MiB free below /var/lib, {warned} are wanted"
        yield Problem("disk", message, "free some space there", severity)


def check_clock(facts: Facts) -> Iterator[Problem]:
    """A clock that is wrong breaks certificates, package signatures and the order of backups."""
    if facts.now < facts.newest_file - _DAY:
        late = (facts.newest_file - facts.now) / _DAY
        message = f"the clock is {late:.0f} days before the newest file of the system"
        yield Problem("clock", message, "set it: timedatectl set-ntp true, or date --set")
    _, end = RELEASES.get(facts.release, (None, None))
    if end and facts.now > datetime.datetime.combine(end, datetime.time(), datetime.UTC).timestamp():
        message = f"by the clock, Debian {facts.release} is past its support ({end})"
        yield Problem("clock", message, "set the clock, or upgrade Debian", Severity.WARNING)


def check_limits(facts: Facts) -> Iterator[Problem]:
    """Kernel limits that all containers share."""
    for name, low in LIMITS.items():
        if name in facts.limits and facts.limits[name] < low:
            message = f"{name} is {facts.limits[name]}, {low} is needed"
            yield Problem("limits", message, f"run: sysctl -w {name}={low} (socle lab up does it)")


def check_programs(facts: Facts) -> Iterator[Problem]:
    """What set-up installs."""
    if facts.missing_programs:
        yield Problem("programs", f"missing: {', '.join(facts.missing_programs)}", _INSTALL)


def check_devices(facts: Facts) -> Iterator[Problem]:
    """Device files that lxcfs (FUSE) and the pool (a loop device) need."""
    for device in facts.missing_devices:
        yield Problem("devices", f"{device} cannot be opened", "use a machine, not a container without this device")


def check_ports(facts: Facts) -> Iterator[Problem]:
    """DNS and DHCP of the lab's bridges: one program on all addresses leaves no room for them."""
    for holder in facts.port_holders:
        remedy = "make that program listen on chosen addresses, not on all"
        yield Problem("ports", f"{holder} is taken on all addresses", remedy)


def check_forwarding(facts: Facts) -> Iterator[Problem]:
    """Another firewall (Docker's, for one) may drop what the hosts send to package mirrors."""
    for chain in facts.forward_dropped_by:
        remedy = "let forwarded packets of bridges sl* pass in it"
        message = f"the chain {chain} drops forwarded packets by default"
        yield Problem("forwarding", message, remedy, Severity.WARNING)


def check_engine(facts: Facts) -> Iterator[Problem]:
    """Incus answers."""
    if facts.engine_version is None:
        remedy = "run: socle lab up (it starts Incus)"
        yield Problem("engine", "Incus does not answer", remedy, Severity.WARNING)


def check_pool(facts: Facts) -> Iterator[Problem]:
    """Quotas need btrfs; a pool that is nearly full, or promises more than the disk has, stops every site."""
    pool = facts.pool
    if pool is None:
        return
    if pool.driver == "dir":
        remedy = "use a machine whose kernel lets btrfs be mounted; what is not enforced is not proven"
        yield Problem("pool", "it is a plain folder: no quota is enforced", remedy, Severity.WARNING)
        return
    if not pool.counts:
        message = "btrfs has stopped counting what volumes take: no quota is enforced"
        yield Problem("pool", message, "run: socle apply (it has them counted again)", Severity.WARNING)
    if pool.total_mib and pool.used_mib > 0.85 * pool.total_mib:
        message = f"{pool.used_mib} of {pool.total_mib} MiB used"
        remedy = "remove what is not needed, or: incus storage set socle size=<more>GiB"
        yield Problem("pool", message, remedy, Severity.WARNING)
    promised = pool.total_mib - pool.used_mib
    if promised > facts.disk_free_mib:
        message = f"it promises {promised} MiB more, the disk below it has {facts.disk_free_mib}"
        yield Problem("pool", message, "free some space below /var/lib", Severity.WARNING)


def _make_removal(project: str) -> str:
    """How to remove by hand all that an environment has in Incus. Bridges and their rules are in no project."""
    mark = f"{ENVIRONMENT}={project.removeprefix('socle-')}"
    networks = f"then, in the project default, the networks and network ACLs that carry {mark}"
    return f"if nobody needs its data: incus project delete {project} --force; {networks}"


def check_leftovers(facts: Facts) -> Iterator[Problem]:
    """Environments that no clone uses any more."""
    for state in facts.states:
        if not state.clone_exists:
            message = f"environment {state.name} belongs to {state.clone}, which is gone"
            remedy = f"{_make_removal(f'socle-{state.name}')}; remove its state folder"
            yield Problem("leftovers", message, remedy, Severity.WARNING)
    for project in facts.projects:
        if not project.state_exists:
            message = f"the Incus project {project.name} is ours, but its state folder is gone"
            remedy = f"if its state is not elsewhere (SOCLE_STATE): {_make_removal(project.name)}"
            yield Problem("leftovers", message, remedy, Severity.WARNING)
    for expired in facts.expired:
        place, _, instance = expired.partition("/")
        remedy = f"the next socle restore --into scratch does it, or: incus --project {place} delete --force {instance}"
        yield Problem("leftovers", f"{expired} was to be thrown away by now", remedy, Severity.WARNING)


CHECKS: tuple[Callable[[Facts], Iterator[Problem]], ...] = (
    check_root,
    check_debian,
    check_memory,
    check_disk,
    check_clock,
    check_limits,
    check_programs,
    check_devices,
    check_ports,
    check_forwarding,
    check_engine,
    check_pool,
    check_leftovers,
)


def make_problems(facts: Facts) -> list[Problem]:
    """All problems, errors first, otherwise in the order of the checks."""
    problems = [problem for check in CHECKS for problem in check(facts)]
    return sorted(problems, key=lambda problem: problem.severity != Severity.ERROR)
