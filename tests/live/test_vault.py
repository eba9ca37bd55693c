"""The vault on real hosts: who can open and reach a repository, what escrow opens, and what a lost one leads to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pyrage
import pytest
from pyrage import x25519

from socle.model.plan import Repository
from socle.secrets import ESCROW_FOLDER
from socle.vault.tunnel import tunnel
from tests.live.environment import Lab

NAME = "amis-du-lac"
OTHER = "ecole-du-bourg"


def find_repository(lab: Lab, name: str = NAME) -> Repository:
    return next(one for one in lab.context().plan.repositories if one.name == name)


@contextmanager
def opened(lab: Lab, name: str = NAME) -> Iterator[str]:
    """The URL of a repository, from this machine, while it can be reached."""
    with tunnel(lab.workspace, find_repository(lab, name)) as url:
        yield url


def run_restic(
    lab: Lab, url: str, *arguments: str, user: str = NAME, key: str = "", credential: str = ""
) -> subprocess.CompletedProcess[str]:
    """restic as `user`, with that user's key and credential unless others are given."""
    secrets = lab.context().secrets.repository(user)
    account = f"{user}:{credential or secrets['credential']}"
    address = url.replace("rest:https://", f"rest:https://{account}@")
    command = ["restic", "--repo", address, "--cacert", str(lab.workspace.state / "authority/authority.pem")]
    environment = {**os.environ, "RESTIC_PASSWORD": key or secrets["key"]}
    return subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_an_association_adds_to_its_repository_and_reads_it(scratch: Lab) -> None:
    with opened(scratch) as url:
        assert run_restic(scratch, url, "backup", "/etc/hostname").returncode == 0
        shown = run_restic(scratch, url, "snapshots", "--json")
        assert json.loads(shown.stdout)[-1]["paths"] == ["/etc/hostname"]


@pytest.mark.parametrize(
    ("name", "user", "credential"),
    [(OTHER, NAME, ""), (NAME, NAME, "wrong"), (NAME, OTHER, ""), ("nobody", NAME, "")],
    ids=["another's repository", "a wrong credential", "another's credential", "a repository that is not"],
)
def test_nobody_reaches_what_is_not_theirs(lab: Lab, name: str, user: str, credential: str) -> None:
    with opened(lab) as url:
        address = url.replace(f"/{NAME}/", f"/{name}/")
        result = run_restic(lab, address, "snapshots", user=user, credential=credential)
        assert result.returncode
        assert "401" in result.stderr


def test_a_certificate_of_another_authority_is_refused(lab: Lab) -> None:
    address = find_repository(lab).url.removeprefix("rest:")
    assert "SSL certificate problem" in lab.ssh("web1", ["sh", "-c", f"curl -sS {address} 2>&1; true"])


def test_only_hosts_that_save_reach_the_server(lab: Lab) -> None:
    """The edge faces the Internet: what takes it over must not even see the vault."""
    address = str(lab.context().plan.host("vault1").address)
    knock = ["timeout", "4", "bash", "-c", f"exec 3<>/dev/tcp/{address}/8443 && echo open"]
    assert lab.ssh("web1", knock, check=False) == "open\n"
    assert lab.ssh("edge1", knock, check=False) == ""


def test_ssh_leads_to_the_server_and_to_nothing_else(lab: Lab) -> None:
    found = lab.ssh("vault1", ["sh", "-c", "sshd -T | grep -iE '^(permitopen|allowtcpforwarding)'"]).split("\n")
    address = lab.context().plan.host("vault1").address
    assert sorted(filter(None, found)) == ["allowtcpforwarding local", f"permitopen {address}:8443"]
    assert "allowtcpforwarding no" in lab.ssh("web1", ["sh", "-c", "sshd -T"])


def test_no_key_rests_on_the_vault(lab: Lab) -> None:
    secrets = lab.context().secrets.repository(NAME)
    patterns = "\n".join([secrets["key"], secrets["credential"]])
    places = "/etc /var/lib /var/log /run /tmp /root /srv"
    found = lab.ssh(
        "vault1", ["sh", "-c", f"grep -rlaF -f /dev/stdin {places} 2>/dev/null; true"], stdin=patterns.encode()
    )
    assert found == ""


def test_escrow_opens_what_the_operators_key_is_lost_for(scratch: Lab) -> None:
    sealed = scratch.workspace.secrets / ESCROW_FOLDER / f"{NAME}.age"
    keys = []
    for _ in range(2):  # the second takes the place of the first
        identity = x25519.Identity.from_str(scratch.socle("secrets", "escrow").stdout.split()[-1])
        changes = scratch.apply("--stage", "repositories")
        assert {change["kind"] for change in changes} == {"escrow of repository"}
        keys.append(pyrage.decrypt(sealed.read_bytes(), [identity]).decode())
    assert scratch.plan() == []
    with opened(scratch) as url:
        assert run_restic(scratch, url, "snapshots", key=keys[1]).returncode == 0
        former = run_restic(scratch, url, "snapshots", key=keys[0])
        assert "wrong password" in former.stderr
        assert run_restic(scratch, url, "snapshots").returncode == 0


def test_a_repository_that_is_gone_is_not_made_again_empty(scratch: Lab) -> None:
    path = find_repository(scratch).path
    scratch.ssh("vault1", ["sh", "-c", f"rm -r {path}/*"])
    result = scratch.socle("apply", "--stage", "repositories", check=False)
    assert result.returncode == 3
    assert f"{NAME}: its repository" in result.stderr
    assert "is gone from" in result.stderr
    assert scratch.ssh("vault1", ["ls", path]) == ""
    # The others are as they were.
    with opened(scratch, OTHER) as url:
        assert run_restic(scratch, url, "snapshots", user=OTHER).returncode == 0


@pytest.mark.acceptance
@pytest.mark.last
def test_a_lost_vault_finds_its_repositories_on_their_volumes(scratch: Lab) -> None:
    """Its snapshots go with it, so nothing can go back to what was built."""
    with opened(scratch) as url:
        assert run_restic(scratch, url, "backup", "/etc/hostname").returncode == 0
    with scratch.client() as client:
        client.set_state("vault1", "stop", force=True)
        client.delete_instance("vault1")
    scratch.socle("apply")
    assert scratch.plan() == []
    with opened(scratch) as url:
        shown = run_restic(scratch, url, "snapshots", "--json")
        assert json.loads(shown.stdout)[-1]["paths"] == ["/etc/hostname"]
