"""The doctor: each check sees its problem, and a machine without problems gets no line."""

from __future__ import annotations

import dataclasses
import datetime
import json

import pytest

from socle.doctor import CHECKS, Facts, Severity, check_leftovers, make_problems
from socle.doctor_facts import (
    Leftover,
    Pool,
    load_facts,
    make_expired,
    make_port_holders,
    parse_dropped,
    parse_release,
)
from socle.incus.marker import EXPIRES
from socle.lab.limits import LIMITS

ALL = "0.0.0.0"  # noqa: S104 looked for, not bound
NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC).timestamp()
SOUND = Facts(
    memory_total_mib=8000,
    memory_available_mib=6000,
    disk_free_mib=100_000,
    now=NOW,
    newest_file=NOW - 3600,
    limits=dict(LIMITS),
    engine_version="6.0.4",
    pool=Pool("btrfs", 40_960, 5_000),
    states=(Leftover("lab-1a2b", "/srv/socle"),),
    projects=(Leftover("socle-lab-1a2b"),),
)
# What is changed in a sound machine: the check that must speak, its severity, and words of its message.
FAULTS = [
    ({"user_id": 1000}, "root", Severity.ERROR, "user 1000"),
    ({"release": "bullseye"}, "debian", Severity.ERROR, "bullseye"),
    ({"release": ""}, "debian", Severity.ERROR, "unknown"),
    ({"machine": "aarch64"}, "debian", Severity.ERROR, "aarch64"),
    ({"memory_total_mib": 2000}, "memory", Severity.ERROR, "2000 MiB in all"),
    ({"memory_available_mib": 500}, "memory", Severity.WARNING, "500 MiB available"),
    ({"disk_free_mib": 3000, "pool": None}, "disk", Severity.ERROR, "3000 MiB free"),
    ({"disk_free_mib": 15_000, "pool": None}, "disk", Severity.WARNING, "15000 MiB free"),
    ({"newest_file": NOW + 3 * 86400}, "clock", Severity.ERROR, "3 days before"),
    ({"now": NOW + 5 * 365 * 86400}, "clock", Severity.WARNING, "past its support"),
    ({"limits": dict(LIMITS) | {"kernel.keys.maxkeys": 200}}, "limits", Severity.ERROR, "maxkeys is 200, 2000"),
    ({"missing_programs": ("incusd", "nft")}, "programs", Severity.ERROR, "missing: incusd, nft"),
    ({"missing_devices": ("/dev/fuse",)}, "devices", Severity.ERROR, "/dev/fuse"),
    ({"port_holders": ("UDP port 53 (named)",)}, "ports", Severity.ERROR, "port 53 (named)"),
    ({"forward_dropped_by": ("ip filter FORWARD",)}, "forwarding", Severity.WARNING, "ip filter FORWARD"),
    ({"engine_version": None}, "engine", Severity.WARNING, "does not answer"),
    ({"pool": Pool("dir", 0, 0)}, "pool", Severity.WARNING, "no quota"),
    ({"pool": Pool("btrfs", 40_960, 5_000, counts=False)}, "pool", Severity.WARNING, "stopped counting"),
    ({"pool": Pool("btrfs", 40_960, 39_000)}, "pool", Severity.WARNING, "39000 of 40960"),
    ({"pool": Pool("btrfs", 400_000, 5_000)}, "pool", Severity.WARNING, "promises 395000 MiB more"),
    ({"states": (Leftover("lab-9", "/gone", clone_exists=False),)}, "leftovers", Severity.WARNING, "/gone"),
    ({"projects": (Leftover("socle-x", state_exists=False),)}, "leftovers", Severity.WARNING, "socle-x"),
]


def test_a_sound_machine_has_no_problem() -> None:
    assert make_problems(SOUND) == []


@pytest.mark.parametrize(("change", "check", "severity", "words"), FAULTS)
def test_each_fault_gives_one_line_with_its_remedy(
    change: dict[str, object], check: str, severity: Severity, words: str
) -> None:
    (problem,) = make_problems(dataclasses.replace(SOUND, **change))
    assert (problem.check, problem.severity) == (check, severity)
    assert words in problem.message
    assert problem.remedy
    assert str(problem).count("\n") == 0


def test_every_check_has_a_fault_here() -> None:
    named = {f"check_{check}" for _, check, _, _ in FAULTS}
    assert named == {check.__name__ for check in CHECKS}


def test_errors_come_first() -> None:
    facts = dataclasses.replace(SOUND, engine_version=None, user_id=1000, missing_devices=("/dev/fuse",))
    assert [problem.check for problem in make_problems(facts)] == ["root", "devices", "engine"]


def test_a_limit_that_the_kernel_lacks_is_no_problem() -> None:
    assert make_problems(dataclasses.replace(SOUND, limits={})) == []


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ('ID=debian\nVERSION_CODENAME=trixie\nNAME="x"\n', "trixie"),
        ("VERSION_CODENAME='bookworm'\n", "bookworm"),
        ("ID=arch\n", ""),
    ],
)
def test_parse_release(text: str, release: str) -> None:
    assert parse_release(text) == release


def test_only_chains_that_drop_forwarded_packets_are_named() -> None:
    def chain(name: str, hook: str, policy: str) -> dict[str, object]:
        return {"chain": {"family": "ip", "table": "filter", "name": name, "hook": hook, "policy": policy}}

    chains = [
        {"metainfo": {"version": "1"}},
        chain("FORWARD", "forward", "drop"),
        chain("INPUT", "input", "drop"),
        chain("ours", "forward", "accept"),
        {"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER"}},
    ]
    assert parse_dropped(json.dumps({"nftables": chains})) == ("ip filter FORWARD",)


def test_only_programs_on_all_addresses_hold_the_ports() -> None:
    listeners = [
        ("10.66.0.1", 53, "dnsmasq"),
        ("127.0.0.53", 53, "systemd-resolve"),
        (ALL, 67, "dnsmasq"),
        (ALL, 5353, "avahi-daemon"),
        ("::", 53, "named"),
        (ALL, 67, "kea-dhcp4"),
    ]
    assert make_port_holders(listeners) == ("UDP port 53 (named)", "UDP port 67 (kea-dhcp4)")


def test_states_are_sought_where_they_are(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the projects of live environments would be called left over."""
    (tmp_path / "lab-1a2b").mkdir()
    (tmp_path / "lab-1a2b" / "clone").write_text(f"{tmp_path}\n")
    monkeypatch.setenv("SOCLE_STATE", str(tmp_path))
    assert load_facts().states == (Leftover("lab-1a2b", str(tmp_path)),)


@pytest.mark.parametrize(
    "change",
    [
        {"states": (Leftover("lab-9", "/gone", clone_exists=False),)},
        {"projects": (Leftover("socle-lab-9", state_exists=False),)},
    ],
)
def test_the_remedy_for_leftovers_names_what_is_outside_the_project(change: dict[str, object]) -> None:
    (problem,) = make_problems(dataclasses.replace(SOUND, **change))
    assert "incus project delete socle-lab-9 --force" in problem.remedy
    assert "network ACLs that carry user.socle.environment=lab-9" in problem.remedy


def test_facts_of_this_machine_are_read(tmp_path) -> None:
    gone = tmp_path / "lab-0000"
    gone.mkdir()
    (gone / "clone").write_text("/no/such/clone\n")
    (tmp_path / "unknown").mkdir()
    facts = load_facts(tmp_path)
    assert facts.memory_total_mib >= facts.memory_available_mib > 0
    assert facts.newest_file > NOW - 20 * 365 * 86400
    assert facts.states == (Leftover("lab-0000", "/no/such/clone", clone_exists=False),)


def test_a_host_to_be_thrown_away_is_seen_when_its_time_is_over() -> None:
    instances = [
        {"project": "socle-lab-1", "name": "scratch-1", "config": {EXPIRES: "1000"}},
        {"project": "socle-lab-1", "name": "scratch-2", "config": {EXPIRES: "3000"}},
        {"project": "default", "name": "theirs", "config": {}},
    ]
    expired = make_expired(instances, 2000.0)
    assert expired == ("socle-lab-1/scratch-1",)
    (problem,) = check_leftovers(Facts(expired=expired))
    assert "incus --project socle-lab-1 delete --force scratch-1" in problem.remedy
