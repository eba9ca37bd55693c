"""Who can log in, and who is root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from socle.audit.check import Failed, check, expect, hosts
from socle.audit.scene import Scene
from socle.model.plan import Host, Plan

_NO_SHELL = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false", "/bin/sync", "/usr/bin/sync")
_NOBODY = 65534
_FIRST_PERSON = 1000
_ROOTS_HOME = "/root"
_OPERATORS = "socle-operators"
# The group root may log in, and its members' keys are read in their homes.
_PRIVILEGED = ("root", "sudo", "adm", "wheel", "disk", "shadow", "docker", "lxd", "incus", "incus-admin")


class Account(NamedTuple):
    """A line of passwd(5)."""

    name: str
    uid: int
    home: str
    shell: str


def parse_accounts(text: str) -> list[Account]:
    """The output of `getent passwd`."""
    lines = (line.split(":") for line in text.splitlines())
    return [Account(fields[0], int(fields[2]), fields[5], fields[6]) for fields in lines]


def parse_groups(text: str) -> dict[str, list[str]]:
    """Members by group, from `getent group`."""
    lines = (line.split(":") for line in text.splitlines())
    return {fields[0]: [name for name in fields[3].split(",") if name] for fields in lines}


def make_known(plan: Plan, host: str) -> dict[str, int]:
    """Numbers of the accounts that exist because of sites, orphans included."""
    given = [(one.name, one.uid, one.host) for one in plan.sites]
    given += [(one.name, one.uid, one.host) for one in plan.orphans]
    return {name: uid for name, uid, place in given if place == host}


def find_strangers(accounts: Iterable[Account], known: dict[str, int], operators: Iterable[str]) -> Iterator[str]:
    """What is wrong with the accounts, one line each."""
    people = {"root", *operators}
    for one in accounts:
        if one.uid == 0 and one.name != "root":
            yield f"{one.name} is root (uid 0)"
        elif one.name == "root" and one.home != _ROOTS_HOME:
            # Its keys would be read there.
            yield f"root's home is {one.home}, expected {_ROOTS_HOME}"
        elif one.shell not in _NO_SHELL and one.name not in people:
            yield f"{one.name} (uid {one.uid}) has a shell, {one.shell or 'the default one'}"
        elif one.name in known and one.uid != known[one.name]:
            yield f"{one.name} has uid {one.uid}, expected {known[one.name]}"
        elif _FIRST_PERSON <= one.uid != _NOBODY and one.name not in known and one.name not in people:
            yield f"{one.name} (uid {one.uid}) is nobody's that the plan knows"


@check(
    "accounts", each=hosts, remedy="remove the account (userdel), after a look at what it did: last, journalctl _UID="
)
def accounts_are_those_declared(scene: Scene, host: Host) -> str:
    """Nobody has an account, a password or root's rights but those declared."""
    remote = scene.on(host.name)
    accounts = parse_accounts(remote.check_output("getent passwd"))
    operators = [operator.name for operator in scene.platform.operators]
    problems = list(find_strangers(accounts, make_known(scene.plan, host.name), operators))
    groups = parse_groups(remote.check_output("getent group"))
    problems += [f"{name} is in the group {group}" for group in _PRIVILEGED for name in groups.get(group, [])]
    members = groups.get(_OPERATORS, [])
    problems += [f"{name} is in {_OPERATORS} and is no operator" for name in members if name not in operators]
    # Names only: no hash leaves the host.
    passwords = remote.check_output("awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow").split()
    problems += [f"{name} has a password" for name in passwords]
    if problems:
        raise Failed("; ".join(problems))
    people = [one.name for one in accounts if one.shell not in _NO_SHELL]
    return f"{len(accounts)} accounts; with a shell: {', '.join(people)}; no password"


def parse_keys(text: str) -> set[tuple[str, str]]:
    """(path, key) of each line that `grep --with-filename` found in files of keys, comments left out."""
    found = set()
    for line in text.splitlines():
        path, _, rest = line.partition(":")
        fields = rest.split()
        if len(fields) > 1 and not rest.startswith("#"):
            place = next((i for i, word in enumerate(fields) if word.startswith(("ssh-", "sk-", "ecdsa-"))), 0)
            found.add((path, " ".join(fields[place : place + 2])))
    return found


_KEYS = (
    "grep --with-filename --no-messages '[^[:space:]]' /root/.ssh/authorized_keys /root/.ssh/authorized_keys2 "
    "/etc/ssh/authorized_keys.d/* || test $? -lt 2 || true"
)


@check(
    "keys", each=hosts, remedy="remove the key, and find out who added it; socle apply --full writes the declared ones"
)
def keys_are_those_declared(scene: Scene, host: Host) -> str:
    """Only declared SSH keys log in."""
    given = scene.fact("baseline")[host.name]
    wanted = {("/root/.ssh/authorized_keys", " ".join(key.split()[:2])) for key in given["users_root_keys"]}
    for operator in given["users_operators"]:
        path = f"/etc/ssh/authorized_keys.d/{operator['name']}"
        wanted |= {(path, " ".join(key.split()[:2])) for key in operator["ssh_keys"]}
    found = parse_keys(scene.on(host.name).check_output(_KEYS))
    added, lost = sorted(found - wanted), sorted(wanted - found)
    expect(not added, f"not declared: {', '.join(f'{path} {key[:32]}…' for path, key in added)}")
    expect(not lost, f"declared, and not there: {', '.join(f'{path} {key[:32]}…' for path, key in lost)}")
    return f"{len(found)} keys, all declared"


CHECKS = (accounts_are_those_declared, keys_are_those_declared)
