"""Sites brought back on real hosts: beside the live one, into an archive, in their place, after a host was lost."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from socle.incus.connect import open_client
from socle.model.plan import Site
from socle.remote import run_ssh
from socle.restore.choose import parse_at
from socle.restore.repository import choose_all
from socle.restore.scratch import NAME, running
from socle.restore.template import make_plan, make_services, run_template
from tests.live.environment import SOCLE, Lab
from tests.live.sites_tools import run_php, visit, wordpress_sites

pytestmark = pytest.mark.acceptance

_SAVE_BROKEN = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, "/usr/lib/socle")
import hashlib
from backup_host import save
from backup_host.host import Databases, Host, load_mounts, load_versions
site, how = sys.argv[1:]
config = json.loads(Path(f"/etc/socle/backups/{site}.json").read_text())
real = save.run_dump

def run_dump(database, facts, path):
    described = real(database, facts, path)
    lines = path.read_bytes().splitlines(keepends=True)
    if how == "cut":
        lines = lines[: len(lines) // 2]
    else:
        lines.insert(len(lines) // 2, b"INSERT INTO `nowhere` VALUES (1);\\n")
    text = b"".join(lines)
    path.write_bytes(text)
    # A liar: the manifest describes what is there.
    return {**described, "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}

save.run_dump = run_dump
os.umask(0o077)
host = Host(os.uname().nodename, load_mounts(), Databases([config["database"]]), load_versions(config["packages"]))
print(save.run_save(site, config, host).snapshot)
"""
_REACH = """
import json, socket, sys
found = {}
for name, (address, port) in json.load(sys.stdin).items():
    try:
        socket.create_connection((address, port), timeout=3).close()
        found[name] = "reached"
    except OSError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def save(lab: Lab, site: Site) -> str:
    """Save a site now; its snapshot."""
    line = lab.ssh(site.host, ["/usr/lib/socle/backup", "run", "--json", site.name], timeout=300).splitlines()[-1]
    data = json.loads(line)
    assert data["result"] == "complete", data
    return str(data["snapshot"])


def restore(lab: Lab, *arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
    """`socle restore`; its JSON and what it said."""
    result = lab.socle("restore", *arguments, "--json", check=False, timeout=580)
    assert result.returncode == code, result.stdout + result.stderr
    return json.loads(result.stdout) if result.stdout else {}, result.stderr


@dataclass(frozen=True)
class Content:
    """What a site holds, kept outside its host: rows of what people write, and every file."""

    rows: dict[str, str]
    files: list[str]


def load_content(lab: Lab, site: Site) -> Content:
    """Read it on the host. What WordPress itself writes as it is read (options, tasks) is not among it."""
    rows = {}
    for table in ("wp_posts", "wp_postmeta", "wp_users", "wp_terms", "wp_comments"):
        dump = ["mariadb-dump", "--skip-comments", "--skip-extended-insert", str(site.database), table]
        rows[table] = hashlib.sha256(lab.ssh(site.host, dump).encode()).hexdigest()
    hashes = f"find {site.path} -type f ! -name .socle -exec sha256sum {{}} +"
    script = f"{hashes}; find {site.path} -printf '%p %u %g %m %l\\n'"
    return Content(rows, sorted(lab.ssh(site.host, ["sh", "-c", script]).splitlines()))


def write(lab: Lab, site: Site, word: str) -> None:
    """Write a post, a file and a user, as the site does."""
    code = """
    define('WP_INSTALLING', false);
    require '/usr/share/wordpress/wp-load.php';
    $id = wp_insert_post(['post_title' => $data['word'], 'post_content' => "<p>é 🏊 {$data['word']}</p>",
        'post_status' => 'publish', 'post_type' => 'page', 'post_name' => $data['word']]);
    $user = wp_insert_user(['user_login' => $data['word'], 'user_pass' => 'x',
        'user_email' => $data['word'] . '@a.example']);
    $file = wp_upload_bits($data['word'] . '.txt', null, $data['word']);
    echo json_encode([$id, is_wp_error($user) ? $user->get_error_message() : $user, $file['error']]);
    """
    identifier, user, error = run_php(lab, site, code, {"word": word})
    assert isinstance(identifier, int), identifier
    assert isinstance(user, int), user
    assert error is False


def read(lab: Lab, site: Site, word: str) -> int:
    """The status of the page with that name."""
    return visit(lab, site).ask(f"/{word}/").status


@pytest.fixture
def site(lab: Lab) -> Site:
    return wordpress_sites(lab)[0]


def find_scratch(lab: Lab) -> list[str]:
    with lab.client() as client:
        names = [one["name"] for one in (*client.list_instances(), *client.list_volumes())]
    return [name for name in names if name.startswith(f"{NAME}-")]


def test_a_site_comes_up_beside_the_live_one_and_is_compared(lab: Lab, site: Site) -> None:
    write(lab, site, "scratch1")
    snapshot = save(lab, site)
    data, said = restore(lab, site.association, "--site", site.name, "--into", "scratch")
    verdict = data["sites"][0]
    assert (verdict["verdict"], verdict["snapshot"], verdict["reason"]) == ("restored", snapshot, ""), said
    checks = {one["name"]: one for one in verdict["checks"]}
    assert {"isolation", "manifest", "files", "database", "page /", "page /wp-login.php"} <= checks.keys()
    assert {one["status"] for one in verdict["checks"]} == {"passed"}
    assert "HTTP 200" in checks["page /"]["evidence"]
    assert find_scratch(lab) == []
    kept = sorted((lab.workspace.state / "drills").glob(f"*-{site.name}.json"))
    assert json.loads(kept[-1].read_text()) == verdict
    assert read(lab, site, "scratch1") == 200


@pytest.fixture
def listener() -> Iterator[int]:
    """A port of this machine, open to everybody: what a scratch host must not reach."""
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104
        server.listen()
        threading.Thread(target=lambda: [server.accept() for _ in range(9)], daemon=True).start()
        yield int(server.getsockname()[1])


def test_a_scratch_host_reaches_nothing(lab: Lab, site: Site, listener: int) -> None:
    context = lab.context()
    plan = make_plan(context.plan, site, make_services(context.catalogue, site.service))
    addresses = {host.name: str(host.address) for host in context.plan.hosts}
    gateways = {f"controller on {one.name}": str(one.ipv4.ip) for one in context.plan.networks}
    repository = context.plan.repository(site.association)
    assert repository is not None
    targets = {
        "vault": (addresses[repository.host], 8443),
        "the live site": (addresses[site.host], 80),
        "ssh of the live site": (addresses[site.host], 22),
        **{name: (address, listener) for name, address in gateways.items()},
        **{f"resolver of the {name}": (address, 53) for name, address in gateways.items()},
        "the Internet's mirror": ("deb.debian.org", 80),
        "the mirror by an address": (socket.gethostbyname("deb.debian.org"), 80),
    }
    probe = ["python3", "-I", "-c", _REACH]
    stdin = json.dumps(targets).encode()
    # Else nothing is proven: each of them is there, and somebody can reach it.
    here = json.loads(subprocess.run(probe, input=stdin, capture_output=True, check=True).stdout)
    assert [name for name in ("ssh of the live site", *gateways) if here[name] != "reached"] == []
    save(lab, site)
    (chosen,), _ = choose_all(context, [site], parse_at("", context.plan.timezone))
    request = {"site": site.name, "path": site.path, "size": 64 * 1024**2, "memory": 512 * 1024**2}
    with open_client(context.platform.incus, lab.workspace.state, lab.workspace.project) as client:
        # With the versions of a snapshot: the template is that of the other tests.
        template = run_template(context, client, plan, site, chosen.manifest["versions"])
        with running(context, client, template, request) as scratch:
            answer = run_ssh(scratch.workspace, NAME, probe, stdin=stdin, timeout=120)
            found = json.loads(answer.stdout)
            there = run_ssh(
                scratch.workspace, NAME, ["find", "/dev/incus", "/etc/socle/backups", "/etc/socle/vault.pem"]
            )
            config = client.get_instance(scratch.instance)
    assert [name for name, answer in found.items() if answer == "reached"] == []
    assert found.keys() == targets.keys()
    assert there.stdout == b"", "nothing of Incus, and no way to a vault"
    assert [one for one in config["devices"].values() if one["type"] == "nic"] == []
    assert find_scratch(lab) == []


def test_what_a_killed_drill_left_is_removed_by_the_next(lab: Lab, site: Site) -> None:
    save(lab, site)
    command = [*SOCLE, "restore", site.association, "--site", site.name, "--into", "scratch"]
    process = subprocess.Popen(
        [*command, "--env", lab.name, "--root", str(lab.root)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while not [name for name in find_scratch(lab) if not name.endswith("-files")] and time.monotonic() < deadline:
        time.sleep(0.3)
    time.sleep(2)
    kill(process)
    left = find_scratch(lab)
    assert left, "killed too early or too late: nothing was left"
    data, said = restore(lab, site.association, "--site", site.name, "--into", "scratch")
    assert data["sites"][0]["verdict"] == "restored"
    assert "removed what a restore that was killed left" in said
    assert find_scratch(lab) == []


def test_an_archive_holds_what_was_saved(lab: Lab, site: Site, tmp_path: Path) -> None:
    write(lab, site, "archive1")
    snapshot = save(lab, site)
    output = tmp_path / "site.tar"
    data, _ = restore(lab, site.association, "--site", site.name, "--into", "archive", "--output", str(output))
    assert (data["snapshot"], data["sha256"]) == (snapshot, hashlib.sha256(output.read_bytes()).hexdigest())
    assert output.stat().st_mode & 0o777 == 0o600
    with tarfile.open(output) as tar:
        names = tar.getnames()
        dump = tar.extractfile(f"{site.name}/database.sql")
        assert dump is not None
        text = dump.read()
        manifest = json.loads(tar.extractfile(f"{site.name}/manifest.json").read())  # type: ignore[union-attr]
        upload = next(name for name in names if name.endswith("/archive1.txt"))
        assert tar.extractfile(upload).read() == b"archive1"  # type: ignore[union-attr]
    assert hashlib.sha256(text).hexdigest() == manifest["database"]["sha256"]
    assert b"archive1" in text
    assert data["files"] == manifest["files"]["count"]


def test_a_site_goes_back_to_a_snapshot_and_forth_to_what_it_was(lab: Lab, site: Site) -> None:
    write(lab, site, "place1")
    wanted = load_content(lab, site)
    snapshot = save(lab, site)
    write(lab, site, "place2")
    lab.ssh(site.host, ["sh", "-c", f"echo planted > {site.path}/wp-content/uploads/planted.txt"])
    later = load_content(lab, site)
    assert later != wanted
    data, said = restore(lab, site.association, "--site", site.name, "--at", snapshot[:12], "--into", "place")
    assert data["sites"][0]["result"] == "restored", said
    assert load_content(lab, site) == wanted
    assert (read(lab, site, "place1"), read(lab, site, "place2")) == (200, 404)
    safety = data["sites"][0]["safety"]
    restore(lab, site.association, "--site", site.name, "--at", safety, "--into", "place")
    assert load_content(lab, site) == later
    assert read(lab, site, "place2") == 200
    # The newest good one is not what the site was before a restore.
    data, _ = restore(lab, site.association, "--site", site.name, "--into", "place", "--dry-run")
    assert data["sites"][0]["snapshot"] == snapshot
    assert load_content(lab, site) == later


@pytest.mark.parametrize(("how", "words"), [("wrong", " at line "), ("cut", "cut at line ")])
def test_a_broken_dump_fails_with_its_line_and_changes_nothing(lab: Lab, site: Site, how: str, words: str) -> None:
    write(lab, site, f"broken{how}")
    good = save(lab, site)
    before = load_content(lab, site)
    bad = lab.ssh(site.host, ["python3", "-I", "-c", _SAVE_BROKEN, site.name, how], timeout=300).strip()
    data, said = restore(lab, site.association, "--site", site.name, "--at", bad, "--into", "place", code=3)
    result = data["sites"][0]
    assert (result["result"], words in result["reason"]) == ("returned", True), result
    assert json.loads(said.strip().splitlines()[-1])["error"].startswith(f"{site.name}: the database"), said
    assert load_content(lab, site) == before
    assert read(lab, site, f"broken{how}") == 200
    data, _ = restore(lab, site.association, "--site", site.name, "--at", bad, "--into", "scratch", code=3)
    assert (data["sites"][0]["verdict"], words in data["sites"][0]["reason"]) == ("failed", True)
    restore(lab, site.association, "--site", site.name, "--at", good, "--into", "place")


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, with all its children."""
    for one in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait(timeout=30)


def test_killed_at_any_moment_a_restore_is_completed_and_nothing_half_is_served(lab: Lab, site: Site) -> None:
    write(lab, site, "kill1")
    upload = time.strftime("/wp-content/uploads/%Y/%m/kill1.txt", time.gmtime())
    assert visit(lab, site).ask(upload).status == 200
    wanted = load_content(lab, site)
    snapshot = save(lab, site)
    write(lab, site, "kill2")
    packet = lab.ssh(site.host, ["mariadb", "-N", "-e", "SELECT @@GLOBAL.max_allowed_packet"])
    chance = random.Random(20261127)  # noqa: S311 moments, not secrets
    cut, safety = 0, ""
    for _ in range(6):
        command = [*SOCLE, "restore", site.association, "--site", site.name, "--at", snapshot, "--into", "place"]
        process = subprocess.Popen(
            [*command, "--env", lab.name, "--root", str(lab.root)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if b"loading the database" in line:
                break
        time.sleep(chance.uniform(0, 3.0))
        lab.ssh(site.host, ["pkill", "-KILL", "-f", "^/usr/bin/python3 /usr/lib/socle/restore"], check=False)
        if process.poll() is None:
            kill(process)
        mark = lab.ssh(site.host, ["cat", f"/var/lib/socle/backups/restoring/{site.name}"], check=False)
        if not mark:
            if cut:
                break  # that one came to its end
            continue
        cut += 1
        safety = safety or json.loads(mark)["safety"]
        assert json.loads(mark)["safety"] == safety, "what was there before all of them"
        # A visitor, a full apply and a night: none of them opens or saves what is not whole.
        assert visit(lab, site).ask("/").status in (0, 403, 502, 503)
        assert visit(lab, site).ask("/wp-content/uploads/").status in (0, 403, 404, 502, 503)
        if cut == 1:
            applied = lab.socle("apply", "--full", "--stage", "sites", check=False)
            assert applied.returncode == 3, applied.stderr
            assert visit(lab, site).ask("/").status in (0, 403, 502, 503)
            assert visit(lab, site).ask(upload).status in (0, 403, 404, 502, 503)
            saved = lab.ssh(site.host, ["/usr/lib/socle/backup", "run", "--json", site.name], check=False)
            assert "restore" in json.loads(saved.splitlines()[-1])["reason"]
    assert cut >= 2, "too few were cut between the mark and the end: too little was tried"
    data, said = restore(lab, site.association, "--site", site.name, "--at", snapshot, "--into", "place")
    assert data["sites"][0]["result"] == "restored", said
    assert load_content(lab, site) == wanted
    assert (read(lab, site, "kill1"), read(lab, site, "kill2")) == (200, 404)
    assert lab.plan("--full") == []
    assert lab.ssh(site.host, ["mariadb", "-N", "-e", "SELECT @@GLOBAL.max_allowed_packet"]) == packet
    # What the first of them saved is what was there before all of them.
    restore(lab, site.association, "--site", site.name, "--at", safety, "--into", "place")
    assert read(lab, site, "kill2") == 200


@pytest.mark.last
def test_a_lost_host_comes_back_with_its_content(built: Lab) -> None:
    """Its snapshots go with it: nothing can go back to them."""
    built.run_forget()
    lab, sites = built, wordpress_sites(built)
    host = sites[0].host
    wanted = {}
    for number, site in enumerate(sites):
        write(lab, site, f"lost{number}")
        wanted[site.name] = load_content(lab, site)
        save(lab, site)
    with lab.client() as client:
        client.set_state(host, "stop", force=True)
        client.delete_instance(host)
        for volume in lab.context().plan.volumes:
            if volume.host == host:
                client.delete_volume(volume.name)
    applied = lab.socle("apply", check=False)
    assert applied.returncode == 3, applied.stderr
    for site in sites:
        assert f"{site.name} on {host}: not installed: it has backups" in applied.stderr
        tables = lab.ssh(host, ["mariadb", "-N", "-e", f"SHOW TABLES FROM {site.database}"])
        assert tables == "", "nothing empty is installed over a site with snapshots"
    data, said = restore(lab, "--all", "--into", "place")
    assert {one["site"]: one["result"] for one in data["sites"]} == {site.name: "restored" for site in sites}, said
    for number, site in enumerate(sites):
        assert load_content(lab, site) == wanted[site.name], site.name
        assert lab.get(f"https://{site.domain}/lost{number}/").status == 200  # type: ignore[union-attr]
    assert lab.plan() == []
    assert lab.plan("--full") == []
    data, _ = restore(lab, "--all", "--into", "place")
    assert data == {"sites": []}
    # The host alone: nothing has to be brought back.
    with lab.client() as client:
        client.set_state(host, "stop", force=True)
        client.delete_instance(host)
    lab.apply()
    assert lab.plan("--full") == []
    # The host, and of its volumes only that of one site's files.
    with lab.client() as client:
        client.set_state(host, "stop", force=True)
        client.delete_instance(host)
        client.delete_volume(sites[0].name)
    for _ in range(2):
        applied = lab.socle("apply", check=False)
        assert applied.returncode == 3, applied.stderr
        assert [site.name for site in sites if f"{site.name} on {host}: not installed" in applied.stderr] == [
            sites[0].name
        ]
    assert visit(lab, sites[0]).ask("/").status in (404, 502, 503)
    data, said = restore(lab, "--all", "--into", "place")
    assert [(one["site"], one["result"]) for one in data["sites"]] == [(sites[0].name, "restored")], said
    for site in sites:
        assert load_content(lab, site) == wanted[site.name], site.name
    assert lab.plan("--full") == []
