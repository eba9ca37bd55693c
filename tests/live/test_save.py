"""Saves of sites by their host to the vault: what is in a snapshot; and each fault alone, named, leaving no trace."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from socle.model.plan import Plan, Repository, Site
from tests.live.environment import Lab

pytestmark = pytest.mark.acceptance

STATE = "/var/lib/socle/backups"
STUBS = "/run/test-stubs"
# Restores the newest snapshot of a site over the network, and compares it with its own manifest.
_COMPARE = """
import hashlib, json, os, shutil, subprocess, sys
from pathlib import Path

config = json.loads(Path(f"/etc/socle/backups/{sys.argv[1]}.json").read_text())
target, database = Path("/root/test-restored"), "test_restored"
shutil.rmtree(target, ignore_errors=True)
environment = {
    "PATH": os.environ["PATH"], "RESTIC_PASSWORD": config["key"], "RESTIC_REST_USERNAME": config["user"],
    "RESTIC_REST_PASSWORD": config["credential"], "RESTIC_CACERT": "/etc/socle/vault.pem",
    "RESTIC_REPOSITORY": config["url"], "RESTIC_CACHE_DIR": "/root/test-cache",
}
arguments = ["restic", "-q", "restore", "latest", "--no-lock", "--tag", f"site={config['site']}", "--target", target]
subprocess.run(arguments, env=environment, check=True, stdout=subprocess.DEVNULL)
staging = target / f"var/lib/socle/backups/staging/{config['site']}"
manifest = json.loads((staging / "manifest.json").read_text())
digest = lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest()
assert digest(staging / "files.jsonl") == manifest["files"]["sha256"]
assert digest(staging / "database.sql") == manifest["database"]["sha256"]
wanted = {line["path"]: line for line in map(json.loads, (staging / "files.jsonl").open())}
root, found = target / config["folder"].lstrip("/"), set()
for folder, folders, files in os.walk(root):
    for name in folders + files:
        path = os.path.join(folder, name)
        info, line = os.lstat(path), wanted[os.path.relpath(path, root)]
        found.add(line["path"])
        seen = (info.st_mtime_ns, info.st_uid, info.st_gid, info.st_mode & 0o7777)
        assert seen == (line["mtime"], line["uid"], line["gid"], line["mode"]), path
        assert line["type"] != "file" or digest(path) == line["sha256"], path
        assert line["type"] != "link" or os.readlink(path) == line["target"], path
assert found == set(wanted)
sql = lambda text, *more: subprocess.run(["mariadb", "-N", "-e", text, *more], capture_output=True, check=True).stdout
sql(f"DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database}")
subprocess.run(["mariadb", database], stdin=(staging / "database.sql").open("rb"), check=True)
rows = {table: int(sql(f"SELECT COUNT(*) FROM `{table}`", database)) for table in manifest["database"]["tables"]}
sql(f"DROP DATABASE {database}")
assert rows == manifest["database"]["tables"]
for path in (target, "/root/test-cache"):
    shutil.rmtree(path)
print(json.dumps({"manifest": manifest, "paths": sorted(found)}))
"""
_ODD = {"caf\udce9.jpg": "a", "new\nline": "b", "-rf": "c", " $(id) ": "d", "é🎉": "e"}
_WRITE_ODD = """
import json, os, sys
folder, owner, files = json.load(sys.stdin)
for name, text in files.items():
    with open(f"{folder}/{name}", "w") as stream:
        stream.write(text)
os.symlink("/etc/shadow", f"{folder}/link")
os.mkfifo(f"{folder}/fifo")
"""


class Saves:
    """The saves of one site, on its host."""

    def __init__(self, lab: Lab) -> None:
        self.lab, plan = lab, lab.context().plan
        self.site = _find_site(plan)
        found = plan.repository(self.site.association)
        assert found
        self.repository: Repository = found

    def shell(self, script: str, timeout: float = 400, host: str = "") -> str:
        return self.lab.ssh(host or self.site.host, ["sh", "-c", script], timeout=timeout)

    def run(self, before: str = "", path: str = "") -> dict[str, Any]:
        """Save the site, in a mount namespace where the commands `before` were run, with the programs in `path`
        first. What is told, and nothing is left behind, whatever came of it."""
        save = f"{before}\nPATH={path}:$PATH exec /usr/lib/socle/backup run --json {self.site.name}"
        output = self.shell(f"unshare --mount sh -ec {shlex.quote(save)} || test $? = 3")
        told: dict[str, Any] = json.loads(output)
        assert self.shell(f"ls -A {STATE}/staging {STATE}/copies") == f"{STATE}/copies:\n\n{STATE}/staging:\n"
        result = json.loads(self.shell(f"cat {STATE}/results/{self.site.name}.json"))
        assert {name: result[name] for name in ("result", "reason", "snapshot")} == {
            name: told[name] for name in ("result", "reason", "snapshot")
        }
        assert result["last"]["snapshot"], "the last good save stays named"
        return told

    def count(self) -> int:
        """Snapshots on the vault, of all sites of the association."""
        return int(self.shell(f"ls {self.repository.path}/snapshots | wc -l", host=self.repository.host))

    def fails(self, reason: str, before: str = "", path: str = "") -> None:
        """The save fails for that reason, and no snapshot is made or lost."""
        snapshots = self.count()
        told = self.run(before, path)
        assert (told["result"], told["snapshot"]) == ("failed", "")
        assert reason in told["reason"], told["reason"]
        assert self.count() == snapshots

    @contextmanager
    def stub(self, program: str, script: str) -> Iterator[str]:
        """A folder with another program of that name."""
        quoted = shlex.quote(f"#!/bin/sh\n{script}\n")
        self.shell(f"mkdir -p {STUBS} && printf %s {quoted} > {STUBS}/{program} && chmod 755 {STUBS}/{program}")
        try:
            yield STUBS
        finally:
            self.shell(f"rm -rf {STUBS}")


def _find_site(plan: Plan) -> Site:
    return next(site for site in plan.sites if site.database and plan.repository(site.association))


@pytest.fixture(scope="module")
def saves(built: Lab) -> Saves:
    """A site that was saved once."""
    found = Saves(built)
    found.shell(f"/usr/lib/socle/backup run {found.site.name}")
    return found


def test_every_site_is_saved_by_the_timers_unit(saves: Saves) -> None:
    assert saves.shell("systemctl is-active socle-backup.timer").strip() == "active"
    saves.shell("systemctl start socle-backup.service", timeout=900)
    sites = {site.name for site in saves.lab.context().plan.sites if site.host == saves.site.host}
    results = [json.loads(line) for line in saves.shell(f"cat {STATE}/results/*.json").splitlines()]
    assert {result["site"]: result["result"] for result in results} == dict.fromkeys(sites, "complete")
    metrics = saves.shell("cat /var/lib/prometheus/node-exporter/socle-backup.prom")
    assert metrics.count('result="complete"} 1') == len(sites)


def test_a_snapshot_is_what_its_manifest_says_whatever_files_are_called(saves: Saves) -> None:
    folder = f"{saves.site.path}/wp-content/uploads/odd"
    saves.shell(f"mkdir {folder}")
    try:
        stdin = json.dumps([folder, saves.site.name, _ODD]).encode()
        saves.lab.ssh(saves.site.host, ["python3", "-c", _WRITE_ODD], stdin=stdin)
        assert saves.run()["result"] == "complete"
        answer = json.loads(saves.lab.ssh(saves.site.host, ["python3", "-c", _COMPARE, saves.site.name], timeout=300))
    finally:
        saves.shell(f"rm -r {folder}")
    odd = [path.removeprefix("wp-content/uploads/odd/") for path in answer["paths"] if "/odd/" in path]
    assert odd == sorted([*_ODD, "link", "fifo"])
    assert answer["manifest"]["database"]["tables"]["wp_users"] == 1
    assert ".socle" not in answer["paths"]
    assert {"mariadb-server", "wordpress", "restic"} <= set(answer["manifest"]["versions"])


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Got error: 1045: Access denied' >&2; exit 2", "mariadb-dump ended with 2): Got error: 1045"),
        ("exit 0", "the dump is empty"),
        ('/usr/bin/mariadb-dump "$@" | head -n -1', "the dump is cut"),
        ('/usr/bin/mariadb-dump "$@" | sed "s/CREATE TABLE .wp_users/CREATE TABLE \\`gone/"', "lacks 1 of its tables"),
    ],
)
def test_a_dump_that_is_not_whole(saves: Saves, script: str, reason: str) -> None:
    with saves.stub("mariadb-dump", script) as path:
        saves.fails(reason, path=path)


def test_a_missing_volume(saves: Saves) -> None:
    saves.fails("volume is not mounted", f"umount --lazy {saves.site.path}")


@pytest.mark.parametrize(
    ("field", "reason"),
    [("credential", "does not accept this host's credential"), ("key", "does not accept this site's key")],
)
def test_secrets_that_were_changed(saves: Saves, field: str, reason: str) -> None:
    path = f"/etc/socle/backups/{saves.site.name}.json"
    change = f'import json; d = json.load(open("{path}")); d["{field}"] += "x"; json.dump(d, open("/run/c.json", "w"))'
    saves.fails(reason, f"python3 -c {shlex.quote(change)}\nmount --bind /run/c.json {path}")
    saves.shell("rm /run/c.json")


def test_a_vault_that_is_down(saves: Saves) -> None:
    vault = saves.repository.host
    saves.shell("systemctl stop socle-vault.service", host=vault)
    try:
        told = saves.run()
        assert told["result"] == "failed"
        assert "does not answer" in told["reason"]
        assert told["seconds"] < 60
    finally:
        saves.shell("systemctl start socle-vault.service", host=vault)
    assert saves.run()["result"] == "complete"


def test_another_server_than_the_vault(saves: Saves) -> None:
    make = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -out /run/o.pem -subj /CN=other -days 1"
    saves.fails("is not the one we trust", f"{make} 2>/dev/null\nmount --bind /run/o.pem /etc/socle/vault.pem")
    saves.shell("rm /run/o.pem")


def test_a_vault_that_is_full(saves: Saves) -> None:
    vault, filler = saves.repository.host, f"{saves.repository.path}/filler"
    upload = f"{saves.site.path}/wp-content/uploads/large.bin"
    saves.shell(f"dd if=/dev/zero of={filler} bs=1M || sync", host=vault)
    saves.shell(f"head -c 40000000 /dev/urandom > {upload}; sync")
    try:
        told = saves.run()
        assert told["result"] == "failed"
        assert "no room left" in told["reason"], told["reason"]
    finally:
        saves.shell(f"rm -f {filler}; sync", host=vault)
        saves.shell(f"rm -f {upload}; sync")
    assert saves.run()["result"] == "complete"


def test_a_disk_that_fills_during_the_dump(saves: Saves) -> None:
    small = f"mount -t tmpfs -o size=64k,mode=700 test {STATE}/staging"
    saves.fails("this host's disk was full during the dump", small)


def test_a_repository_locked_by_another_client(saves: Saves) -> None:
    """restic waits for two minutes; then who has the lock is named."""
    key = json.loads(saves.shell(f"cat /etc/socle/backups/{saves.site.name}.json"))["key"]
    script = f"""
    import glob, os, subprocess, sys, time
    environment = {{"RESTIC_PASSWORD": sys.stdin.readline().rstrip("\\n"), "PATH": os.environ["PATH"]}}
    arguments = ["restic", "-r", "{saves.repository.path}", "--no-cache", "check", "--read-data"]
    process = subprocess.Popen(arguments, env=environment, user="socle-vault", stdout=-3, stderr=-3, cwd="/")
    while not any("tmp" not in path for path in glob.glob("{saves.repository.path}/locks/*")):
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    """
    vault, locks = saves.repository.host, f"{saves.repository.path}/locks"
    saves.lab.ssh(vault, ["python3", "-c", textwrap.dedent(script)], stdin=f"{key}\n".encode())
    try:
        assert saves.shell(f"ls {locks}", host=vault).strip(), "the killed client left its lock"
        saves.fails("the repository is locked by PID")
    finally:
        saves.shell(f"rm -f {locks}/*", host=vault)
    assert saves.run()["result"] == "complete"


def test_a_run_that_is_killed_leaves_nothing(saves: Saves) -> None:
    with saves.stub("none", ""):
        script = f"""
        systemctl start --no-block socle-backup.service
        until [ -e {STATE}/staging/*/database.sql ]; do sleep 0.02; done
        systemctl kill --signal=KILL socle-backup.service
        while systemctl is-active --quiet socle-backup.service || systemctl show -p ActiveState --value \\
            socle-backup.service | grep -q ing; do sleep 0.2; done
        ls -A {STATE}/staging; pgrep -x restic || :
        """
        assert saves.shell(script).strip() == ""
    assert saves.run()["result"] == "complete"


def test_restic_cannot_open_what_is_another_sites(saves: Saves) -> None:
    """Whoever swaps a folder for a link, as restic goes by, has it open another path than it meant to."""
    others = [site for site in saves.lab.context().plan.sites if site.host == saves.site.host and site != saves.site]
    script = f"""
    import json, subprocess, sys
    sys.path.insert(0, "/usr/lib/socle")
    from backup_host import vault
    config = json.load(open("/etc/socle/backups/{saves.site.name}.json"))
    assert vault.can_confine()
    def ends(*command):
        confined = vault.make_confined(command, config, "/etc/socle/backups")
        return subprocess.run(confined, capture_output=True).returncode
    print(json.dumps([ends("ls", path) for path in sys.argv[1:]] + [ends("cat", "/etc/shadow"), ends("true")]))
    """
    paths = [saves.site.path, *(site.path for site in others), "/var/lib/mysql", "/etc/wordpress"]
    output = saves.lab.ssh(saves.site.host, ["python3", "-B", "-c", textwrap.dedent(script), *paths])
    codes = json.loads(output)
    assert (codes[0], codes[-1]) == (0, 0)
    assert all(codes[1:-1])


def test_no_secret_is_seen_by_others_or_told(saves: Saves) -> None:
    config = json.loads(saves.shell(f"cat /etc/socle/backups/{saves.site.name}.json"))
    watch = "while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; sleep 0.05; done"
    script = f"({watch}) > /run/seen & /usr/lib/socle/backup run {saves.site.name} > /run/told 2>&1; kill $!"
    seen = saves.shell(f"{script}; cat /run/seen /run/told; journalctl -u socle-backup.service; rm /run/seen /run/told")
    assert "restic" in seen
    assert config["key"] not in seen
    assert config["credential"] not in seen
