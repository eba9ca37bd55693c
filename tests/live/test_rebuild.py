"""Killed anywhere, a run is completed by the next: a whole host is rebuilt by runs that are killed again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess

import psutil
import pytest

from tests.live.environment import SOCLE, Lab

KILLS = int(os.environ.get("SOCLE_KILLS", "6"))
"""How often the whole rebuild of a host is killed; 20 was tried for acceptance."""
SEED = 20261125
# What differs between two hosts made alike: identities, caches, and the copies that useradd keeps of the files before.
_VOLATILE = (
    *("/etc/machine-id", "/etc/ld.so.cache", "/etc/.pwd.lock", "/etc/.updated", "/etc/resolv.conf", "/.socle"),
    *("/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-"),
)
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
    return {line for line in lines if not line.endswith(_VOLATILE) and "__pycache__" not in line}


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


@pytest.mark.last
def test_a_rebuild_killed_again_and_again_ends_like_one_that_was_not(built: Lab) -> None:
    """A host and its volumes are deleted; every stage has work to do, and the runs are cut at seeded moments.

    The snapshots go with the host, so nothing can go back to them: this is the last test of all.
    """
    built.run_forget()
    host = "web1"
    wanted = make_inventory(built, host)
    with built.client() as client:
        client.set_state(host, "stop", force=True)
        client.delete_instance(host)
        for volume in client.list_volumes():
            client.delete_volume(volume["name"])
    chance = random.Random(SEED)  # noqa: S311 moments, not secrets
    killed = sum(run_killed(built, chance.uniform(1, 25), "apply") for _ in range(KILLS))
    assert killed >= 2, "the runs ended before they were killed: nothing was tried"
    built.apply()
    assert built.plan() == []
    assert built.plan("--full") == []
    found = make_inventory(built, host)
    assert "\n".join(sorted(found ^ wanted)) == ""
    events = [
        line for line in built.socle("journal", "--json", "--last", "50").stdout.splitlines() if "started" in line
    ]
    assert len(events) >= killed
