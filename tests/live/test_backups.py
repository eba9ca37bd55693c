"""Backups on real hosts: all is saved and proven; each fault alone is named; what a hosting host can do against its own
repository is refused, or noticed, contained and set aside. Every test leaves the lab complete."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from socle.backups.verdict import Verdict
from tests.live.backup_tools import ASSOCIATION, HOST, OTHER, SITE, STRANGER, VAULT, Backups
from tests.live.environment import Lab, is_kept

pytestmark = pytest.mark.acceptance

STATUS_SECONDS = 6.0
"""Twice the aim: tests share their machine."""


@pytest.fixture(scope="module")
def saved(built: Lab) -> Iterator[Backups]:
    """Everything saved once."""
    backups = Backups(built)
    backups.run()
    yield backups
    if not is_kept():  # then the next run goes back by itself
        built.run_restore()


@pytest.fixture
def backups(saved: Backups) -> Iterator[Backups]:
    """Everything complete, before and after."""
    assert set(words(saved.status())) == {"complete"}, saved.status()
    yield saved
    after = saved.status()
    if set(words(after)) != {"complete"}:
        after = saved.run(code=0)
    assert set(words(after)) == {"complete"}, after


def words(verdicts: dict[str, Verdict]) -> list[str]:
    return [one.verdict for one in verdicts.values()]


def check(verdicts: dict[str, Verdict], word: str, *said: str, site: str = SITE) -> Verdict:
    """This site's verdict, for these reasons; all others are complete."""
    found = verdicts[site]
    assert found.verdict == word, found
    for text in said:
        assert text in found.reason, found.reason
    assert {one.verdict for name, one in verdicts.items() if name != site} <= {"complete"}, verdicts
    return found


# What should be.


def test_everything_is_complete(backups: Backups) -> None:
    verdicts = backups.status(code=0)
    assert set(verdicts) == {one.name for one in backups.lab.context().plan.sites} | {"platform"}
    for one in verdicts.values():
        assert one.bytes > 10_000
        assert len(one.snapshot) == 64
    start = time.monotonic()
    backups.status(code=0)
    seconds = time.monotonic() - start
    assert seconds < STATUS_SECONDS, seconds
    events = json.loads(backups.lab.socle("journal", "--json").stdout)
    assert any(event.get("command") == "backup run" for event in events)


def test_only_what_is_due_is_saved(backups: Backups) -> None:
    before = backups.status()
    assert backups.lab.socle("backup", "run", "--due").returncode == 0
    assert backups.status() == before
    shown = json.loads(backups.lab.socle("backup", "run", SITE, "--dry-run", "--json").stdout)
    assert shown["hosts"][0]["sites"] == [SITE]
    assert backups.status() == before


def test_a_second_save_is_a_new_snapshot_of_that_site_alone(backups: Backups) -> None:
    before = backups.status()
    after = backups.run(SITE)
    assert list(after) == [SITE]
    assert after[SITE].snapshot != before[SITE].snapshot
    assert backups.status()[OTHER] == before[OTHER]


def test_everything_can_be_read_back(backups: Backups) -> None:
    result = json.loads(backups.lab.socle("backup", "verify", "--subset", "100%", "--json").stdout)
    assert {one["reason"] for one in result["repositories"]} == {""}


def test_retention_keeps_the_last_of_a_day(backups: Backups) -> None:
    for _ in range(2):
        backups.run(SITE)
    newest = backups.status()[SITE].snapshot
    dry = json.loads(backups.lab.socle("backup", "retain", "--dry-run", "--json").stdout)["repositories"]
    done = json.loads(backups.lab.socle("backup", "retain", "--json").stdout)["repositories"]
    assert [one["done"] for one in done] == [one["done"] for one in dry]
    own = next(one for one in done if one["name"] == ASSOCIATION)
    assert len(own["done"]) >= 2
    left = backups.lab.ssh(VAULT, ["ls", f"{backups.repository().path}/snapshots"]).split()
    assert left == [newest]
    assert backups.status(code=0)[SITE].snapshot == newest


# Each fault alone.


def test_a_missing_source(backups: Backups) -> None:
    before = backups.status()[SITE]
    with backups.configured(folder="/srv/sites/wp-gone"):
        verdict = check(backups.run(code=3), "failed", "/srv/sites/wp-gone")
    assert verdict.snapshot == before.snapshot, "the last good one stays, and is named"


def test_a_site_that_is_suddenly_empty(backups: Backups) -> None:
    before = backups.status()[SITE]
    folder = f"/srv/sites/{SITE}"
    backups.on_host(f"mount -t tmpfs none {folder}")
    try:
        verdict = check(backups.run(code=3), "failed", "holds nothing of")
        assert verdict.snapshot != before.snapshot
        retained = json.loads(backups.lab.socle("backup", "retain", "--json", check=False).stdout)["repositories"]
        assert next(one for one in retained if one["name"] == ASSOCIATION)["done"] == []
    finally:
        backups.on_host(f"umount {folder}")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "dump"),
        ('"$REAL" "$@" | head -c 20000; exit 0', "dump"),
        ("echo 'Got error: 1045: Access denied for user' >&2; exit 2", "Access denied"),
    ],
    ids=["empty", "cut", "refused"],
)
def test_a_dump_that_is_no_dump(backups: Backups, script: str, said: str) -> None:
    before = backups.status()[SITE]
    with backups.stubbed(
        "/usr/bin/mariadb-dump", f'case "$*" in *wp_amis_du_lac|*wp_amis_du_lac\\ *) {script};; esac\nexec "$REAL" "$@"'
    ):
        verdict = check(backups.run(code=3), "failed", said)
    assert verdict.snapshot == before.snapshot
    check(backups.status(), "failed", said)
    assert set(words(backups.run())) == {"complete"}


def test_credentials_that_were_changed(backups: Backups) -> None:
    with backups.configured(credential="wrong"):
        check(backups.run(code=3), "failed", "401")
    with backups.configured(key="wrong"):
        check(backups.run(code=3), "failed", "key")


def test_the_vaults_server_is_down(backups: Backups) -> None:
    backups.lab.ssh(VAULT, ["systemctl", "stop", "socle-vault.service"])
    try:
        verdicts = backups.run(code=3)
        assert set(words(verdicts)) == {"failed"}
        assert "does not answer" in verdicts[SITE].reason
    finally:
        backups.lab.ssh(VAULT, ["systemctl", "start", "socle-vault.service"])
    assert set(words(backups.status())) == {"failed"}, "it stays so until a save"


def test_the_vault_is_down(backups: Backups) -> None:
    with backups.lab.client() as client:
        client.set_state(VAULT, "stop", force=True)
        try:
            verdicts = backups.status(code=3)
            assert set(words(verdicts)) == {"unknown"}
            assert "does not answer" in verdicts[SITE].reason
        finally:
            client.set_state(VAULT, "start")
            backups.lab.wait_started(VAULT)
    assert set(words(backups.status())) == {"complete"}


def test_the_vault_is_full(backups: Backups) -> None:
    repository = backups.repository()
    new = f"/srv/sites/{SITE}/wp-content/uploads/new"
    path = backups.fill(repository)
    try:
        backups.on_host(f"dd if=/dev/urandom of={new} bs=1M count=40 2>/dev/null")
        verdict = check(backups.run(code=3), "failed", "no room")
        assert "% full" in verdict.reason
    finally:
        backups.lab.ssh(VAULT, ["sh", "-c", f": > {path}; rm -f {path}"])
        backups.on_host(f"rm -f {new}")
    assert set(words(backups.run())) == {"complete"}


def test_the_hosts_disk_is_full(backups: Backups) -> None:
    backups.on_host("mount -t tmpfs -o size=1m none /var/lib/socle/backups/staging")
    try:
        verdicts = backups.run(code=3)
        assert verdicts[SITE].verdict == "failed"
        assert "disk" in verdicts[SITE].reason
    finally:
        backups.on_host("umount /var/lib/socle/backups/staging")


def test_a_timer_that_was_missed(backups: Backups) -> None:
    assert "active" in backups.on_host("systemctl is-active socle-backup.timer")
    # No night both begins and is over within two hours; within twenty-eight and a half one always does.
    assert set(words(backups.at(hours=2))) == {"complete"}
    missed = backups.at(hours=28.5)[SITE]
    assert (missed.verdict, "last night brought no snapshot" in missed.reason) == ("late", True), missed.reason
    verdicts = backups.at(hours=40)
    assert set(words(verdicts)) == {"late"}
    assert "30 h is the limit" in verdicts[SITE].reason


def test_the_timers_own_service_saves_all(backups: Backups) -> None:
    before = backups.status()
    backups.on_host("systemctl start socle-backup.service", timeout=600)
    after = backups.status(code=0)
    assert all(after[name].snapshot != before[name].snapshot for name in after if name != "platform")


def test_a_repository_locked_by_a_dead_client(backups: Backups) -> None:
    locks = f"{backups.repository().path}/locks"
    # Exclusive, as of a check or a prune; so slow that it is killed at work, its lock being there.
    backups.restic("check", "--read-data", "--limit-download", "20", before="timeout -s KILL 20", check=False)
    assert backups.lab.ssh(VAULT, ["ls", locks]).split()
    check(backups.run(code=3), "failed", "locked")
    backups.lab.ssh(VAULT, ["sh", "-c", f"touch -d '2 hours ago' {locks}/*"])
    check(backups.status(), "failed", "left its lock (exclusive lock of web1", "socle backup mend")
    assert backups.mend()[ASSOCIATION]["done"]
    assert set(words(backups.run())) == {"complete"}


@pytest.mark.parametrize("moment", ["1 day ago", "1 day"])
def test_a_clock_that_is_wrong_by_a_day(backups: Backups, moment: str) -> None:
    """restic claims another time, as on a host whose clock is wrong: containers have their machine's clock."""
    script = f'''
        case " $* " in *" backup "*) exec "$REAL" "$@" --time "$(date -d "{moment}" "+%F %T")";; esac
        exec "$REAL" "$@"
    '''
    with backups.stubbed("/usr/bin/restic", script):
        check(backups.run(SITE, code=3), "partial", "the clock of web1 is wrong")
    assert set(words(backups.run())) == {"complete"}
    assert backups.mend()[ASSOCIATION]["done"]


# Attacks by a hosting host, with what it was given.


def test_what_a_host_may_not_do_is_refused_and_in_the_vaults_log(backups: Backups) -> None:
    own, other = backups.status()[SITE].snapshot, backups.status()[OTHER].snapshot
    since = backups.lab.ssh(VAULT, ["date", "+%F %T"]).strip()
    answers = backups.ask(
        ("DELETE", f"/{ASSOCIATION}/snapshots/{own}", "", 0),
        ("DELETE", f"/{ASSOCIATION}/config", "", 0),
        ("POST", f"/{ASSOCIATION}/snapshots/{own}", "x", 0),
        ("POST", f"/{ASSOCIATION}/config", "x", 0),
        ("GET", f"/{STRANGER}/snapshots/{other}", "", 0),
        ("GET", f"/{STRANGER}/keys/", "", 0),
        ("POST", f"/{STRANGER}/index/{{sha256}}", "x", 0),
        ("GET", "/_platform/config", "", 0),
        ("GET", f"/{ASSOCIATION}/../{STRANGER}/config", "", 0),
        ("GET", f"/{ASSOCIATION}/snapshots/{own}", "", 0),
    )
    statuses = [status for status, _ in answers]
    assert all(status in (301, 400, 401, 403, 404, 405) for status in statuses[:-1]), answers
    assert statuses[-1] == 200, "its own it may read"
    log = backups.lab.ssh(VAULT, ["journalctl", "-u", "socle-vault.service", "--since", since, "-o", "cat"])
    for path in (f"/{ASSOCIATION}/snapshots/{own}", f"/{STRANGER}/snapshots/{other}", "/_platform/config"):
        assert path in log, log
    assert "403" in log or "401" in log
    assert set(words(backups.status())) == {"complete"}


@pytest.mark.parametrize("kind", ["index", "keys", "locks", "snapshots"])
def test_junk_is_noticed_and_set_aside_and_then_all_works(backups: Backups, kind: str) -> None:
    count = 30 if kind == "keys" else 1
    if kind == "keys":  # the vault takes what comes with a new repository for its own
        backups.lab.ssh(VAULT, ["sh", "-c", f"cd {backups.repository().path} && touch -d '2 hours ago' config keys/*"])
    answers = backups.ask(*[("POST", f"/{ASSOCIATION}/{kind}/{{sha256}}", "", 200)] * count)
    assert {status for status, _ in answers} == {200}
    assert "Fatal" in backups.restic("check", check=False) or kind in ("keys", "locks", "snapshots")
    verdicts = backups.status(code=3)
    check(verdicts, verdicts[SITE].verdict, f"{kind}/", "socle backup mend")
    assert verdicts[SITE].verdict in ("partial", "unknown")
    dry = backups.mend("--dry-run")
    assert len(dry[ASSOCIATION]["done"]) == count
    assert backups.status(code=3)[SITE].verdict == verdicts[SITE].verdict
    done = backups.mend()
    assert sorted(done[ASSOCIATION]["done"]) == sorted(dry[ASSOCIATION]["done"])
    assert done[STRANGER]["done"] == []
    kept = backups.lab.ssh(VAULT, ["sh", "-c", f"ls /var/lib/socle/vault-aside/{ASSOCIATION}/*/"]).split()
    assert sum(name.startswith(kind) for name in kept) >= count
    assert set(words(backups.status())) == {"complete"}
    assert set(words(backups.run(SITE))) == {"complete"}
    check_restore(backups)


def check_restore(backups: Backups) -> None:
    """What was saved comes back as it is."""
    path = f"/srv/sites/{SITE}"
    backups.restic("restore", backups.status()[SITE].snapshot, "--target", "/root/back", "--include", path)
    try:
        said = backups.on_host(f"cd {path} && diff -rq --no-dereference -x .socle . /root/back{path} && echo same")
        assert said.strip() == "same"
    finally:
        backups.on_host("rm -rf /root/back")


def test_a_back_dated_snapshot_is_noticed_and_set_aside(backups: Backups) -> None:
    before = backups.status()[SITE].snapshot
    tags = [f"site={SITE}", f"association={ASSOCIATION}", "format=1"]
    tagged = [word for tag in tags for word in ("--tag", tag)]
    backups.restic("backup", "--time", "2001-01-01 00:00:00", "--host", HOST, *tagged, "/etc/hostname")
    verdict = check(backups.status(), "failed", "claims to be of 2001-01-01", "does not hold /srv/sites")
    assert verdict.snapshot != before
    assert verdict.time > "2026"
    done = backups.mend()[ASSOCIATION]["done"]
    assert done == [f"snapshots/{verdict.snapshot}"]
    assert check(backups.status(), "complete").snapshot == before
    check_restore(backups)


def test_a_snapshot_of_another_site_is_foreign(backups: Backups) -> None:
    backups.restic("backup", "--tag", f"site={OTHER}", "--host", HOST, "/etc/hostname")
    check(backups.status(), "partial", "1 file not ours", "snapshots/")
    assert len(backups.mend()[ASSOCIATION]["done"]) == 1
    check(backups.status(), "complete")


def test_endless_data_fills_what_is_its_own_and_is_swept(backups: Backups) -> None:
    repository = backups.repository()
    piece = 48 * 2**20
    statuses: list[int] = []
    for _ in range(3 + repository.quota // (8 * piece)):
        answers = backups.ask(*[("POST", f"/{ASSOCIATION}/data/{{sha256}}", "", piece)] * 8)
        statuses += [status for status, _ in answers]
        if statuses[-1] != 200:
            break
    assert statuses[0] == 200
    assert statuses[-1] != 200, "the quota contains it"
    verdicts = backups.status()
    assert "% full" in verdicts[SITE].reason, verdicts
    assert verdicts[OTHER].verdict == "complete"
    assert set(words({OTHER: backups.run(OTHER)[OTHER]})) == {"complete"}
    backups.lab.ssh(
        VAULT, ["sh", "-c", f"find {repository.path}/data -type f -size +40M -exec touch -d '2 hours ago' {{}} +"]
    )
    done = backups.mend()[ASSOCIATION]["done"]
    assert any("packs that no snapshot uses" in one for one in done), done
    assert check(backups.status(), "complete").reason == ""
    assert set(words(backups.run(SITE))) == {"complete"}
    check_restore(backups)
