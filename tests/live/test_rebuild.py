"""Killed anywhere, a run is completed by the next: a whole host is rebuilt by runs that are killed again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess

import psutil
import pytest

from tests.live.environment import SOCLE, Lab

KILLS = int(os.environ.get("SOCLE_KILLS", "2"))
"""How often each stage is killed; 20 is what a release is accepted with."""
SEED = int(os.environ.get("SOCLE_SEED", "20261125"))
_AT_ONCE = 5
# Seconds that a stage takes at least when everything is missing: a kill falls somewhere in them.
_WINDOWS = {"hosts": 6.0, "baseline": 15.0, "services": 20.0, "repositories": 4.0, "sites": 8.0}
# What differs between two hosts made alike: identities, caches, and the copies that useradd keeps of the files before.
_VOLATILE = (
    *("/etc/machine-id", "/etc/ld.so.cache", "/etc/.pwd.lock", "/etc/.updated", "/etc/resolv.conf", "/.socle"),
    *("/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-"),
)
# What backups left, and repositories, whose names are those of their content.
_SAVED = ("/var/lib/socle/backups", "/var/lib/socle/vault/", "/srv/vault/")
_INVENTORY = r"""
find /etc /usr/local /usr/lib/socle /usr/share/socle /srv /var/lib/socle /root -xdev -printf '%y %m %u %g %l %p\n'
find /etc /usr/local /usr/lib/socle /usr/share/socle /root -xdev -type f -exec sha256sum {} +
find /srv -path '*/uploads' -prune -o -type f -exec sha256sum {} +
getent passwd; getent group
dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n'
systemctl list-unit-files --no-legend --plain --state=enabled,masked
systemctl list-units --no-legend --plain --all 'socle-*' nginx.service mariadb.service | awk '{print $1, $3, $4}'
mariadb -N -e "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2" 2>/dev/null
mariadb -N -e "SELECT User, Host, authentication_string FROM mysql.user; SELECT Db, User FROM mysql.db" 2>/dev/null
findmnt -rn -o TARGET,FSTYPE /srv/sites | sort
"""


def make_inventory(lab: Lab, host: str) -> set[str]:
    """Files, users, packages, units, databases and mounts of a host, a line each."""
    lines = lab.ssh(host, ["sh", "-c", _INVENTORY], timeout=180).splitlines()
    kept = (line for line in lines if not any(place in line for place in _SAVED))
    return {line for line in kept if not line.endswith(_VOLATILE) and "__pycache__" not in line}


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and all its descendants, as losing power would."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in family:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait(timeout=30)


def run_killed(lab: Lab, seconds: float, *arguments: str) -> bool:
    """Run a verb and kill it after `seconds`. Whether it was still at work then."""
    command = [*SOCLE, *arguments, "--env", lab.name, "--root", str(lab.root)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        kill_tree(process)
        return True


def run_stage_killed(lab: Lab, stage: str, times: int, chance: random.Random) -> int:
    """Kill a stage `times` times, then let it end. How often it was at work when it was killed: when it ended
    before, nothing is left to be killed."""
    killed = 0
    while killed < times and run_killed(lab, chance.uniform(1, _WINDOWS[stage]), "apply", "--stage", stage):
        killed += 1
    lab.apply("--stage", stage)
    return killed


def run_delete_hosts(lab: Lab) -> None:
    """All hosts of the platform with their volumes, as if the machine were new. `outside` stays. Backups are gone on
    purpose: a platform that remembers them would wait for them."""
    (lab.workspace.state / "repositories.json").unlink()
    with lab.client() as client:
        for host in lab.context().plan.hosts:
            client.set_state(host.name, "stop", force=True)
            client.delete_instance(host.name)
        for volume in client.list_volumes():
            client.delete_volume(volume["name"])


@pytest.mark.last
def test_stages_killed_again_and_again_end_like_those_that_were_not(built: Lab) -> None:
    """All hosts are deleted, and rebuilt by stages that are cut at seeded moments, until each was cut KILLS times.

    The snapshots go with the hosts, so nothing can go back to them: this is the last test of all.
    """
    built.run_forget()
    hosts = [host.name for host in built.context().plan.hosts]
    wanted = {host: make_inventory(built, host) for host in hosts}
    chance = random.Random(SEED)  # noqa: S311 moments, not secrets
    left = dict.fromkeys(_WINDOWS, KILLS)
    for _ in range(2 + 2 * KILLS // _AT_ONCE):
        run_delete_hosts(built)
        for stage in left:
            left[stage] -= run_stage_killed(built, stage, min(left[stage], _AT_ONCE), chance)
        assert built.plan() == []
        assert built.plan("--full") == []
        for host in hosts:
            assert "\n".join(sorted(make_inventory(built, host) ^ wanted[host])) == "", host
        if not any(left.values()):
            break
    assert left == dict.fromkeys(_WINDOWS, 0), "stages that ended before they were killed: too little was tried"
    events = built.socle("journal", "--json", "--last", "500").stdout.splitlines()
    assert sum("started" in event for event in events) >= KILLS * len(_WINDOWS)
