"""What the baseline promises, asked of the host itself and of a stranger beside it."""

# ruff: noqa: S101 (asserting is what a test does)

import subprocess
import time
from collections.abc import Iterator

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://host"]

DECLARED = (8080, 8090, 8091)
UNDECLARED = (8081, 8082, 9100)
LISTENER = """
import socket, threading, time
def serve(port):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        server.accept()[0].close()
for port in (8080, 8081, 8082, 8090, 8091):
    threading.Thread(target=serve, args=(port,), daemon=True).start()
time.sleep(600)
"""
PROBE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()
except OSError:
    sys.exit(7)
"""


def run_as_stranger(host: Host, address: str, port: int) -> bool:
    """Whether the stranger gets a TCP connection to the address and port."""
    project = host.ansible.get_variables()["baseline_project"]
    argv = [
        "incus",
        "exec",
        f"--project={project}",
        "stranger",
        "--",
        "python3",
        "-c",
        PROBE,
        address,
        str(port),
    ]
    code = subprocess.run(argv, timeout=30, check=False).returncode
    assert code in (0, 7), f"the probe itself failed: {code}"
    return code == 0


def addresses(host: Host) -> tuple[str, str]:
    """The host's IPv4 and IPv6 address."""
    variables = host.ansible.get_variables()
    return variables["ansible_host"], variables["baseline_address6"]


def run_ssh(host: Host, user: str, key: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Log in from the controller with a key of the scenario, and say who one is."""
    variables = host.ansible.get_variables()
    folder = variables["baseline_folder"]
    argv = ["ssh", "-i", f"{folder}/{key}", "-o", f"UserKnownHostsFile={folder}/known_hosts"]
    argv += ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ControlPath=none", *options]
    argv += [f"{user}@{variables['ansible_host']}", "sudo -n id -un || id -un"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def listeners(host: Host) -> Iterator[None]:
    """Something listens on every port that is probed, so that only the firewall can refuse."""
    host.run("systemctl stop listeners; systemctl reset-failed listeners")
    assert host.run("systemd-run --unit=listeners /usr/bin/python3 -c %s", LISTENER).rc == 0
    deadline = time.monotonic() + 20
    while not host.socket("tcp://:::8091").is_listening and time.monotonic() < deadline:
        time.sleep(0.3)
    yield
    host.run("systemctl stop listeners")


@pytest.mark.usefixtures("listeners")
@pytest.mark.parametrize("port", DECLARED)
def test_declared_port_is_let_in(host: Host, port: int) -> None:
    assert [run_as_stranger(host, address, port) for address in addresses(host)] == [True, True]


@pytest.mark.usefixtures("listeners")
@pytest.mark.parametrize("port", UNDECLARED)
def test_undeclared_port_is_refused(host: Host, port: int) -> None:
    assert [run_as_stranger(host, address, port) for address in addresses(host)] == [False, False]


def test_ssh_is_refused_to_strangers(host: Host) -> None:
    assert [run_as_stranger(host, address, 22) for address in addresses(host)] == [False, False]


@pytest.mark.usefixtures("listeners")
def test_probe_sees_an_open_firewall(host: Host) -> None:
    """The refusals above come from the rules: without them the same probe connects."""
    try:
        # The whole table at once: flushing the chain would leave its policy, and shut out this very test.
        assert host.run("nft delete table inet socle").rc == 0
        seen = [run_as_stranger(host, address, 8081) for address in addresses(host)]
    finally:
        assert host.run("systemctl reload nftables").rc == 0
    assert seen == [True, True]
    assert not run_as_stranger(host, addresses(host)[0], 8081)


def test_faulty_table_of_a_service_leaves_our_rules(host: Host) -> None:
    host.run(
        "echo 'table inet other { chain o { meta skuid \"nobody-here\" drop; }; }' > /etc/nftables.d/x.nft"
    )
    try:
        assert host.run("systemctl reload nftables").rc != 0
        assert "policy drop" in host.check_output("nft list chain inet socle input")
    finally:
        host.run("rm /etc/nftables.d/x.nft")
    assert host.run("systemctl reload-or-restart nftables").rc == 0


def test_table_of_a_service_is_loaded_and_kept(host: Host) -> None:
    host.run("echo 'table inet other { chain o { }; }' > /etc/nftables.d/y.nft")
    try:
        assert host.run("systemctl reload nftables").rc == 0
        assert "table inet other" in host.check_output("nft list tables")
        assert host.run("nft -f /etc/nftables.conf").rc == 0
        assert "table inet other" in host.check_output("nft list tables")
    finally:
        host.run("rm /etc/nftables.d/y.nft; nft delete table inet other")


def test_rules_come_back_with_the_host(host: Host) -> None:
    assert host.service("nftables").is_enabled


def test_operator_logs_in_with_the_declared_key_and_becomes_root(host: Host) -> None:
    assert run_ssh(host, "alix", "operator.key").stdout == "root\n"


def test_other_keys_and_passwords_do_not_log_in(host: Host) -> None:
    assert "Permission denied (publickey)" in run_ssh(host, "alix", "controller.key").stderr
    assert "Permission denied (publickey)" in run_ssh(host, "root", "operator.key").stderr
    passwords = "PreferredAuthentications=password,keyboard-interactive"
    assert "Permission denied (publickey)" in run_ssh(host, "root", "controller.key", "-o", passwords).stderr


def test_operator_cannot_add_keys_of_his_own(host: Host) -> None:
    host.run("install -d -o alix -g alix -m 0700 /home/alix/.ssh")
    host.run("install -o alix -g alix -m 0600 /root/.ssh/authorized_keys /home/alix/.ssh/authorized_keys")
    assert run_ssh(host, "alix", "controller.key").returncode == 255


def test_account_of_a_site_cannot_log_in(host: Host) -> None:
    assert host.run("id -u plain || useradd --create-home --shell /bin/bash --uid 20001 plain").rc == 0
    host.run("install -d -o plain -g plain -m 0700 /home/plain/.ssh")
    host.run("install -o plain -g plain -m 0600 /root/.ssh/authorized_keys /home/plain/.ssh/authorized_keys")
    assert "Permission denied" in run_ssh(host, "plain", "controller.key").stderr


def test_only_the_known_host_key_is_offered(host: Host) -> None:
    assert host.check_output("sshd -T | grep -c ^hostkey\\ ") == "1"
    seen = subprocess.run(
        ["ssh-keyscan", "-T", "5", "-t", "rsa,ecdsa,ed25519", addresses(host)[0]],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    ).stdout.splitlines()
    assert [line.split()[1] for line in seen] == ["ssh-ed25519"]


def test_security_updates_are_what_is_upgraded(host: Host) -> None:
    assert host.service("apt-daily-upgrade.timer").is_running
    output = host.check_output("unattended-upgrade --dry-run --verbose 2>&1")
    allowed = [line for line in output.splitlines() if "Allowed origins are" in line]
    security = "origin=Debian,codename=trixie-security,label=Debian-Security"
    assert [line.rpartition("Allowed origins are: ")[2] for line in allowed] == [security]
    blocked = host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")
    assert '"linux-image-"' in blocked
    assert 'Automatic-Reboot "false"' in host.check_output(
        "apt-config dump Unattended-Upgrade::Automatic-Reboot"
    )


def test_time_zone_and_no_time_daemon_in_a_container(host: Host) -> None:
    assert host.check_output("date --date=2026-01-15T12:00:00Z +%H:%M") == "13:00"
    assert host.run("systemd-detect-virt --container").rc == 0
    assert not host.package("systemd-timesyncd").is_installed


def test_journal_is_on_disk_and_bounded(host: Host) -> None:
    host.run("logger --tag socle-test still-here; journalctl --sync")
    files = host.check_output("journalctl --header | grep ^File.path").splitlines()
    assert any("/var/log/journal/" in line for line in files)
    settings = host.check_output("systemd-analyze cat-config systemd/journald.conf")
    assert "\nSystemMaxUse=500M\n" in settings
    assert "\nForwardToSyslog=no\n" in settings


def test_restic_is_there(host: Host) -> None:
    assert host.check_output("restic version").startswith("restic 0.")


def test_metrics_on_the_management_address_only(host: Host) -> None:
    ipv4 = addresses(host)[0]
    assert [s for s in host.socket.get_listening_sockets() if s.endswith(":9100")] == [f"tcp://{ipv4}:9100"]
    host.run("echo 'socle_test_metric 42' > /var/lib/prometheus/node-exporter/test.prom")
    fetch = (
        f"import urllib.request; print(urllib.request.urlopen('http://{ipv4}:9100/metrics').read().decode())"
    )
    assert "socle_test_metric 42" in host.check_output("python3 -c %s", fetch).splitlines()
    host.run("rm /var/lib/prometheus/node-exporter/test.prom")


def test_nothing_failed(host: Host) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
