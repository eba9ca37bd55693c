"""SSH keys and the files that every tool reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from socle.ssh import (
    make_host_folder,
    render_config,
    render_known_hosts,
    run_make_controller_key,
    run_make_host_key,
    run_write_client,
)


def read_public(path: Path) -> str:
    """The public half as OpenSSH itself derives it."""
    command = ["ssh-keygen", "-y", "-f", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    first = run_make_controller_key(tmp_path, "lab-abcd")
    path = tmp_path / "id_ed25519"
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.split()[:2] == read_public(path).split()[:2]
    assert first.endswith(" socle@lab-abcd")
    assert run_make_controller_key(tmp_path, "lab-abcd") == first


def test_a_lost_public_half_is_made_again(tmp_path: Path) -> None:
    first = run_make_host_key(tmp_path, "web1")
    folder = make_host_folder(tmp_path, "web1")
    (folder / "ssh_host_ed25519_key.pub").unlink()
    assert run_make_host_key(tmp_path, "web1") == first


def test_hosts_have_keys_of_their_own(tmp_path: Path) -> None:
    assert run_make_host_key(tmp_path, "web1").split()[1] != run_make_host_key(tmp_path, "web2").split()[1]


def test_known_hosts_is_whole() -> None:
    keys = {"web1": "ssh-ed25519 BBBB web1", "edge1": "ssh-ed25519 AAAA edge1"}
    addresses = {"web1": "10.1.2.11", "edge1": "10.1.2.10", "new": "10.1.2.12"}
    assert render_known_hosts(addresses, keys) == (
        "# Written by socle. Changes made here are lost.\n"
        "edge1,10.1.2.10 ssh-ed25519 AAAA\n"
        "web1,10.1.2.11 ssh-ed25519 BBBB\n"
    )


def test_config_leaves_nothing_to_the_persons_own() -> None:
    assert render_config({"web1": "10.1.2.11"}, Path("/state/ssh")) == (
        "# Written by socle. Changes made here are lost.\n"
        "\n"
        "Host web1 10.1.2.11\n"
        "  HostName 10.1.2.11\n"
        "  User root\n"
        "  IdentityFile /state/ssh/id_ed25519\n"
        "  IdentitiesOnly yes\n"
        "  UserKnownHostsFile /state/ssh/known_hosts\n"
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  HostKeyAlgorithms ssh-ed25519\n"
        "  PasswordAuthentication no\n"
        "  ConnectTimeout 10\n"
        "  ServerAliveInterval 15\n"
        "  ServerAliveCountMax 4\n"
    )


def test_ssh_reads_it_so(tmp_path: Path) -> None:
    run_make_host_key(tmp_path, "web1")
    run_write_client(tmp_path, {"web1": "10.1.2.11"})
    command = ["ssh", "-G", "-F", str(tmp_path / "config"), "web1"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    wanted = {"hostname 10.1.2.11", "user root", "stricthostkeychecking true", "identitiesonly yes"}
    assert wanted <= set(lines)


@pytest.mark.parametrize("again", [{"web1": "10.1.2.11"}, {}])
def test_files_change_only_with_their_content(again: dict[str, str], tmp_path: Path) -> None:
    assert run_write_client(tmp_path, {"web1": "10.1.2.11"})
    assert not run_write_client(tmp_path, again)
