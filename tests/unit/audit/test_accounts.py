"""Who may log in: each kind of stranger is named."""

from __future__ import annotations

import pytest

from socle.audit.checks import accounts
from socle.audit.finding import Status
from tests.unit.audit.scenes import by_name, run_checks

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
wp-ecole:x:20000:20000::/srv/sites/wp-ecole:/usr/sbin/nologin
wp-amis:x:20001:20001::/srv/sites/wp-amis:/usr/sbin/nologin
"""


def run(passwd: str = PASSWD, group: str = "sudo:x:27:\n", shadow: str = "") -> str:
    def web(command: str) -> str:
        return passwd if "passwd" in command else group if "group" in command else shadow

    answers = {"web1": web, "edge1": lambda command: PASSWD if "passwd" in command else ""}
    found = by_name(run_checks(accounts.accounts_are_those_declared, answers=answers))["web1 accounts"]
    return "" if found.status is Status.PASSED else found.evidence


def test_declared_accounts_pass() -> None:
    assert run() == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("toor:x:0:0::/root:/usr/sbin/nologin", "toor is root (uid 0)"),
        ("eve:x:900:900::/home/eve:/bin/sh", "eve (uid 900) has a shell, /bin/sh"),
        ("eve:x:900:900::/home/eve:", "eve (uid 900) has a shell, the default one"),
        ("eve:x:1001:1001::/home/eve:/usr/sbin/nologin", "eve (uid 1001) is nobody's that the plan knows"),
    ],
)
def test_strangers_are_named(line: str, words: str) -> None:
    assert run(f"{PASSWD}{line}\n") == words


def test_a_site_with_anothers_number_is_named() -> None:
    assert run(PASSWD.replace("20001:20001", "20000:20000")) == "wp-amis has uid 20000, expected 20001"


def test_root_has_its_home() -> None:
    assert run(PASSWD.replace(":/root:", ":/tmp/eve:")) == "root's home is /tmp/eve, expected /root"


def test_groups_and_passwords_are_looked_at() -> None:
    group = "root:x:0:alix\nsudo:x:27:wp-amis\nsocle-operators:x:999:eve\n"
    assert run(group=group, shadow="eve\n") == (
        "alix is in the group root; wp-amis is in the group sudo; "
        "eve is in socle-operators and is no operator; eve has a password"
    )


GIVEN = {
    "users_root_keys": ["ssh-ed25519 AAAAroot socle@lab"],
    "users_operators": [{"name": "alix", "ssh_keys": ["ssh-ed25519 AAAAalix a"]}],
}
KEYS = """\
/root/.ssh/authorized_keys:# Managed by socle (roles/users): changes by hand are overwritten.
/root/.ssh/authorized_keys:ssh-ed25519 AAAAroot socle@lab
/etc/ssh/authorized_keys.d/alix:ssh-ed25519 AAAAalix a
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (KEYS, ""),
        (f'{KEYS}/root/.ssh/authorized_keys:from="10.0.0.1" ssh-rsa AAAAevil eve\n', "not declared: /root/"),
        (f"{KEYS}/root/.ssh/authorized_keys2:ssh-ed25519 AAAAroot x\n", "authorized_keys2"),
        (KEYS.replace("AAAAalix", "AAAAother"), "not declared: /etc/ssh/authorized_keys.d/alix"),
        ("", "declared, and not there"),
    ],
)
def test_keys_are_exactly_those_declared(text: str, words: str) -> None:
    facts = {"baseline": lambda: dict.fromkeys(("edge1", "web1"), GIVEN)}
    answers = {"web1": lambda _: text, "edge1": lambda _: KEYS}
    found = by_name(run_checks(accounts.keys_are_those_declared, answers=answers, facts=facts))["web1 keys"]
    assert (found.status is Status.PASSED) == (not words)
    assert words in found.evidence
