"""A run of the program over stubs: what is saved, and that no failure passes for a success."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.backup_samples import CREDENTIAL, HOST, KEY, TABLES, StubHost, load_part, make_dump_text


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubHost:
    return StubHost(tmp_path, monkeypatch)


def test_a_site_is_saved_as_one_snapshot_with_its_manifest(host: StubHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.run("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("seconds") > 0
    assert told == {"site": "wp-a", "result": "complete", "reason": "", "snapshot": "5" * 64}
    (call,) = host.calls
    assert call["argv"][-3:] == ["--", str(host.folder), str(host.home / "state/staging/wp-a")]
    assert host.manifest["database"]["tables"] == TABLES
    assert host.manifest["database"]["bytes"] == len(make_dump_text(TABLES))
    assert host.manifest["files"]["count"] == 1
    assert host.manifest["versions"] == {"restic": "0.18.0-1"}
    assert {name: host.manifest[name] for name in ("format", "site", "association", "service")} == {
        "format": 1,
        "site": "wp-a",
        "association": "asso",
        "service": "wordpress",
    }
    assert [line["path"] for line in host.files] == ["page.txt"]
    assert host.left() == []
    result = host.result()
    assert (result["result"], result["snapshot"], result["last"]["snapshot"]) == ("complete", "5" * 64, "5" * 64)


def test_passwords_arrive_byte_for_byte_and_nowhere_else(host: StubHost, capsys: pytest.CaptureFixture[str]) -> None:
    host.run("--json")
    (call,) = host.calls
    assert call["env"]["RESTIC_PASSWORD"] == KEY
    assert call["env"]["RESTIC_REST_PASSWORD"] == CREDENTIAL
    assert not any(secret in part for part in call["argv"] for secret in (KEY, CREDENTIAL))
    said = "".join(capsys.readouterr()) + json.dumps(host.result())
    assert KEY not in said
    assert CREDENTIAL not in said


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit('Got error: 1045: Access denied')", "ended with 1): Got error: 1045: Access denied"),
        ("import sys; sys.exit(2)", "mariadb-dump ended with 2"),
        ("", "the dump is empty"),
        ("print('CREATE TABLE `wp_options` (')", "the dump is cut"),
        ("print('CREATE TABLE `wp_options` (\\n-- Dump completed')", "the dump lacks 1 of its tables: wp_posts"),
        ("import os; os.kill(os.getpid(), 9)", "mariadb-dump ended with -9"),
    ],
)
def test_a_dump_that_is_not_whole_fails_and_nothing_is_saved(host: StubHost, code: str, reason: str) -> None:
    assert host.run() == 0
    host.stub("mariadb-dump", code)
    assert host.run() == 3
    assert len(host.calls) == 1, "restic must not be asked"
    result = host.result()
    assert (result["result"], result["snapshot"]) == ("failed", "")
    assert reason in result["reason"]
    assert result["last"]["snapshot"] == "5" * 64, "the last good one stays named"
    assert host.left() == []


def test_a_table_dropped_during_the_dump_is_not_missed(host: StubHost) -> None:
    host.write_database({"wp_options": 2})
    count = host.home / "count"
    host.stub(
        "mariadb",
        f"import json, os\nfirst = not os.path.exists({str(count)!r}); open({str(count)!r}, 'w')\n"
        "for table in [None, 'wp_options', *(['gone'] if first else [])]: print(json.dumps(['wp_a', table, 1]))",
    )
    assert host.run() == 0


@pytest.mark.parametrize(
    ("facts", "reason"), [({}, "the database wp_a is not there"), ({"wp_a": []}, "wp_a holds no table")]
)
def test_an_absent_or_empty_database_is_never_saved(host: StubHost, facts: dict[str, Any], reason: str) -> None:
    host.write_facts(facts)
    assert host.run() == 3
    assert reason in host.result()["reason"]
    assert host.calls == []


def test_without_mariadb_the_sites_that_need_it_fail_and_no_other(host: StubHost) -> None:
    host.write_config("wp-b", database=None)
    host.stub("mariadb", 'import sys; sys.exit("Can\'t connect to local server")')
    assert host.run() == 3
    assert "Can't connect" in host.result()["reason"]
    assert host.result("wp-b")["result"] == "complete"


def test_a_missing_folder_or_volume_fails(host: StubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.program, "load_mounts", lambda: frozenset({"/"}))
    assert host.run() == 3
    assert "not mounted" in host.result()["reason"]
    (host.folder / "page.txt").unlink()
    host.folder.rmdir()
    assert host.run() == 3
    assert "No such file or directory" in host.result()["reason"]
    assert host.calls == []


def test_a_volume_that_goes_away_meanwhile_fails(host: StubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.save, "load_mounts", frozenset)
    assert host.run() == 3
    assert "not mounted" in host.result()["reason"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (12, "does not accept this site's key"),
        (10, "no repository there"),
        (11, "the repository is locked"),
        (42, "restic ended with 42"),
    ],
)
def test_restic_without_a_snapshot_is_a_failure(host: StubHost, code: int, reason: str) -> None:
    host.behave(f"sys.stderr.write('Fatal: why\\n'); sys.exit({code})")
    assert host.run() == 3
    assert reason in host.result()["reason"]
    assert "why" in host.result()["reason"]
    assert host.left() == []


def test_an_exit_code_of_0_without_a_snapshot_is_a_failure(host: StubHost) -> None:
    host.behave("sys.exit(0)")
    assert host.run() == 3
    assert "made no snapshot" in host.result()["reason"]


_UNREAD = """
line = '{"message_type":"error","error":{"message":"open: permission denied"},"during":"archival","item":"%s/caf@.jpg"}'
sys.stderr.buffer.write((line % folder).encode().replace(b"@", b"\\xe9") + b"\\n")
sys.stderr.buffer.write(b"x" * 4095 + "é".encode() + b"\\n")
"""


def test_what_could_not_be_read_makes_a_partial_save_that_names_it(
    host: StubHost, capsys: pytest.CaptureFixture[str]
) -> None:
    host.behave(_UNREAD + "print(json.dumps({'message_type': 'summary', 'snapshot_id': '6' * 64})); sys.exit(3)")
    assert host.run("--json") == 3
    result = host.result()
    assert (result["result"], result["snapshot"]) == ("partial", "6" * 64)
    assert result["unread"] == {"count": 1, "first": ["caf\udce9.jpg"]}
    assert result["reason"] == "1 not read: caf\\xe9.jpg"
    assert json.loads(capsys.readouterr().out)["reason"] == result["reason"]


def test_a_name_cannot_write_on_a_terminal(host: StubHost, capsys: pytest.CaptureFixture[str]) -> None:
    host.write_config(folder="/nowhere/\x1b[2J\nwp-b: complete")
    assert host.run() == 3
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert [line.partition(":")[0] for line in said.splitlines()] == ["no Landlock here", "wp-a"]
    assert "\\x1b[2J\\nwp-b: complete" in host.result()["reason"]


def test_a_reason_is_short_however_much_was_not_read(host: StubHost) -> None:
    line = '{"message_type":"error","error":{"message":"denied"},"item":"%s"}\n'
    host.behave(
        f"for number in range(1000): sys.stderr.write({line!r} % (folder + '/' + 'x' * 250 + str(number)))\n"
        "print(json.dumps({'message_type': 'summary', 'snapshot_id': '6' * 64})); sys.exit(3)"
    )
    assert host.run() == 3
    assert host.result()["reason"].startswith("1000 not read: ")
    assert len(host.result()["reason"]) < 2000


def test_what_vanishes_as_it_is_saved_is_no_failure(host: StubHost) -> None:
    host.behave(
        _UNREAD.replace("permission denied", "no such file or directory")
        + "print(json.dumps({'message_type': 'summary', 'snapshot_id': '6' * 64})); sys.exit(3)"
    )
    assert host.run() == 0
    assert host.result()["result"] == "complete"


def test_what_changes_as_it_is_saved_is_told(host: StubHost) -> None:
    (host.folder / "b").mkdir()
    for name in ("b/kept", "b/removed", "c"):
        (host.folder / name).write_text(name)
    code = """
for name in ("b/new", "c", "z"):
    Path(folder, name).write_text("new content")
Path(folder, "b/removed").unlink()
"""
    host.behave(code)
    assert host.run() == 0
    assert host.result()["changed"] == {"count": 5, "first": ["b", "b/new", "b/removed", "c", "z"]}


def test_a_source_that_restic_skips_is_partial(host: StubHost) -> None:
    host.behave("sys.stderr.write(folder + ' does not exist, skipping\\n')")
    assert host.run() == 3
    assert host.result()["result"] == "partial"


@pytest.mark.parametrize(
    ("answer", "times"), [("507 Insufficient Storage", 1), ("(500): 500 Internal Server Error", 5)]
)
def test_a_full_vault_is_named_without_waiting_for_restic(host: StubHost, answer: str, times: int) -> None:
    line = f"Save(<data/12>) returned error, retrying after 1s: unexpected HTTP response {answer}\n"
    host.behave(f"import time\nsys.stderr.write({line!r} * {times}); sys.stderr.flush(); time.sleep(60)")
    began = time.monotonic()
    assert host.run() == 3
    assert time.monotonic() - began < 30
    assert "no room left" in host.result()["reason"]


def test_a_vault_in_trouble_for_a_moment_is_waited_for(host: StubHost) -> None:
    line = "Save(<data/12>) returned error, retrying after 1s: unexpected HTTP response (500): 500\n"
    host.behave(f"sys.stderr.write({line!r} * 4)")
    assert host.run() == 0


@pytest.mark.parametrize("rows", [1, 100_000])
def test_a_full_disk_during_the_dump_is_named(host: StubHost, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Met as it is written, or only at the end."""
    host.write_database({"wp_posts": rows})
    monkeypatch.setattr(load_part("database"), "create", lambda _path: open("/dev/full", "wb"))  # noqa: SIM115
    assert host.run() == 3
    assert "this host's disk was full during the dump of wp_a" in host.result()["reason"]
    assert host.left() == []


def test_room_is_looked_at_before_the_dump(host: StubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = host.home / "dumped"
    host.stub("mariadb-dump", f"open({str(marker)!r}, 'w')")
    host.stub("mariadb", "import json\nprint(json.dumps(['wp_a', 'wp_posts', 2**60]))")
    assert host.run() == 3
    assert "bytes free, and the save needs" in host.result()["reason"]
    assert not marker.exists()


def test_a_configuration_that_cannot_be_read_fails_its_site_alone(host: StubHost) -> None:
    host.write_config("wp-b", database=None)
    (host.home / "etc/wp-a.json").write_text("{")
    assert host.run() == 3
    assert "configuration lacks association, credential" in host.result()["reason"]
    assert host.result("wp-b")["result"] == "complete"


def test_a_fault_of_ours_fails_its_site_alone(host: StubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.write_config("wp-b", database=None)
    monkeypatch.setattr(host.save, "run_dump", lambda *_: 1 / 0)
    assert host.run() == 3
    assert host.result()["reason"] == "unexpected: ZeroDivisionError: division by zero"
    assert host.result("wp-b")["result"] == "complete"


def test_named_sites_only_and_an_unknown_one_is_said(host: StubHost, capsys: pytest.CaptureFixture[str]) -> None:
    host.write_config("wp-b", database=None)
    assert host.run("wp-b") == 0
    assert not (host.home / "state/results/wp-a.json").exists()
    assert host.run("--json", "../etc/wp-b") == 3
    assert json.loads(capsys.readouterr().out)["reason"] == "there is no such site on this host"


def test_results_of_sites_that_left_go(host: StubHost) -> None:
    host.write_config("wp-b", database=None)
    host.run()
    (host.home / "etc/wp-b.json").unlink()
    host.run()
    assert [path.name for path in (host.home / "state/results").iterdir()] == ["wp-a.json"]
    assert [path.name for path in (host.home / "state/cache").iterdir()] == ["wp-a.jsonl"]
    assert "wp-b" not in (host.home / "metrics/socle-backup.prom").read_text()


def test_prometheus_is_told(host: StubHost) -> None:
    host.run()
    host.behave("sys.exit(1)")
    host.run()
    text = (host.home / "metrics/socle-backup.prom").read_text()
    assert 'socle_backup_result{site="wp-a",result="failed"} 1\n' in text
    assert 'socle_backup_result{site="wp-a",result="complete"} 0\n' in text
    assert 'socle_backup_complete_seconds{site="wp-a"} ' in text


def test_a_second_run_waits_or_says_that_it_does_not(host: StubHost, capsys: pytest.CaptureFixture[str]) -> None:
    with host.program.locked(0) as alone:
        assert alone
        assert host.run("--json", "--wait", "0.5") == 3
        output = capsys.readouterr()
        assert "another run" in json.loads(output.out)["reason"]
        assert f"process {os.getpid()}" in output.err
    assert host.calls == []
    release = threading.Event()

    def hold() -> None:
        with host.program.locked(0):
            release.wait(1)

    holder = threading.Thread(target=hold)
    holder.start()
    assert host.run("--wait", "20") == 0
    holder.join()


def test_what_a_killed_run_left_is_cleared(host: StubHost) -> None:
    host.run()
    for name in ("staging/wp-a", "staging/wp-gone", "copies/wp-a"):
        (host.home / "state" / name).mkdir()
        (host.home / "state" / name / "database.sql").write_text("secret")
    with host.program.locked(0):
        assert host.program.main(["clear"]) == 0
    assert len(host.left()) == 3, "not under the hands of a run"
    assert host.program.main(["clear"]) == 0
    assert host.left() == []


_KILLED = """
import sys
from pathlib import Path
import pytest
sys.path[:0] = {path!r}
from tests.catalogue.backup_samples import StubHost
StubHost(Path({home!r}), pytest.MonkeyPatch()).run()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_takes_its_programs_with_it(tmp_path: Path, number: signal.Signals) -> None:
    path = [str(HOST), str(Path(__file__).parents[3]), *sys.path]
    (tmp_path / "behave.py").write_text("import time\nPath(home, 'pid').write_text(str(os.getpid()))\ntime.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", _KILLED.format(path=path, home=str(tmp_path))]) as process:
        pid = tmp_path / "pid"
        _wait(lambda: pid.exists() and pid.read_text())
        process.send_signal(number)
        process.wait(30)
    _wait(lambda: not Path(f"/proc/{pid.read_text()}").exists())
    left = list((tmp_path / "state/staging").iterdir())
    if number is signal.SIGTERM:
        assert left == []
        assert "stopped by SIGTERM" in (tmp_path / "state/results/wp-a.json").read_text()
    else:
        assert [path.name for path in left] == ["wp-a"], "what the next run clears"


def _wait(holds: Any) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_program_that_takes_too_long_is_ended(host: StubHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_part("database"), "DUMP_SECONDS", 0.5)
    host.stub("mariadb-dump", "import time\ntime.sleep(60)")
    assert host.run() == 3
    assert "mariadb-dump was ended: it took longer than 0 s" in host.result()["reason"]
