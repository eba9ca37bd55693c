"""Things broken on purpose, one at a time, and what an audit must say of each: exactly that.

Each is a context manager: it breaks something of the lab, and mends it when it is left. `expected` are the findings
(`host check`) that name it; `follows` are its consequences, which must be there too: anything else is a mistake.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from socle.audit.checks.web import make_public
from socle.incus.marker import make_marker
from socle.incus.records import make_identifier, run_replace
from socle.load.workspace import Workspace
from socle.model.plan import Plan, Site
from socle.runs.process import run
from socle.stages.hosts_context import load_dns_server
from tests.live.environment import Lab

Breaking = Callable[[Lab, Plan], AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True)
class Break:
    """Something broken. In names of findings, `{site}`, `{other}`, `{domain}` stand for those of the plan,
    `{ipv4}` and `{ipv6}` for the public addresses of its edge."""

    name: str
    hosts: tuple[str, ...]
    """Those whose findings may change: the audit looks at them."""
    broken: Breaking
    expected: frozenset[str]
    follows: frozenset[str] = frozenset()


BREAKS: list[Break] = []


def breaks(
    *expected: str, hosts: tuple[str, ...] = (), follows: tuple[str, ...] = ()
) -> Callable[[Breaking], Breaking]:
    """Declare a break by what must be found."""

    def declare(function: Breaking) -> Breaking:
        looked_at = hosts or tuple(dict.fromkeys(name.split(" ", 1)[0] for name in expected))
        name = function.__name__
        BREAKS.append(Break(name, looked_at, contextmanager(function), frozenset(expected), frozenset(follows)))  # type: ignore[arg-type]
        return function

    return declare


def make_words(plan: Plan) -> dict[str, str]:
    """What the names of findings are filled with."""
    first, second = plan.sites[0], plan.sites[1]
    (ipv4,), (ipv6,) = make_public(plan).values()
    words = {"site": first.name, "other": second.name, "domain": first.domain, "volume": first.name}
    return {**words, "ipv4": ipv4, "ipv6": ipv6}


def fill(names: frozenset[str], plan: Plan) -> set[str]:
    """Names of findings of this plan. `{every}` stands for each site of web1."""
    words, sites = make_words(plan), [site.name for site in plan.sites]
    return {name.format(**words, every=site) for name in names for site in (sites if "{every}" in name else sites[:1])}


def sh(lab: Lab, host: str, script: str, stdin: str = "") -> str:
    return lab.ssh(host, ["sh", "-ec", script], stdin=stdin.encode())


@contextmanager
def kept(lab: Lab, host: str, path: str, then: str = "true") -> Iterator[None]:
    """A file or link that is put back, owner and mode included; then what makes it count."""
    sh(lab, host, f"cp --archive --no-target-directory '{path}' /root/kept")
    try:
        yield
    finally:
        sh(
            lab,
            host,
            f"cp --archive --no-target-directory --remove-destination /root/kept '{path}'; rm /root/kept; {then}",
        )


@contextmanager
def added(lab: Lab, host: str, path: str, content: str, then: str = "true") -> Iterator[None]:
    """A file that was not there; `then` makes it count, and makes its absence count afterwards."""
    try:
        sh(lab, host, f"mkdir -p \"$(dirname '{path}')\"; cat > '{path}'; {then}", content)
        yield
    finally:
        sh(lab, host, f"rm -f '{path}'; rmdir --ignore-fail-on-non-empty \"$(dirname '{path}')\"; {then}")


# What serves.


@breaks("web1 running:nginx", follows=("web1 page:{every}",))
def nginx_stopped(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "web1", "systemctl stop nginx")
    try:
        yield
    finally:
        sh(lab, "web1", "systemctl start nginx")


@breaks("web1 drift:unit socle-{site}.service", follows=("web1 page:{site}", "web1 isolation:{site}"))
def unit_of_a_site_stopped(lab: Lab, plan: Plan) -> Iterator[None]:
    unit = plan.sites[0].unit
    sh(lab, "web1", f"systemctl stop {unit}")
    try:
        yield
    finally:
        sh(lab, "web1", f"systemctl start {unit}")


@breaks("web1 running:wordpress")
def timer_of_tasks_stopped(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "web1", "systemctl stop socle-wordpress-cron.timer")
    try:
        yield
    finally:
        sh(lab, "web1", "systemctl start socle-wordpress-cron.timer")


@breaks("edge1 running:apt-daily-upgrade.timer")
def timer_of_updates_stopped(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "edge1", "systemctl stop apt-daily-upgrade.timer")
    try:
        yield
    finally:
        sh(lab, "edge1", "systemctl start apt-daily-upgrade.timer")


@breaks("edge1 running:prometheus-node-exporter.service", follows=("edge1 metrics",))
def exporter_stopped(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "edge1", "systemctl stop prometheus-node-exporter")
    try:
        yield
    finally:
        sh(lab, "edge1", "systemctl start prometheus-node-exporter")


@breaks("edge1 failed-units")
def unit_failed(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "edge1", "systemd-run --quiet --unit=broken false; sleep 0.5")
    try:
        yield
    finally:
        sh(lab, "edge1", "systemctl reset-failed broken")


@breaks("vault1 running:vault", hosts=("vault1", "web1"), follows=("web1 vault:vault1",))
def vault_stopped(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "vault1", "systemctl stop socle-vault")
    try:
        yield
    finally:
        sh(lab, "vault1", "systemctl start socle-vault")


# What can be reached.


@breaks("edge1 ports:tcp/4444")
def strange_listener(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "edge1", "systemd-run --quiet --unit=strange python3 -m http.server 4444; sleep 1")
    try:
        yield
    finally:
        sh(lab, "edge1", "systemctl stop strange")


@breaks("web1 ports:tcp/4445")
def strange_listener_on_the_loopback(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "web1", "systemd-run --quiet --unit=strange python3 -m http.server --bind 127.0.0.1 4445; sleep 1")
    try:
        yield
    finally:
        sh(lab, "web1", "systemctl stop strange")


@breaks("edge1 firewall", follows=("edge1 ports-outside",))
def firewall_flushed(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "edge1", "nft flush ruleset")
    try:
        yield
    finally:
        sh(lab, "edge1", "systemctl reload nftables")


@breaks("web1 firewall")
def firewall_lets_one_more_in(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "web1", "nft insert rule inet socle input tcp dport 4444 accept")
    try:
        yield
    finally:
        sh(lab, "web1", "systemctl reload nftables")


@contextmanager
def caddy_with(lab: Lab, change: str) -> Iterator[None]:
    """The edge runs a changed configuration, while every file is as it should be."""
    load = "caddy reload --adapter caddyfile --address unix//run/caddy/admin.sock --config"
    try:
        sh(
            lab,
            "edge1",
            f"rm -rf /root/caddy; cp -a /etc/caddy /root/caddy; cd /root/caddy; {change}; {load} Caddyfile",
        )
        yield
    finally:
        sh(lab, "edge1", "rm -rf /root/caddy; systemctl reload caddy")


@breaks("web1 page:{site}")
def hsts_gone(lab: Lab, plan: Plan) -> Iterator[None]:
    with caddy_with(lab, f"sed -i /Strict-Transport/d sites/{plan.sites[0].name}.caddy"):
        yield


@breaks("edge1 certificate:{domain}")
def certificate_of_nobody(lab: Lab, plan: Plan) -> Iterator[None]:
    site = plan.sites[0]
    with caddy_with(lab, rf"sed -i 's|^https://{site.domain} {{|&\n\ttls internal|' sites/{site.name}.caddy"):
        yield


@breaks("web1 redirects:{site}")
def redirect_astray(lab: Lab, plan: Plan) -> Iterator[None]:
    site = plan.sites[0]
    with caddy_with(lab, f"sed -i '0,/redir https:/s/redir https:.*/respond hello/' sites/{site.name}.caddy"):
        yield


@breaks("edge1 unknown-name:{ipv4}", "edge1 unknown-name:{ipv6}")
def any_name_is_answered(lab: Lab, _plan: Plan) -> Iterator[None]:
    with caddy_with(lab, "sed -i 's/error \"misdirected\" 421/respond hello/' Caddyfile"):
        yield


@breaks("web1 doors:{site}")
def door_left_open(lab: Lab, plan: Plan) -> Iterator[None]:
    """nginx runs a changed configuration, while its file is as it should be."""
    site, address = plan.sites[0], plan.host("web1").address
    path, door = f"/etc/socle/nginx/sites/{site.name}.conf", "location = /xmlrpc.php { return 200; }"
    ask = f"curl --silent --output /dev/null --write-out '%{{http_code}}' --header 'Host: {site.domain}'"
    # It reads its files after the reload has ended.
    wait = f'for _ in $(seq 99); do [ "$({ask} http://{address}/xmlrpc.php)" = 200 ] && break; sleep 0.1; done'
    try:
        with kept(lab, "web1", path):
            sh(lab, "web1", f"sed -i 's|^    index index.php;|&\\n    {door}|' {path}; systemctl reload nginx; {wait}")
        yield
    finally:
        sh(lab, "web1", "systemctl reload nginx")


@breaks("outside dns:{domain}")
def record_wrong(lab: Lab, plan: Plan) -> Iterator[None]:
    """The IPv6 address leads elsewhere; visitors fall back to IPv4, so nobody complains."""
    context = lab.context()
    server = load_dns_server(context)
    record = next(one for one in plan.records if one.name == plan.sites[0].domain and one.type == "AAAA")
    state = {"zone": record.zone, "name": record.name, "type": record.type, "ttl": str(record.ttl)}
    state["environment"] = plan.environment
    assert server
    assert make_identifier(record.zone, record.name, record.type)
    try:
        run_replace(server, {**state, "values": ["2001:db8::66"]}, exists=True)
        yield
    finally:
        run_replace(server, {**state, "values": list(record.values)}, exists=True)


# Who gets in.


@breaks("web1 accounts")
def second_root(lab: Lab, _plan: Plan) -> Iterator[None]:
    with kept(lab, "web1", "/etc/passwd"):
        sh(lab, "web1", "echo 'toor:x:0:0::/root:/usr/sbin/nologin' >> /etc/passwd")
        yield


@breaks("edge1 accounts")
def account_with_a_shell(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "edge1", "useradd --system --shell /bin/sh eve")
    try:
        yield
    finally:
        sh(lab, "edge1", "userdel eve")


@breaks("web1 keys")
def key_added(lab: Lab, _plan: Plan) -> Iterator[None]:
    with kept(lab, "web1", "/root/.ssh/authorized_keys"):
        sh(
            lab,
            "web1",
            "echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEeVeEvEeVeEvEeVeEvE eve' >> /root/.ssh/authorized_keys",
        )
        yield


@breaks("edge1 sshd")
def passwords_let_in(lab: Lab, _plan: Plan) -> Iterator[None]:
    with added(
        lab, "edge1", "/etc/ssh/sshd_config.d/00-a.conf", "PasswordAuthentication yes\n", "systemctl reload ssh"
    ):
        yield


@breaks("edge1 sshd")
def keys_elsewhere_for_one_account(lab: Lab, _plan: Plan) -> Iterator[None]:
    """Nothing that holds for everybody changes, and no file of keys."""
    text = "Match User root\n\tAuthorizedKeysFile .ssh/authorized_keys /etc/hidden\n"
    with added(lab, "edge1", "/etc/ssh/sshd_config.d/50-x.conf", text, "systemctl reload ssh"):
        yield


@breaks("edge1 sshd")
def keys_elsewhere_in_the_main_file(lab: Lab, _plan: Plan) -> Iterator[None]:
    with kept(lab, "edge1", "/etc/ssh/sshd_config", "systemctl reload ssh"):
        text = "Match User root\n\tAuthorizedKeysFile .ssh/authorized_keys /etc/hidden\n"
        sh(lab, "edge1", "cat >> /etc/ssh/sshd_config; systemctl reload ssh", text)
        yield


# What is on hosts.


@breaks("web1 drift:file /etc/wordpress/config-{site}.php")
def secret_readable_by_all(lab: Lab, plan: Plan) -> Iterator[None]:
    path = f"/etc/wordpress/config-{plan.sites[0].name}.php"
    sh(lab, "web1", f"chmod 644 {path}")
    try:
        yield
    finally:
        sh(lab, "web1", f"chmod 640 {path}")


@breaks("web1 drift:file /etc/socle/nginx/sites/{site}.conf")
def file_of_a_site_altered(lab: Lab, plan: Plan) -> Iterator[None]:
    path = f"/etc/socle/nginx/sites/{plan.sites[0].name}.conf"
    with kept(lab, "web1", path):
        sh(lab, "web1", f"echo '# by hand' >> {path}")
        yield


@breaks("web1 drift:link /srv/sites/{site}/wp-content/themes/twentytwentyfive")
def theme_leads_elsewhere(lab: Lab, plan: Plan) -> Iterator[None]:
    path = f"/srv/sites/{plan.sites[0].name}/wp-content/themes/twentytwentyfive"
    with kept(lab, "web1", path):
        sh(lab, "web1", f"ln -sfn /usr/share/wordpress/wp-content/themes/./twentytwentyfive {path}")
        yield


@breaks("web1 files:wordpress")
def plugin_of_the_syndicate_gone(lab: Lab, _plan: Plan) -> Iterator[None]:
    path = "/usr/share/socle/wordpress/mu-plugins/socle.php"
    with kept(lab, "web1", path):
        sh(lab, "web1", f"rm {path}")
        yield


@breaks("web1 packages")
def program_altered(lab: Lab, _plan: Plan) -> Iterator[None]:
    path = "/usr/share/wordpress/wp-links-opml.php"
    with kept(lab, "web1", path):
        sh(lab, "web1", f"echo '<?php /* eve */' >> {path}")
        yield


_UPDATE = r"""
mkdir -p /var/tmp/updates; cd /var/tmp/updates
printf 'Package: base-files\nVersion: 9999-1\nArchitecture: all\nFilename: ./x.deb\nSize: 1\n' > Packages
set -- $(sha256sum Packages) $(stat --format=%s Packages)
printf 'Suite: broken-security\nDate: %s\nSHA256:\n %s %s Packages\n' "$(date --utc --rfc-email)" "$1" "$3" > Release
echo 'deb [trusted=yes] file:/var/tmp/updates ./' > /etc/apt/sources.list.d/broken.list
apt-get --quiet update -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/broken.list -o Dir::Etc::sourceparts=/dev/null \
    -o APT::Get::List-Cleanup=false
"""
_NO_UPDATE = "rm -rf /etc/apt/sources.list.d/broken.list /var/tmp/updates /var/lib/apt/lists/_var_tmp_updates_*"


@breaks("edge1 updates")
def update_pending(lab: Lab, _plan: Plan) -> Iterator[None]:
    """From an archive of its own: no network, and every list that was there stays as it is."""
    try:
        sh(lab, "edge1", _UPDATE)
        yield
    finally:
        sh(lab, "edge1", _NO_UPDATE)


@breaks("edge1 update-runs")
def updates_switched_off(lab: Lab, _plan: Plan) -> Iterator[None]:
    with added(lab, "edge1", "/etc/apt/apt.conf.d/99off", 'APT::Periodic::Unattended-Upgrade "0";\n'):
        yield


@breaks("edge1 journal")
def journal_lost_at_restart(lab: Lab, _plan: Plan) -> Iterator[None]:
    path, then = "/etc/systemd/journald.conf.d/99-off.conf", "systemctl restart systemd-journald; journalctl --flush"
    with added(lab, "edge1", path, "[Journal]\nStorage=volatile\n", then):
        yield


@breaks("edge1 clock")
def time_zone_elsewhere(lab: Lab, _plan: Plan) -> Iterator[None]:
    with kept(lab, "edge1", "/etc/localtime"):
        sh(lab, "edge1", "ln -sfn /usr/share/zoneinfo/Pacific/Auckland /etc/localtime")
        yield


@breaks("web1 installed:nginx")
def package_removed(lab: Lab, _plan: Plan) -> Iterator[None]:
    """By dpkg's records alone: every file is still there."""
    path = "/var/lib/dpkg/status"
    with kept(lab, "web1", path):
        removed = "Status: deinstall ok config-files"
        sh(lab, "web1", f"sed -i '/^Package: nginx$/,/^$/ s/^Status: .*/{removed}/' {path}")
        yield


@breaks("edge1 reboot")
def restart_due(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "edge1", "touch /run/reboot-required")
    try:
        yield
    finally:
        sh(lab, "edge1", "rm /run/reboot-required")


@breaks("controller secrets")
def secret_of_the_controller_readable(lab: Lab, _plan: Plan) -> Iterator[None]:
    path = next(lab.workspace.secrets.glob("*.age"))
    path.chmod(0o644)
    try:
        yield
    finally:
        path.chmod(0o600)


# Backups.


@breaks("web1 backup:{site}")
def file_of_nobody_in_a_repository(lab: Lab, plan: Plan) -> Iterator[None]:
    repository = plan.repository(plan.sites[0].association)
    assert repository
    path = f"{repository.path}/locks/broken"
    sh(lab, repository.host, f"touch {path}")
    try:
        yield
    finally:
        sh(lab, repository.host, f"rm {path}")


@breaks("web1 nights", "web1 overrides")
def nights_without_saves(lab: Lab, _plan: Plan) -> Iterator[None]:
    """systemd knows the last run of this timer by the time of a file; what was missed is not made up for."""
    stamp, timer = "/var/lib/systemd/timers/stamp-socle-backup.timer", "socle-backup.timer"
    path, text = f"/etc/systemd/system/{timer}.d/broken.conf", "[Timer]\nOnCalendar=\nOnCalendar=2099-01-01\n"
    restart = f"systemctl daemon-reload; systemctl restart {timer}"
    # The file is put back before the timer that looks at it starts again.
    with added(lab, "web1", path, text, restart), kept(lab, "web1", stamp):
        sh(lab, "web1", f"touch --date='3 days ago' {stamp}; systemctl restart {timer}")
        yield


# Isolation.


def _drop_in(lab: Lab, site: Site, text: str) -> AbstractContextManager[None]:
    then = f"systemctl daemon-reload; systemctl restart {site.unit}"
    return added(lab, site.host, f"/etc/systemd/system/{site.unit}.d/evil.conf", f"[Service]\n{text}\n", then)


@breaks("web1 isolation:{site}", "web1 overrides")
def temporary_files_of_all(lab: Lab, plan: Plan) -> Iterator[None]:
    with _drop_in(lab, plan.sites[0], "PrivateTmp=no\nBindPaths=/tmp"):
        yield


@breaks("web1 isolation:{site}", "web1 overrides")
def processes_of_all_are_seen(lab: Lab, plan: Plan) -> Iterator[None]:
    with _drop_in(lab, plan.sites[0], "ProtectProc=default\nProcSubset=all"):
        yield


@breaks("web1 isolation:{site}", "web1 overrides")
def configuration_of_all_is_seen(lab: Lab, plan: Plan) -> Iterator[None]:
    with _drop_in(lab, plan.sites[0], "BindReadOnlyPaths=/etc/wordpress"):
        yield


@breaks("web1 isolation:{site}", "web1 overrides")
def filter_of_system_calls_gone(lab: Lab, plan: Plan) -> Iterator[None]:
    weak = "SystemCallFilter=\nRestrictAddressFamilies=\nRestrictNamespaces=no\nRestrictRealtime=no\nLockPersonality=no"
    more = "RestrictSUIDSGID=no\nProtectClock=no\nProtectHostname=no\nProtectKernelLogs=no\nProtectKernelModules=no"
    rest = "SystemCallArchitectures=\nPrivateDevices=no\nProtectKernelTunables=no\nMemoryDenyWriteExecute=no"
    with _drop_in(lab, plan.sites[0], f"{weak}\n{more}\n{rest}"):
        yield


@breaks("web1 isolation:{site}")
def memory_without_limit(lab: Lab, plan: Plan) -> Iterator[None]:
    """In the kernel alone: systemd still says that all is well."""
    site = plan.sites[0]
    old, new = f"memory/system.slice/{site.unit}/memory.limit_in_bytes", f"system.slice/{site.unit}/memory.max"
    script = "cd /sys/fs/cgroup; if [ -e {old} ]; then echo {a} > {old}; else echo {b} > {new}; fi"
    sh(lab, site.host, script.format(old=old, new=new, a=-1, b="max"))
    try:
        yield
    finally:
        sh(lab, site.host, script.format(old=old, new=new, a=site.memory, b=site.memory))


@breaks("web1 isolation:{site}", "web1 databases")
def right_to_read_anothers_users(lab: Lab, plan: Plan) -> Iterator[None]:
    one, other = plan.sites[0].database, plan.sites[1].database
    rights = f"ON {other}.wp_users {{}} '{one}'@'localhost';"
    sh(lab, "web1", "mariadb", f"GRANT SELECT {rights.format('TO')}")
    try:
        yield
    finally:
        sh(lab, "web1", "mariadb", f"REVOKE SELECT {rights.format('FROM')}")


@breaks("web1 databases")
def account_from_anywhere(lab: Lab, _plan: Plan) -> Iterator[None]:
    sh(lab, "web1", "mariadb -e \"CREATE USER eve@'%' IDENTIFIED BY 'x'\"")
    try:
        yield
    finally:
        sh(lab, "web1", "mariadb -e \"DROP USER eve@'%'\"")


# Volumes and Incus.


@breaks("web1 mounted:{site}")
def volume_read_only(lab: Lab, plan: Plan) -> Iterator[None]:
    path = plan.sites[0].path
    sh(lab, "web1", f"mount -o remount,bind,ro {path}")
    try:
        yield
    finally:
        sh(lab, "web1", f"mount -o remount,bind,rw {path}")


@breaks("web1 quota:{site}")
def quota_changed_in_incus(lab: Lab, plan: Plan) -> Iterator[None]:
    (volume,) = (one for one in plan.volumes if one.name == plan.sites[0].name)
    assert volume.size
    with lab.client() as client:
        client.update_volume(volume.name, {"size": str(2 * volume.size)})
        try:
            yield
        finally:
            client.update_volume(volume.name, {"size": str(volume.size)})


@breaks("web1 quota:{site}")
def quota_lifted_in_the_kernel(lab: Lab, plan: Plan) -> Iterator[None]:
    """Incus still shows it."""
    (volume,) = (one for one in plan.volumes if one.name == plan.sites[0].name)
    path = _pool_path(lab.workspace, lab, volume.name)
    run(["btrfs", "qgroup", "limit", "none", path], timeout=30)
    try:
        yield
    finally:
        run(["btrfs", "qgroup", "limit", str(volume.size), path], timeout=30)


def _pool_path(workspace: Workspace, lab: Lab, volume: str) -> str:
    pool = lab.context().platform.incus.pool
    return f"/var/lib/incus/storage-pools/{pool}/custom/{workspace.project}_{volume}"


_FILL = "head --bytes={bytes} /dev/urandom > {path}/wp-content/uploads/fill; sync --file-system {path}"


@breaks("web1 space:{site}")
def volume_nearly_full(lab: Lab, plan: Plan) -> Iterator[None]:
    site = plan.sites[0]
    (volume,) = (one for one in plan.volumes if one.name == site.name)
    assert volume.size
    try:
        sh(lab, "web1", _FILL.format(bytes=int(0.97 * volume.size), path=site.path))
        yield
    finally:
        sh(lab, "web1", f"rm -f {site.path}/wp-content/uploads/fill; sync --file-system {site.path}")


@breaks("edge1 drift:host edge1")
def memory_of_a_host_changed(lab: Lab, plan: Plan) -> Iterator[None]:
    with lab.client() as client:

        def set_memory(value: int) -> None:
            with client.editing_instance("edge1") as body:
                body["config"]["limits.memory"] = str(value)

        set_memory(2 * plan.host("edge1").memory)
        try:
            yield
        finally:
            set_memory(plan.host("edge1").memory)


@breaks("controller orphans:wp-stray")
def volume_that_no_plan_names(lab: Lab, plan: Plan) -> Iterator[None]:
    with lab.client() as client:
        client.create_volume("wp-stray", {**make_marker(plan.environment, "volume:wp-stray"), "size": "64MiB"})
        try:
            yield
        finally:
            client.delete_volume("wp-stray")


def describe(found: set[str]) -> str:
    return json.dumps(sorted(found), indent=1)
