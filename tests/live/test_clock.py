"""What runs by the clock, and who is told: a real mailbox, real certificates, a real systemd and a real cron."""

from __future__ import annotations

import email
import email.policy
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from socle.clock.install import make_cron, make_prefix, make_units, render_calendar, render_cron, run_note
from socle.clock.schedule import PATH, Entry, Schedule, parse_moment
from socle.clock.times import find_next
from socle.load.catalogue import load_module
from socle.load.yaml_source import load_model
from tests.live.edge_tools import wait_for
from tests.live.environment import REPOSITORY, Lab

OUTSIDE: Any = load_module(REPOSITORY / "stacks/outside/deploy.py")
PARIS = ZoneInfo("Europe/Paris")
SCHEDULE = load_model(Schedule, REPOSITORY / PATH, PATH)
ENTRIES = """\
entries:
  - {name: drift, at: daily 04:40, run: plan --full, grace: 12}
  - {name: certificates, at: daily 06:10, run: schedule certificates, grace: 12, lock: no, reported: [3]}
  - {name: alert, at: hourly, run: schedule alert, grace: 3, lock: no, reported: [3]}
"""


@pytest.fixture
def clocked(lab: Lab) -> Iterator[Lab]:
    """The lab with a schedule of verbs that are there, nothing told yet, and an empty mailbox."""
    folder, state = lab.root / "backups", lab.workspace.state
    shared = folder.readlink() if folder.is_symlink() else None
    kept = folder.rename(folder.with_name("backups.kept")) if folder.exists() and not shared else None
    if shared:
        folder.unlink()
    folder.mkdir()
    (folder / "schedule.yml").write_text(ENTRIES)
    before = {name: state / name for name in ("clock", "backups", "audit", "verdicts.json")}
    for name, path in before.items():
        if path.exists():
            path.rename(state / f"{name}.kept")
    empty_mailbox(lab)
    try:
        yield lab
    finally:
        shutil.rmtree(folder)
        if shared:
            folder.symlink_to(shared)
        if kept:
            kept.rename(folder)
        for name, path in before.items():
            path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
            if (state / f"{name}.kept").exists():
                (state / f"{name}.kept").rename(path)


def empty_mailbox(lab: Lab) -> None:
    lab.ssh("outside", ["find", OUTSIDE.MAILBOX, "-type", "f", "-delete"])


def read_mailbox(lab: Lab) -> list[EmailMessage]:
    """The mails that arrived, oldest first."""
    code = "import json, pathlib, sys; print(json.dumps([p.read_bytes().decode('latin-1') for p in "
    code += "sorted(pathlib.Path(sys.argv[1], 'new').glob('*'), key=lambda p: p.stat().st_mtime_ns)]))"
    texts = json.loads(lab.ssh("outside", ["python3", "-c", code, OUTSIDE.MAILBOX]))
    return [
        cast(EmailMessage, email.message_from_bytes(text.encode("latin-1"), policy=email.policy.default))
        for text in texts
    ]


def wait_mails(lab: Lab, count: int) -> list[EmailMessage]:
    """The mails, once there are `count`; the server takes a mail before it puts it in the mailbox."""
    wait_for(lambda: len(read_mailbox(lab)) >= count, 15)
    return read_mailbox(lab)


def tell(lab: Lab, verdict: str) -> None:
    """Verdicts as `socle backup status` leaves them, and that they are told."""
    path = lab.workspace.state / "verdicts.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    site = {"association": "amis-du-lac", "site": "wp-amis-du-lac", "verdict": verdict, "reason": "the dump is empty"}
    path.write_text(json.dumps({"sites": [{**site, "snapshot": "", "time": None, "bytes": None}]}))
    lab.socle("schedule", "alert")


def quiet(lab: Lab) -> None:
    """Let the clock know of all entries, as far as missed runs go, without telling a real clock."""
    run_note(lab.workspace.state, load_model(Schedule, lab.root / PATH, PATH).entries, datetime.now(UTC))


def test_a_trouble_arrives_once_and_once_more_when_it_is_mended(clocked: Lab) -> None:
    quiet(clocked)
    for _ in range(3):
        tell(clocked, "failed")
    (mail,) = wait_mails(clocked, 1)
    assert mail["Subject"] == f"[socle {clocked.name}] Problème : sauvegarde en échec pour wp-amis-du-lac"
    settings = yaml.safe_load((clocked.root / f"inventories/{clocked.name}/platform.yml").read_text())["alerts"]
    assert [one.addr_spec for one in mail["To"].addresses] == settings["to"]
    # Encrypted, as the server itself says: it was asked by STARTTLS.
    assert re.search(r"\(TLSv1\.3|ESMTPS", str(mail["Received"])), mail["Received"]
    body = mail.get_content()
    for said in ("La sauvegarde du site wp-amis-du-lac (amis-du-lac) est en échec.", "the dump is empty"):
        assert said in body
    assert f"Commande : socle backup status --env {clocked.name}" in body
    for _ in range(3):
        tell(clocked, "complete")
    _, mended = wait_mails(clocked, 2)
    assert mended["Subject"] == f"[socle {clocked.name}] Résolu : sauvegarde en échec pour wp-amis-du-lac"
    assert mended["In-Reply-To"] == mail["Message-ID"]


def test_a_mail_server_that_is_down_delays_and_loses_nothing(clocked: Lab) -> None:
    quiet(clocked)
    clocked.ssh("outside", ["systemctl", "stop", "opensmtpd"])
    try:
        for verdict in ("late", "complete"):
            with pytest.raises(AssertionError, match=r"ended with 3(?s:.*)kept for the next run"):
                tell(clocked, verdict)
    finally:
        clocked.ssh("outside", ["systemctl", "start", "opensmtpd"])
    wait_for(lambda: ":25 " in clocked.ssh("outside", ["ss", "-Hltn"]), 15)
    tell(clocked, "complete")
    tell(clocked, "complete")
    subjects = [str(mail["Subject"]).removeprefix(f"[socle {clocked.name}] ") for mail in wait_mails(clocked, 2)]
    assert subjects == [
        "Problème : sauvegarde en retard pour wp-amis-du-lac",
        "Résolu : sauvegarde en retard pour wp-amis-du-lac",
    ]


def test_the_mail_server_keeps_mail_to_anyone_and_sends_none_away(clocked: Lab) -> None:
    code = (
        "import smtplib\n"
        "with smtplib.SMTP('mail.outside.test', 25, timeout=20) as s:\n"
        "    s.starttls(context=__import__('ssl').create_default_context())\n"
        "    s.sendmail('a@elsewhere.example', ['x@ailleurs.invalid', 'root@outside'], 'Subject: hello\\n\\nbody\\n')\n"
    )
    clocked.ssh("outside", ["python3", "-"], stdin=code.encode())
    assert [mail["Subject"] for mail in wait_mails(clocked, 2)] == ["hello", "hello"]
    assert clocked.ssh("outside", ["smtpctl", "show", "queue"]) == ""


def test_a_run_by_the_clock_finds_drift_and_says_so(clocked: Lab) -> None:
    quiet(clocked)
    clocked.socle("schedule", "run", "drift")
    journal = json.loads(clocked.socle("journal", "--json", "--last", "1").stdout)
    assert (journal[0]["event"], journal[0]["result"], journal[0]["exit"]) == ("ended", "done", 0)
    clocked.ssh("web1", ["chmod", "600", "/etc/ssh/sshd_config.d/00-socle.conf"])
    clocked.ssh("edge1", ["sh", "-c", "echo '# by hand' >> /etc/caddy/sites/wp-amis-du-lac.caddy"])
    try:
        result = clocked.socle("schedule", "run", "drift", check=False)
        assert result.returncode == 10, result.stderr
        clocked.socle("schedule", "run", "alert")
        (mail,) = wait_mails(clocked, 1)
        assert mail["Subject"] == f"[socle {clocked.name}] Problème : dérive constatée"
        assert f"Commande : socle plan --full --env {clocked.name}" in mail.get_content()
    finally:
        clocked.apply("--full")
    clocked.socle("schedule", "run", "drift")
    clocked.socle("schedule", "run", "alert")
    assert wait_mails(clocked, 2)[1]["Subject"] == f"[socle {clocked.name}] Résolu : dérive constatée"
    metrics = (clocked.workspace.state / "metrics/socle.prom").read_text()
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.labels.get("entry") == "drift"
    }
    assert found["socle_schedule_last_run_exit_code"] == 0
    assert found["socle_schedule_missed"] == 0
    assert abs(found["socle_schedule_last_run_timestamp_seconds"] - datetime.now(UTC).timestamp()) < 600


def test_certificates_are_read_as_a_visitor_is_shown_them(clocked: Lab) -> None:
    quiet(clocked)
    shown = json.loads(clocked.socle("schedule", "certificates", "--json").stdout)["certificates"]
    plan = clocked.context().plan
    assert {site.domain for site in plan.sites} <= {row["domain"] for row in shown}
    for row in shown:
        begins, expires = map(datetime.fromisoformat, (row["begins"], row["expires"]))
        assert begins < datetime.now(UTC) < expires
    clocked.ssh("edge1", ["systemctl", "stop", "caddy"])
    try:
        result = clocked.socle("schedule", "run", "certificates", check=False)
        assert result.returncode == 3, result.stderr
    finally:
        clocked.ssh("edge1", ["systemctl", "start", "caddy"])
    clocked.socle("schedule", "alert")
    (mail,) = wait_mails(clocked, 1)
    assert mail["Subject"] == f"[socle {clocked.name}] Problème : {len(shown)} certificats à surveiller"
    wait_for(lambda: clocked.socle("schedule", "certificates", check=False).returncode == 0, 30)
    clocked.socle("schedule", "alert")
    assert "Résolu" in wait_mails(clocked, 2)[1]["Subject"]


# A host of the lab as the controller: its program only writes down what it is called with.

CALLS = "/var/tmp/calls"
STUB = f'#!/bin/sh\nprintf "%s\\n" "$*" >> {CALLS}\n'


_PUT = """
import json, pathlib, sys
for name, text in json.load(sys.stdin).items():
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if text.startswith("#!") else 0o644)
"""


def put(lab: Lab, files: Mapping[Path, str]) -> None:
    content = json.dumps({str(path): text for path, text in files.items()})
    lab.ssh("outside", ["python3", "-c", _PUT], stdin=content.encode())


@pytest.fixture
def controller(lab: Lab) -> Iterator[Lab]:
    """The host outside, with a program where this clone has its Python."""
    there = lab.ssh("outside", ["find", sys.executable, "-maxdepth", "0"], check=False)
    assert not there, "the host has this very program: the test would replace it"
    put(lab, {Path(sys.executable): STUB})
    lab.ssh("outside", ["rm", "-f", CALLS])
    try:
        yield lab
    finally:
        lab.ssh("outside", ["rm", "-f", CALLS, sys.executable])
        folder = str(Path(sys.executable).parent)
        lab.ssh("outside", ["rmdir", "-p", "--ignore-fail-on-non-empty", folder], check=False)


def read_calls(lab: Lab) -> list[str]:
    return lab.ssh("outside", ["sh", "-c", f"cat {CALLS} 2>/dev/null || true"]).splitlines()


def test_systemd_takes_the_timers_and_runs_what_was_missed(controller: Lab) -> None:
    lab, workspace = controller, controller.workspace
    units = make_units(workspace, SCHEDULE.entries, PARIS.key, {"LANG": "C.UTF-8", "ODD": "50% $HOME \"'\\"})
    timers = [path.name for path in units if path.suffix == ".timer"]
    put(lab, units)
    try:
        said = lab.ssh("outside", ["sh", "-c", f"systemd-analyze verify {shlex.join(map(str, units))} 2>&1"])
        assert said == ""
        lab.ssh("outside", ["systemctl", "daemon-reload"])
        lab.ssh("outside", ["systemctl", "enable", "--now", "--quiet", *timers])
        now = datetime.now(UTC)
        for entry in SCHEDULE.entries:
            unit = f"{make_prefix(workspace)}-{entry.name}"
            asked = ["env", "TZ=UTC", "systemctl", "show", "-P", "NextElapseUSecRealtime", f"{unit}.timer"]
            shown = lab.ssh("outside", asked).strip()
            assert shown == f"{find_next(entry.at, now, PARIS):%a %Y-%m-%d %H:%M:%S} UTC", entry.name
        # The machine was down when it should have run: the stamp of the last time is older than that.
        missed = f"{make_prefix(workspace)}-verdicts"
        lab.ssh("outside", ["systemctl", "stop", f"{missed}.timer"])
        lab.ssh("outside", ["touch", "-d", "2 days ago", f"/var/lib/systemd/timers/stamp-{missed}.timer"])
        assert read_calls(lab) == []
        lab.ssh("outside", ["systemctl", "start", f"{missed}.timer"])
        expected = f"-m socle schedule run verdicts --env {workspace.environment} --root {workspace.root}"
        assert wait_for(lambda: read_calls(lab), 20) == [expected]
        environment = lab.ssh("outside", ["systemctl", "show", "-P", "Environment", f"{missed}.service"])
        assert "LANG=C.UTF-8" in environment
        put(lab, {Path(sys.executable): STUB + 'printf "%s\\n" "$ODD" >> ' + CALLS + "\nexit 3\n"})
        lab.ssh("outside", ["systemctl", "start", f"{missed}.service"])
        assert read_calls(lab)[1:] == [expected, "50% $HOME \"'\\"]
        assert lab.ssh("outside", ["systemctl", "is-failed", f"{missed}.service"], check=False).strip() == "inactive"
    finally:
        lab.ssh("outside", ["systemctl", "disable", "--now", "--quiet", *timers], check=False)
        lab.ssh("outside", ["systemctl", "clean", "--what=state", *timers], check=False)
        lab.ssh("outside", ["rm", "-f", *map(str, units)])
        lab.ssh("outside", ["systemctl", "daemon-reload"])


@pytest.mark.parametrize("start", ["2026-10-24 20:00:00", "2027-03-27 20:00:00"])
@pytest.mark.parametrize("at", ["daily 01:30", "daily 03:30", "weekly sunday 04:10", "hourly"])
def test_the_hosts_own_systemd_finds_the_same_times(lab: Lab, at: str, start: str) -> None:
    """Over both changes of the clocks, with the release of systemd that hosts have."""
    moment, base = parse_moment(at), datetime.fromisoformat(f"{start}+00:00")
    text = render_calendar(moment, PARIS.key)
    command = ["systemd-analyze", "calendar", "--iterations=8", f"--base-time={start} UTC", text]
    shown = re.findall(r"\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", lab.ssh("outside", ["env", "TZ=UTC", *command]))
    found = []
    for _ in range(8):
        base = find_next(moment, base, PARIS)
        found.append(f"{base:%Y-%m-%d %H:%M:%S}")
    assert shown == found


def test_cron_takes_the_file_and_calls_it(controller: Lab) -> None:
    lab, workspace = controller, controller.workspace
    lab.ssh("outside", ["apt-get", "-qq", "update"])
    lab.ssh("outside", ["apt-get", "-qqy", "--no-install-recommends", "install", "cron"], timeout=300)
    soon = datetime.now(UTC) + timedelta(minutes=1, seconds=10)
    local = soon.astimezone(PARIS)
    entry = Entry.model_validate({"name": "soon", "at": f"daily {local:%H:%M}", "run": "plan", "grace": 1})
    text = render_cron(workspace, [*SCHEDULE.entries, entry], PARIS, ZoneInfo("UTC"), {"ODD": "50% 'a"}, soon)
    ((path, text),) = make_cron(workspace, text).items()
    try:
        put(lab, {path: text})
        calls = wait_for(lambda: [call for call in read_calls(lab) if "run soon" in call], 100)
        expected = f"-m socle schedule run soon --due --env {workspace.environment} --root {workspace.root}"
        assert calls == [expected]
        said = lab.ssh("outside", ["journalctl", "--no-pager", "-q", "-u", "cron"])
        assert "Error" not in said
        assert "(root) CMD" in said
    finally:
        lab.ssh("outside", ["rm", "-f", str(path)])
        lab.ssh("outside", ["apt-get", "-qqy", "purge", "cron"], timeout=300)
