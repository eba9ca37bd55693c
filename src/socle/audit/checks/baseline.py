"""What every host has, whatever it serves: SSH, updates, clock, journal, metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NamedTuple

from socle.audit.check import NotChecked, Subject, check, expect, hosts
from socle.audit.roles import render_role
from socle.audit.scene import Scene, together
from socle.model.plan import Host, Plan

_DAY = 86400
_LATE_DAYS = 2
_CLOCKS_APART = 300
"""Seconds: the host may have been asked long after the audit began."""
_UNITS = (
    "nftables.service",
    "ssh.service",
    "systemd-journald.service",
    "systemd-resolved.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "prometheus-node-exporter.service",
)
_APPLY = "socle apply --full"


# Units.


def _baseline_units(plan: Plan) -> Iterator[Subject]:
    return (Subject(host.name, unit, (host.name, unit)) for host in plan.hosts for unit in _UNITS)


@check("running", each=_baseline_units, remedy="systemctl status UNIT; systemctl enable --now UNIT")
def baseline_runs(scene: Scene, place: tuple[str, str]) -> str:
    """What keeps a host safe runs, and starts with it."""
    host, unit = place
    service = scene.on(host).service(unit)
    running, enabled = service.is_running, service.is_enabled
    expect(running and enabled, f"{unit}: {'runs' if running else 'does not run'}, {'' if enabled else 'not '}enabled")
    return f"{unit} runs and is enabled"


@check("failed-units", each=hosts, remedy="systemctl status UNIT; once mended: systemctl reset-failed UNIT")
def no_unit_failed(scene: Scene, host: Host) -> str:
    """No unit of a host has failed."""
    failed = scene.on(host.name).check_output("systemctl --failed --no-legend --plain").split("\n")
    names = [line.split()[0] for line in failed if line.strip()]
    expect(not names, f"failed: {', '.join(names)}")
    return "systemctl --failed: none"


# SSH.


def parse_settings(text: str) -> dict[str, set[str]]:
    """Values by keyword, of `sshd -T`: some keywords have several lines."""
    settings: dict[str, set[str]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        settings.setdefault(keyword.lower(), set()).add(value)
    return settings


def parse_keywords(text: str) -> list[str]:
    """The keywords that an sshd_config(5) sets before its first Match."""
    before = re.split(r"^Match\b", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = (line.split() for line in before.splitlines())
    return [fields[0].lower() for fields in lines if fields and not fields[0].startswith("#")]


def find_settings(wanted: Mapping[str, set[str]], live: Mapping[str, set[str]], keywords: Iterable[str]) -> list[str]:
    """Keywords whose effective values differ, with both."""
    return [
        f"{word}: {' '.join(sorted(live.get(word, {'none'})))}, expected {' '.join(sorted(wanted.get(word, {'none'})))}"
        for word in keywords
        if live.get(word) != wanted.get(word)
    ]


_ENTRANCES = (
    *("allowgroups", "allowusers", "denygroups", "denyusers", "authenticationmethods", "permitrootlogin"),
    *("authorizedkeysfile", "authorizedkeyscommand", "authorizedkeyscommanduser", "pubkeyauthoptions", "strictmodes"),
    *("authorizedprincipalsfile", "authorizedprincipalscommand", "authorizedprincipalscommanduser"),
    *("trustedusercakeys", "casignaturealgorithms", "revokedkeys", "chrootdirectory", "forcecommand", "setenv"),
    *("hostbasedauthentication", "ignorerhosts", "gssapiauthentication", "kerberosauthentication", "permituserrc"),
)
"""They decide who gets in, and to what: they are compared whether the role sets them or not."""
_OURS = "/etc/ssh/sshd_config.d/00-socle.conf"
_STRANGE = f"find /etc/ssh/sshd_config.d -mindepth 1 ! -path {_OURS}"
# 0: the same; 1: not; 2: one of them is not there.
_MAIN = "cmp --silent /usr/share/openssh/sshd_config /etc/ssh/sshd_config"


def judge_main_file(code: int) -> str:
    """What the comparison of sshd_config with its package's own says. Raises Failed when they differ."""
    expect(code != 1, "/etc/ssh/sshd_config is not the one of its package: diff it with /usr/share/openssh/sshd_config")
    return "sshd_config as packaged" if code == 0 else "sshd_config not compared: its package's is not there"


def make_effective_command(user: str, options: str = "") -> str:
    """Tells which settings hold for who logs in as `user`: without -C, no Match block is read."""
    return f"sshd -T {options}-C user={user},host=x,addr=127.0.0.1,laddr=127.0.0.1,lport=22"


def judge_settings(user: str, wanted: Any, live: Any, keywords: Iterable[str]) -> None:
    """From testinfra's results of the declared and the effective settings. Raises Failed when they differ."""
    expect(wanted.rc == 0, f"not checked: the declared settings cannot be read: {wanted.stderr.strip()[:300]}")
    expect(live.rc == 0, f"not checked: sshd -T: {live.stderr.strip()[:300]}")
    differences = find_settings(parse_settings(wanted.stdout), parse_settings(live.stdout), keywords)
    expect(not differences, f"for {user}: {'; '.join(differences)}")


@check(
    "sshd",
    each=hosts,
    remedy=f"remove what is not declared, then {_APPLY}; who did it: ls -l /etc/ssh/sshd_config.d, journalctl -u ssh",
)
def sshd_is_as_declared(scene: Scene, host: Host) -> str:
    """The SSH server takes keys only, and is set as declared for each who may log in."""
    given = scene.fact("baseline")[host.name]
    declared = render_role(scene.workspace.root / "roles", "sshd", "00-socle.conf.j2", given)
    words = tuple(dict.fromkeys((*parse_keywords(declared), *_ENTRANCES)))
    people = ["root", *(operator.name for operator in scene.platform.operators)]
    remote = scene.on(host.name)
    strange, main, *shown = together(
        partial(remote.run, _STRANGE),
        partial(remote.run, _MAIN),
        *(partial(scene.feed, host.name, make_effective_command(name, "-f /dev/stdin "), declared) for name in people),
        *(partial(remote.run, make_effective_command(name)) for name in people),
    )
    expect(strange.rc == 0, f"not checked: {strange.stderr.strip()[:300]}")
    # What another file sets may hold for somebody else, or from elsewhere, than was asked for.
    expect(not strange.stdout.strip(), f"not declared: {', '.join(sorted(strange.stdout.split()))}")
    said = judge_main_file(main.rc)
    for name, wanted, live in zip(people, shown, shown[len(people) :], strict=False):
        judge_settings(name, wanted, live, words)
    return f"sshd -T: {len(words)} settings as declared for {', '.join(people)}; no file but ours; {said}"


# Updates.


def parse_upgradable(text: str) -> list[str]:
    """Packages with a security update, from `apt list --upgradable`."""
    lines = (line.split("/", 1) for line in text.splitlines() if "/" in line)
    return [name for name, rest in lines if "-security" in rest.split(" ")[0]]


# Only what the archive itself wrote: an attempt that fails touches folders and stamps too.
_LISTS = (
    'for file in /var/lib/apt/lists/*security*Release; do if [ -f "$file" ]; then stat --format="File: %Y %n" "$file"; '
    "grep --text --extended-regexp '^(Date|Valid-Until): ' \"$file\"; fi; done; true"
)


class Dated(NamedTuple):
    """A list of a security archive. Seconds since 1970; 0: it does not say."""

    path: str
    written: float
    date: float
    valid: float

    @property
    def end(self) -> float:
        """Until when it tells what is pending."""
        return self.valid or self.written + _LATE_DAYS * _DAY

    def describe(self) -> str:
        """Its dates in words."""
        said = f"of {_render_time(self.date)}" if self.date else "without a date"
        return f"{said}, valid until {_render_time(self.end)}{'' if self.valid else ' (two days after it was written)'}"


def _render_time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def parse_lists(text: str) -> list[Dated]:
    """The lists that were found, with the archive's own dates. Raises ValueError for one that cannot be read."""
    found: list[Dated] = []
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        if name == "File":
            written, path = value.split(maxsplit=1)
            found.append(Dated(path, float(written), 0, 0))
        else:
            time = parsedate_to_datetime(value).timestamp()
            found[-1] = found[-1]._replace(date=time) if name == "Date" else found[-1]._replace(valid=time)
    return found


@check("updates", each=hosts, remedy="unattended-upgrade --verbose; then look at journalctl -u apt-daily-upgrade")
def no_security_update_is_pending(scene: Scene, host: Host) -> str:
    """No security update waits."""
    remote = scene.on(host.name)
    lists = parse_lists(remote.check_output(_LISTS))
    pending = parse_upgradable(remote.check_output("apt list --upgradable 2>/dev/null"))
    expect(not pending, f"{len(pending)} pending: {', '.join(pending[:12])}")
    if not lists:
        raise NotChecked("fresh-package-lists", "no list of a security archive is there")
    oldest = min(lists, key=lambda one: one.end)
    if oldest.end < scene.now:
        raise NotChecked("fresh-package-lists", f"none pending by an old list: {oldest.describe()}")
    return f"none pending, by the security archive's list {oldest.describe()}"


TIMER = "systemctl list-timers --all --output=json -- %s"


def parse_timer(text: str) -> float:
    """Seconds since 1970 of a timer's last run; 0 when there was none, or no such timer. `systemctl show` writes this
    one for people only."""
    return max((one.get("last") or 0 for one in json.loads(text or "[]")), default=0) / 1e6


@check("update-runs", each=hosts, remedy="systemctl list-timers; journalctl -u apt-daily-upgrade")
def updates_run_by_themselves(scene: Scene, host: Host) -> str:
    """Security updates are installed every day without anybody."""
    remote = scene.on(host.name)
    configured = remote.check_output("apt-config dump APT::Periodic")
    for word in ("Enable", "Update-Package-Lists", "Unattended-Upgrade"):
        expect(f'APT::Periodic::{word} "1";' in configured, f"APT::Periodic::{word} is not 1")
    origins = remote.check_output("apt-config dump Unattended-Upgrade::Origins-Pattern")
    expect("Debian-Security" in origins, "security updates are not among the origins of unattended upgrades")
    last = parse_timer(remote.check_output(TIMER, "apt-daily-upgrade.timer"))
    up = float(remote.check_output("cat /proc/uptime").split()[0])
    if not last:
        expect(up < _LATE_DAYS * _DAY, f"never ran, and the host is up for {up / _DAY:.0f} days")
        return f"enabled; not run yet: the host is up for {up / 3600:.1f} h"
    late = (scene.now - last) / _DAY
    expect(late < _LATE_DAYS, f"last run {late:.1f} days ago")
    return f"enabled; last run {late * 24:.1f} h ago"


@check("reboot", each=hosts, remedy="restart the host at a quiet hour: its sites are down for a minute")
def no_restart_is_due(scene: Scene, host: Host) -> str:
    """No update waits for a restart of the host."""
    remote = scene.on(host.name)
    due = remote.file("/run/reboot-required").exists
    expect(not due, "/run/reboot-required is there")
    return "no /run/reboot-required"


# Clock, journal, metrics.


@check("clock", each=hosts, remedy="timedatectl status; systemctl restart systemd-timesyncd")
def clock_is_right(scene: Scene, host: Host) -> str:
    """The clock is right, and kept right."""
    remote = scene.on(host.name)
    seen = float(remote.check_output("date +%s"))
    off = abs(seen - scene.now)
    expect(off < _CLOCKS_APART, f"{off:.0f} s away from the controller's clock")
    zone = remote.check_output("readlink --canonicalize /etc/localtime")
    expect(zone.endswith(f"/{scene.plan.timezone}"), f"the time zone is {zone}, expected {scene.plan.timezone}")
    if remote.run("systemd-detect-virt --container").rc == 0:
        raise NotChecked("own-clock", "within minutes of the controller's")
    synchronised = remote.check_output("timedatectl show --property=NTPSynchronized --value")
    expect(synchronised == "yes", "timedatectl: NTPSynchronized=no")
    return "timedatectl: NTPSynchronized=yes"


def parse_configuration(text: str) -> dict[str, str]:
    """The last value of each key, of `systemd-analyze cat-config`."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith(("#", ";")))
    return {key.strip(): value.strip() for key, value in pairs}


def parse_bytes(text: str) -> int:
    """systemd.syntax(7): 500M."""
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
    return int(text.rstrip("KMG") or 0) * units[text.lstrip("0123456789")]


_OPEN = (
    "find /proc/$(systemctl show --property=MainPID --value systemd-journald)/fd -lname '/var/log/journal/*' | wc -l"
)


@check("journal", each=hosts, remedy=f"{_APPLY}; systemctl restart systemd-journald")
def journal_is_kept(scene: Scene, host: Host) -> str:
    """What happens on a host is written down, kept, and bounded."""
    remote = scene.on(host.name)
    settings = parse_configuration(remote.check_output("systemd-analyze cat-config systemd/journald.conf"))
    opened = int(remote.check_output(_OPEN))
    taken = int(remote.check_output("du --summarize --block-size=1 /var/log/journal").split()[0])
    expect(opened, "journald writes no file under /var/log/journal: what is logged is lost at the next start")
    limit = parse_bytes(settings.get("SystemMaxUse", "0"))
    expect(limit, "no bound: SystemMaxUse is not set")
    # It is measured before a file is rotated: one more file may be there.
    expect(taken < 1.2 * limit, f"it takes {taken >> 20} MiB, bound {limit >> 20} MiB")
    return f"on disk, {taken >> 20} of at most {limit >> 20} MiB"


_FETCH = (
    "python3 -I -c 'import sys, urllib.request; "
    'print(urllib.request.urlopen("http://%s:9100/metrics", timeout=45).read().decode().count("\\nnode_"))\''
)


@check("metrics", each=hosts, remedy="systemctl status prometheus-node-exporter")
def metrics_are_given(scene: Scene, host: Host) -> str:
    """A host tells how it is: its exporter of metrics answers."""
    result = scene.on(host.name).run(_FETCH % host.address)
    count = int(result.stdout) if result.rc == 0 else 0
    expect(count > 100, f"http://{host.address}:9100/metrics: {result.stderr.strip()[-200:] or f'{count} values'}")
    return f"http://{host.address}:9100/metrics: {count} values"


CHECKS = (
    baseline_runs,
    no_unit_failed,
    sshd_is_as_declared,
    no_security_update_is_pending,
    updates_run_by_themselves,
    no_restart_is_due,
    clock_is_right,
    journal_is_kept,
    metrics_are_given,
)
