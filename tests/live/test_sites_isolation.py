"""One site's hacked code, full disk, full database or broken configuration never reaches another."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from socle.incus.quotas import run_quotas
from socle.model.plan import Site
from tests.live.sites_tools import Hosts, extra_site, preview, run_php, visit, wordpress_sites

PROBES = """
error_reporting(0);
mysqli_report(MYSQLI_REPORT_OFF);
$reached = [
    'volume' => scandir($data['path']) !== false,
    'volume by name' => file_exists("$data[path]/wp-content"),
    'configuration' => file_get_contents("/etc/wordpress/config-$data[name].php") !== false,
    'pool configuration' => file_get_contents("/etc/socle/php/$data[name].conf") !== false,
    'list of sites' => count(array_filter(scandir('/srv/sites') ?: [], fn ($n) => $n === $data['name'])) > 0,
    'pool socket' => (bool) stream_socket_client("unix:///run/socle/$data[name]/php.sock"),
    'files of the database' => scandir("/var/lib/mysql/$data[database]") !== false,
    'index of socle' => scandir('/var/lib/socle/sites') !== false,
    'process' => file_get_contents("/proc/$data[pid]/cmdline") !== false,
    'environment' => file_get_contents("/proc/$data[pid]/environ") !== false,
    'open files' => scandir("/proc/$data[pid]/fd") !== false,
    'signal' => posix_kill($data['pid'], 0),
    'system bus' => (bool) stream_socket_client('unix:///run/dbus/system_bus_socket'),
    'temporary file' => file_exists('/tmp/probe-mark'),
];
$server = mysqli_init();
$link = $server->real_connect('localhost', $data['user'], $data['password'], null, 0, '/run/mysqld/mysqld.sock');
$reached['server'] = $link;
$reached['database'] = $link && (bool) $server->query("SELECT * FROM `$data[database]`.wp_options LIMIT 1");
$names = $link ? array_column($server->query('SHOW DATABASES')->fetch_all(), 0) : [];
$reached['name of the database'] = in_array($data['database'], $names, true);
echo json_encode($reached);
"""
_OPEN_POOL = """
[global]
daemonize = no
error_log = /tmp/open-probe.log
[open]
listen = /run/socle/open-probe/php.sock
listen.mode = 0666
pm = ondemand
pm.max_children = 2
"""


def load_pid(lab: Hosts, site: Site) -> int:
    return int(lab.ssh(site.host, ["systemctl", "show", "-P", "MainPID", site.unit]))


def probe(lab: Any, inside: Site, target: Site, login: Site, socket: str = "") -> dict[str, bool]:
    """What PHP of `inside` reaches of `target`, with the database account of `login`."""
    data = {
        "name": target.name,
        "path": target.path,
        "database": target.database,
        "pid": load_pid(lab, target),
        "user": login.database,
        "password": lab.context().secrets.site(login)["database_password"],
    }
    answer: dict[str, bool] = run_php(lab, inside, PROBES, data, socket)
    return answer


@contextmanager
def open_pool(lab: Any, site: Site) -> Iterator[str]:
    """A pool opened on purpose: the site's own user, without sandbox nor open_basedir."""
    folder, config = "/run/socle/open-probe", "/run/open-probe.conf"
    lab.ssh(site.host, ["install", "-d", "-o", site.name, folder])
    lab.ssh(site.host, ["sh", "-c", f"cat > {config}"], stdin=_OPEN_POOL.encode())
    program = ["php-fpm8.4", "--nodaemonize", "--fpm-config", config]
    start = ["systemd-run", "--unit=open-probe", f"--uid={site.name}", "-p", "Type=notify"]
    try:
        lab.ssh(site.host, [*start, *program])
        yield "open-probe"
    finally:
        lab.ssh(site.host, ["systemctl", "stop", "open-probe"], check=False)
        lab.ssh(site.host, ["rm", "-rf", folder, config, "/tmp/open-probe.log"])


def test_inside_one_site_nothing_of_another_is_in_reach(lab: Any) -> None:
    first, second = wordpress_sites(lab)[:2]
    run_php(lab, second, "echo json_encode(file_put_contents('/tmp/probe-mark', 'x'));")
    reached = probe(lab, first, second, first)
    assert reached.pop("server") is True, "the probe logs in to MariaDB, else it proves nothing"
    assert [name for name, success in reached.items() if success] == []


def test_the_sandbox_holds_without_open_basedir(lab: Any) -> None:
    """The mount namespace and Unix permissions, without PHP's own restriction."""
    first, second = wordpress_sites(lab)[:2]
    path = f"/etc/socle/php/{first.name}.conf"
    kept = lab.ssh(first.host, ["cat", path])
    try:
        lab.ssh(first.host, ["sed", "-i", "/open_basedir/d", path])
        lab.ssh(first.host, ["systemctl", "restart", first.unit])
        reached = probe(lab, first, second, first)
        assert reached.pop("server") is True
        assert [name for name, success in reached.items() if success] == []
    finally:
        lab.ssh(first.host, ["sh", "-c", f"cat > {path}"], stdin=kept.encode())
        lab.ssh(first.host, ["systemctl", "restart", first.unit])


def test_the_same_probes_reach_a_site_opened_on_purpose(lab: Any) -> None:
    second = wordpress_sites(lab)[1]
    with open_pool(lab, second) as socket:
        lab.ssh(second.host, ["sh", "-c", "touch /tmp/probe-mark; chmod 644 /tmp/probe-mark"])
        # Of root's own folders, opening is taking away their protection for a moment.
        lab.ssh(
            second.host,
            ["sh", "-c", "chmod o+rx /var/lib/mysql /var/lib/mysql/wp_* /var/lib/socle /var/lib/socle/sites"],
        )
        lab.ssh(second.host, ["chmod", "o+r", "/srv/sites"])
        try:
            reached = probe(lab, second, second, second, socket)
        finally:
            lab.ssh(second.host, ["rm", "-f", "/tmp/probe-mark"])
            lab.ssh(second.host, ["sh", "-c", "chmod 700 /var/lib/mysql/wp_* /var/lib/socle /var/lib/socle/sites"])
            lab.ssh(second.host, ["sh", "-c", "chmod 755 /var/lib/mysql; chmod 711 /srv/sites"])
    assert [name for name, success in reached.items() if not success] == []


def test_memory_and_processes_of_a_site_are_bounded(lab: Any) -> None:
    first, second = wordpress_sites(lab)[:2]
    code = """
    ini_set('memory_limit', '-1');
    $kept = [];
    for ($i = 0; $i < $data; $i++) { $kept[] = str_repeat(chr($i % 256), 1 << 20); }
    echo json_encode(count($kept));
    """
    assert run_php(lab, first, code, 32) == 32
    with pytest.raises(AssertionError):
        run_php(lab, first, code, 2048)
    assert visit(lab, second).ask("/").status == 200
    assert wait_for(lambda: visit(lab, first).ask("/").status == 200)


def test_a_killed_unit_comes_back_and_others_do_not_notice(lab: Any) -> None:
    first, second = wordpress_sites(lab)[:2]
    lab.ssh(first.host, ["systemctl", "kill", "--signal=SIGKILL", first.unit])
    assert visit(lab, second).ask("/").status == 200
    assert wait_for(lambda: visit(lab, first).ask("/").status == 200)


def test_a_broken_pool_stops_its_site_alone(lab: Any) -> None:
    first, second = wordpress_sites(lab)[:2]
    path = f"/etc/socle/php/{first.name}.conf"
    kept = lab.ssh(first.host, ["cat", path])
    try:
        lab.ssh(first.host, ["sh", "-c", f"echo 'nonsense = [' >> {path}"])
        lab.ssh(first.host, ["systemctl", "restart", first.unit], check=False)
        assert visit(lab, first).ask("/").status in (502, 504)
        assert visit(lab, second).ask("/").status == 200
        lab.ssh(first.host, ["nginx", "-t", "-q"])
    finally:
        lab.ssh(first.host, ["sh", "-c", f"cat > {path}"], stdin=kept.encode())
        lab.ssh(first.host, ["systemctl", "restart", first.unit])
    assert wait_for(lambda: visit(lab, first).ask("/").status == 200)


def test_sites_find_mariadb_again_after_it_restarts(lab: Any) -> None:
    site = wordpress_sites(lab)[0]
    assert visit(lab, site).ask("/").status == 200
    lab.ssh(site.host, ["systemctl", "restart", "mariadb.service"])
    assert wait_for(lambda: visit(lab, site).ask("/").status == 200)


_FILL_VOLUME = """
import errno, os, sys
folder, quota = sys.argv[1], int(sys.argv[2])
size, number, written = 16 << 20, 0, 0
while size >= 4096 and written < 2 * quota:
    number += 1
    try:
        with open(f"{folder}/{number}", "wb") as file:
            written += os.write(file.fileno(), os.urandom(size))
            os.fsync(file.fileno())
    except OSError as error:
        assert error.errno in (errno.EDQUOT, errno.ENOSPC), error
        size //= 4
print(written)
"""
_UPLOAD = """
$written = @file_put_contents("$data/wp-content/uploads/big", random_bytes(8 << 20));
echo json_encode($written === 8 << 20);
"""


def test_a_full_volume_stops_its_site_alone(scratch: Any) -> None:
    """A real volume with its quota, filled by the site's own user."""
    first, *_ = sites = sorted(wordpress_sites(scratch), key=lambda site: site.quota)
    others = [site for site in sites if site is not first]
    # Going back to what was built deletes volumes, after which the pool may have stopped counting.
    run_quotas(scratch.context().platform.incus.pool)
    (size,) = (volume.size for volume in scratch.context().plan.volumes if volume.name == first.name)
    fill = ["runuser", "-u", first.name, "--", "python3", "-", f"{first.path}/wp-content/uploads", str(size)]
    written = int(scratch.ssh(first.host, fill, stdin=_FILL_VOLUME.encode(), timeout=600))
    assert 0 < written <= size, "nothing stopped it"
    assert not run_php(scratch, first, _UPLOAD, first.path)
    assert scratch.get(f"https://{first.domain}/").status == 200
    for site in others:
        assert scratch.get(f"https://{site.domain}/").status == 200, site.name
        assert run_php(scratch, site, _UPLOAD, site.path), site.name
    assert preview(scratch.context(full=True)) == []


_FILL = """
require '/usr/share/wordpress/wp-load.php';
$wpdb->suppress_errors();
$wpdb->query('CREATE TABLE IF NOT EXISTS wp_fill (id INT AUTO_INCREMENT PRIMARY KEY, data LONGBLOB)');
$written = 0;
for ($i = 0; $i < $data; $i++) {
    $written += (int) $wpdb->query("INSERT INTO wp_fill (data) VALUES (REPEAT('x', 1 << 20))");
}
echo json_encode([$written, $wpdb->last_error]);
"""
_EMPTY = """
require '/usr/share/wordpress/wp-load.php';
echo json_encode($wpdb->query('DELETE FROM wp_fill'));
"""


def test_a_full_database_stops_writing_for_its_site_alone(lab: Any) -> None:
    first = wordpress_sites(lab)[0]
    with extra_site(lab, "full-database", 59051, quota=128 * 1024**2, database_quota=32 * 1024**2) as (_, site):
        assert wait_for(lambda: run_php(lab, site, _FILL, 20)[1] != "", 60), "its rights were never taken away"
        written, error = run_php(lab, site, _FILL, 1)
        assert written == 0
        assert "denied" in error
        assert visit(lab, site).ask("/").status == 200, "it may still be read"
        assert run_php(lab, first, _FILL.replace("wp_fill", "wp_other_fill"), 1) == [1, ""]
        lab.ssh(first.host, ["mariadb", "-e", f"DROP TABLE {first.database}.wp_other_fill"])
        journal = lab.ssh(site.host, ["journalctl", "-u", "socle-database-quota", "-o", "cat", "--no-pager"])
        assert f"{site.database}: " in journal
        assert run_php(lab, site, _EMPTY) > 0
        assert wait_for(lambda: run_php(lab, site, _FILL, 1) == [1, ""], 60), "its rights never came back"


def wait_for(condition: Any, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except (AssertionError, json.JSONDecodeError):
            pass
        time.sleep(0.5)
    return False
