"""The main job through the command line: up, up again, plan; killed anywhere; a request added, removed, put back."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time

import psutil
import pytest

from tests.live.environment import SOCLE, Lab

AGAIN_SECONDS = 15
KILLS = int(os.environ.get("SOCLE_KILLS", "6"))
"""How often the whole rebuild of a host is killed; 20 was tried for acceptance."""
SEED = 20261125
# What differs between two hosts made alike: identities of the machine, caches, logs, what runs.
_VOLATILE = (
    "/etc/machine-id",
    "/etc/ld.so.cache",
    "/etc/.pwd.lock",
    "/etc/.updated",
    "/var/.updated",
    "/etc/resolv.conf",
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


def test_up_again_changes_nothing_and_is_quick(lab: Lab) -> None:
    assert lab.plan() == []
    start = time.monotonic()
    again = json.loads(lab.socle("lab", "up", "--json").stdout)
    seconds = time.monotonic() - start
    assert again["summary"] == {"total": 0}
    assert seconds < AGAIN_SECONDS, seconds


def test_full_finds_nothing_after_a_first_run(lab: Lab) -> None:
    assert lab.plan("--full") == []


def test_a_request_added_removed_and_put_back(scratch: Lab) -> None:
    scratch.write_request("nouvelle")
    assert scratch.plan() == []
    scratch.socle("request", "accept", "nouvelle")
    changes = scratch.plan()
    assert {change["association"] for change in changes if change["stage"] == "sites"} == {"nouvelle"}
    assert {change["stage"] for change in changes} == {"hosts", "sites"}
    scratch.apply()
    assert scratch.plan() == []
    page = scratch.get("https://nouvelle.asso.example/")
    assert page is not None
    assert page.status == 200

    before = scratch.ssh("web1", ["mariadb", "-N", "-e", "SELECT * FROM wp_nouvelle.wp_posts"])
    scratch.remove_request("nouvelle")
    scratch.apply()
    assert scratch.get("https://nouvelle.asso.example/", check=False) is None
    shown = scratch.socle("plan", check=False)
    assert shown.returncode == 0
    assert "wp-nouvelle: orphan of nouvelle" in shown.stderr
    assert scratch.ssh("web1", ["mariadb", "-N", "-e", "SELECT * FROM wp_nouvelle.wp_posts"]) == before

    scratch.write_request("nouvelle")
    scratch.apply()
    page = scratch.get("https://nouvelle.asso.example/")
    assert page is not None
    assert page.status == 200
    assert scratch.ssh("web1", ["mariadb", "-N", "-e", "SELECT * FROM wp_nouvelle.wp_posts"]) == before


@pytest.mark.parametrize("host", ["web1"])
def test_a_rebuild_killed_again_and_again_ends_like_one_that_was_not(scratch: Lab, host: str) -> None:
    """The host and its volumes are deleted; every stage has work to do, and the runs are cut at seeded moments."""
    wanted = make_inventory(scratch, host)
    with scratch.client() as client:
        client.set_state(host, "stop", force=True)
        client.delete_instance(host)
        for volume in client.list_volumes():
            client.delete_volume(volume["name"])
    chance = random.Random(SEED)  # noqa: S311 moments, not secrets
    killed = sum(run_killed(scratch, chance.uniform(1, 25), "apply") for _ in range(KILLS))
    assert killed >= 2, "the runs ended before they were killed: nothing was tried"
    scratch.apply()
    assert scratch.plan() == []
    assert scratch.plan("--full") == []
    found = make_inventory(scratch, host)
    assert sorted(found ^ wanted) == []
    events = [
        line for line in scratch.socle("journal", "--json", "--last", "50").stdout.splitlines() if "started" in line
    ]
    assert len(events) >= killed
