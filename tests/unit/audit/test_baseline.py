"""What every host has: each judgement passes on what a good host says, and fails on one thing changed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from socle.audit.answers import Answer
from socle.audit.check import Check
from socle.audit.checks import baseline
from socle.audit.finding import Finding, Status
from tests.unit.audit.scenes import NOW, by_name, run_checks

GIVEN = {"sshd_penalty_exempt": ["10.64.2.1/32"]}


def judge(one: Check, answers: Mapping[str, Answer | str], lab: bool = True) -> Finding:
    """The finding on web1 when it answers so: by the beginning of the command."""

    def host(command: str) -> Answer | str:
        given = {**answers, "uname": "Linux\n"}
        return next((answer for start, answer in given.items() if command.startswith(start)), Answer(1))

    facts = {"baseline": lambda: dict.fromkeys(("edge1", "web1"), GIVEN)}
    return by_name(run_checks(one, answers={"edge1": host, "web1": host}, facts=facts, lab=lab))[f"web1 {one.kind}"]


SSHD = "passwordauthentication no\nallowgroups root\nallowgroups socle-operators\nport 22\n"


GOOD = {"sshd -T -f": SSHD, "sshd -T": SSHD, "find /etc/ssh": "", "cmp": ""}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sshd -T": SSHD.replace("port 22", "port 2222")}, ""),  # not ours to say
        (
            {"sshd -T": SSHD.replace("authentication no", "authentication yes")},
            "for root: passwordauthentication: yes, expected no",
        ),
        ({"sshd -T": SSHD.replace("allowgroups socle-operators\n", "")}, "root, expected root socle-operators"),
        ({"sshd -T -C user=alix": f"{SSHD}forcecommand /bin/sh\n"}, "for alix: forcecommand: /bin/sh, expected none"),
        ({"sshd -T": f"{SSHD}authorizedkeyscommand /evil\n"}, "authorizedkeyscommand: /evil, expected none"),
        ({"sshd -T": Answer(255, "", "bad configuration")}, "not checked: sshd -T: bad configuration"),
        ({"find /etc/ssh": "/etc/ssh/sshd_config.d/50-x.conf\n"}, "not declared: /etc/ssh/sshd_config.d/50-x.conf"),
        ({"find /etc/ssh": Answer(1, "", "no such folder")}, "not checked: no such folder"),
        ({"cmp": Answer(1)}, "/etc/ssh/sshd_config is not the one of its package"),
    ],
)
def test_sshd_is_what_the_role_says_for_each_who_may_log_in(changed: Mapping[str, Answer | str], words: str) -> None:
    # In this order: what is asked of one person before what is asked of all.
    found = judge(baseline.sshd_is_as_declared, {"sshd -T -f": SSHD, **changed, **GOOD, **changed})
    assert (found.status is Status.PASSED) == (not words), found
    assert words in found.evidence


def test_settings_are_those_of_each_person_and_what_was_not_compared_is_told() -> None:
    found = judge(baseline.sshd_is_as_declared, {**GOOD, "cmp": Answer(2)})
    assert found.status is Status.PASSED
    assert "as declared for root, alix; " in found.evidence
    assert "sshd_config not compared" in found.evidence


def test_keywords_end_at_the_first_match() -> None:
    text = "# Keys\nHostKey /etc/k\nUseDNS no\n\nMatch Group x\n\tAuthorizedKeysFile /y\n"
    assert baseline.parse_keywords(text) == ["hostkey", "usedns"]


UPGRADABLE = """\
Listing...
curl/stable-security 8.14.1-2+deb13u2 amd64 [upgradable from: 8.14.1-2]
libc6/stable 2.41-12 amd64 [upgradable from: 2.41-11]
"""


NONE = "Listing...\n"


def _list(valid: float | None, written: float = 0, date: float = -86400) -> str:
    """What is read of a list, with its times from now in seconds; `valid` None: it does not say."""
    lines = [f"File: {NOW + written:.0f} /var/lib/apt/lists/x_dists_trixie-security_InRelease"]
    lines += [f"Date: {format_datetime(datetime.fromtimestamp(NOW + date, UTC))}"]
    if valid is not None:
        # As the archive writes it.
        lines += [f"Valid-Until: {datetime.fromtimestamp(NOW + valid, UTC):%a, %d %b %Y %H:%M:%S UTC}"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("upgradable", "lists", "status", "words"),
    [
        (NONE, _list(5 * 86400), Status.PASSED, "list of 2027-01-14 08:00 UTC, valid until 2027-01-20 08:00 UTC"),
        (NONE, _list(5 * 86400, -9 * 86400), Status.PASSED, "valid until 2027-01-20"),
        (UPGRADABLE, _list(5 * 86400), Status.FAILED, "1 pending: curl"),
        (UPGRADABLE, _list(-3600), Status.FAILED, "1 pending: curl"),
        # A failed attempt may have touched it just now.
        (NONE, _list(-3600, written=-60), Status.NOT_CHECKED, "valid until 2027-01-15 07:00 UTC"),
        (NONE, _list(5 * 86400) + _list(-3600), Status.NOT_CHECKED, "valid until 2027-01-15 07:00 UTC"),
        (NONE, _list(None, written=-86400), Status.PASSED, "valid until 2027-01-16 08:00 UTC (two days after"),
        (NONE, _list(None, written=-3 * 86400), Status.NOT_CHECKED, "valid until 2027-01-14"),
        (NONE, "", Status.NOT_CHECKED, "no list of a security archive"),
        (NONE, Answer(2, "", "no shell"), Status.FAILED, "not checked: "),
    ],
)
def test_pending_updates_by_what_the_archive_says(
    upgradable: str, lists: Answer | str, status: Status, words: str
) -> None:
    found = judge(baseline.no_security_update_is_pending, {"for file in": lists, "apt list": upgradable})
    assert (found.status, words in found.evidence) == (status, True), found


def test_old_lists_are_a_failure_but_in_a_lab() -> None:
    answers = {"for file in": _list(-3600), "apt list": NONE}
    found = judge(baseline.no_security_update_is_pending, answers, lab=False)
    assert (found.status, "fresh-package-lists" in found.evidence) == (Status.FAILED, True), found


def test_lists_are_read_where_they_are(tmp_path: Path) -> None:
    """The command itself, on files as apt keeps them."""
    name = "deb.debian.org_debian-security_dists_trixie-security"
    text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nDate: Wed, 25 Nov 2026 02:22:30 UTC\n"
    (tmp_path / f"{name}_InRelease").write_text(f"{text}Valid-Until: Wed, 02 Dec 2026 02:22:30 UTC\nSHA256:\n")
    (tmp_path / f"{name}_main_binary-amd64_Packages").write_text("Date: never\n")
    (tmp_path / "deb.debian.org_debian_dists_trixie_InRelease").write_text("Date: never\n")
    (tmp_path / "partial").mkdir()
    command = baseline._LISTS.replace("/var/lib/apt/lists", str(tmp_path))
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    (found,) = baseline.parse_lists(shown)
    assert found.path == f"{tmp_path}/{name}_InRelease"
    assert found.describe() == "of 2026-11-25 02:22 UTC, valid until 2026-12-02 02:22 UTC"


def _last(ago: int) -> str:
    return json.dumps([{"next": 1, "last": int((NOW - ago) * 1e6), "unit": "apt-daily-upgrade.timer"}])


PERIODIC = "".join(f'APT::Periodic::{word} "1";\n' for word in ("Enable", "Update-Package-Lists", "Unattended-Upgrade"))


@pytest.mark.parametrize(
    ("periodic", "last", "up", "words"),
    [
        (PERIODIC, _last(3600), 9e5, ""),
        (PERIODIC, "[]", 3600, ""),
        (PERIODIC, "[]", 9e5, "never ran"),
        (PERIODIC, _last(3 * 86400), 9e5, "last run 3.0 days ago"),
        (PERIODIC.replace('Upgrade "1"', 'Upgrade "0"'), "[]", 3600, "Unattended-Upgrade is not 1"),
    ],
)
def test_updates_run_every_day(periodic: str, last: str, up: float, words: str) -> None:
    origins = "origin=Debian,codename=trixie-security,label=Debian-Security"
    answers = {"apt-config dump APT": periodic, "apt-config dump Un": origins, "systemctl": last, "cat": f"{up} 1"}
    found = judge(baseline.updates_run_by_themselves, answers)
    assert (found.status is Status.PASSED) == (not words)
    assert words in found.evidence


CLOCK = {
    "date": f"{NOW:.0f}",
    "readlink": "/usr/share/zoneinfo/Europe/Paris",
    "timedatectl": "yes",
    "systemd-detect-virt": Answer(1, "none"),
}


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({}, Status.PASSED, "NTPSynchronized=yes"),
        ({"systemd-detect-virt": Answer(0, "lxc")}, Status.NOT_CHECKED, "container"),
        ({"systemd-detect-virt": Answer(0, "lxc"), "date": f"{NOW - 86400:.0f}"}, Status.FAILED, "86400 s away"),
        ({"timedatectl": "no"}, Status.FAILED, "NTPSynchronized=no"),
        ({"readlink": "/usr/share/zoneinfo/Etc/UTC"}, Status.FAILED, "expected Europe/Paris"),
    ],
)
def test_the_clock(changed: Mapping[str, Answer | str], status: Status, words: str) -> None:
    found = judge(baseline.clock_is_right, {**CLOCK, **changed})
    assert (found.status, words in found.evidence) == (status, True), found


JOURNAL = {"systemd-analyze": "[Journal]\n#SystemMaxUse=1G\nSystemMaxUse=500M\n", "find": "2\n", "du": "9000000\t/x"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"find": "0\n"}, "journald writes no file"),
        ({"du": f"{700 * 2**20}\t/x"}, "it takes 700 MiB, bound 500 MiB"),
        ({"systemd-analyze": "[Journal]\n"}, "no bound"),
    ],
)
def test_the_journal(changed: Mapping[str, str], words: str) -> None:
    found = judge(baseline.journal_is_kept, {**JOURNAL, **changed})
    assert (found.status is Status.PASSED) == (not words)
    assert words in found.evidence


def test_metrics_restarts_and_failed_units() -> None:
    assert judge(baseline.metrics_are_given, {"python3": "600\n"}).status is Status.PASSED
    assert judge(baseline.metrics_are_given, {"python3": Answer(1, "", "refused")}).evidence.endswith("refused")
    assert judge(baseline.no_restart_is_due, {}).status is Status.PASSED
    assert judge(baseline.no_restart_is_due, {"test -e": ""}).status is Status.FAILED
    assert judge(baseline.no_unit_failed, {"systemctl": "\n"}).status is Status.PASSED
    failed = judge(baseline.no_unit_failed, {"systemctl": "x.service loaded failed failed X\n"})
    assert failed.evidence == "failed: x.service"


@pytest.mark.parametrize(("active", "enabled"), [(0, 0), (3, 0), (0, 1), (3, 1)])
def test_what_keeps_a_host_safe_runs_and_is_enabled(active: int, enabled: int) -> None:
    def host(command: str) -> Answer | str:
        if command.startswith("systemctl is-active"):
            return Answer(active)
        if command.startswith("systemctl is-enabled"):
            return Answer(enabled, "disabled\n" if enabled else "enabled\n")
        return "Linux\n" if command.startswith("uname") else ""

    found = run_checks(baseline.baseline_runs, answers={"edge1": host, "web1": host})
    assert len(found) == 2 * 7
    assert {one.status for one in found} == {Status.PASSED if active == enabled == 0 else Status.FAILED}
