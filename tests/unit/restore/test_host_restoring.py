"""One restore on a host of stubs: the order of things, and the way back from each failure."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.backup_samples import load_part
from tests.catalogue.site_samples import load_program
from tests.unit.restore.samples import load_host

restoring, closing, request = load_host("restoring"), load_host("closing"), load_host("request")
files, patterns = load_part("files"), load_part("patterns")
Failed = load_part("programs").Failed
GOOD, SAFETY = "a" * 64, "b" * 64


class Host:
    """A site's folder, snapshots of it, and what was done, in order."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.folder = home, home / "sites/wp-a"
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o750)
        self.done: list[str] = []
        self.fails: dict[str, str] = {}
        self.tables = ["live"]
        self.versions: dict[str, str] = {}
        self.snapshots: dict[str, dict[str, str]] = {}
        monkeypatch.setattr(closing, "MARKS", home / "restoring")
        monkeypatch.setattr(closing, "UNITS", home / "units")
        monkeypatch.setattr(closing, "run_program", self._systemctl)
        monkeypatch.setattr(closing, "_systemctl", lambda *arguments: self._act(f"systemctl {arguments[0]}"))
        (home / "units").mkdir()
        monkeypatch.setattr(closing.os, "chown", lambda *_: None)
        monkeypatch.setattr(restoring, "load_mounts", lambda: frozenset({str(self.folder)}))
        monkeypatch.setattr(restoring, "load_versions", lambda _: {})
        monkeypatch.setattr(restoring.loading, "load_server", lambda: "11.8.9-MariaDB")
        content = restoring.loading.Content
        monkeypatch.setattr(restoring.loading, "load_content", lambda _: content(tuple(self.tables)))
        monkeypatch.setattr(restoring.loading, "Loader", lambda *_: self)
        monkeypatch.setattr(restoring.pages, "read_page", self._read_page)
        self.database = "wp_a"

    def _act(self, what: str) -> None:
        self.done.append(what)
        if why := self.fails.get(what):
            raise Failed(why)

    def _systemctl(self, *arguments: Any, **options: Any) -> None: ...

    def _read_page(self, _address: str, _domain: str, path: str) -> Any:
        self.done.append(f"read {path}")
        status = int(self.fails.get("page", "200"))
        self.fails.pop("page", None)
        return load_host("pages").Page(path, status, "Title")

    # As Loader.

    def load(self, lines: Iterable[bytes], _expected: Any) -> int:
        self.loading = b"".join(lines).decode().split()
        self._act("load")
        return 3

    def swap(self) -> None:
        self._act("swap")
        self.tables = self.loading

    def clear(self) -> None:
        self.done.append("clear")

    # As what saves.

    def save(self) -> str:
        self._act("save")
        self.keep(SAFETY, {name: path.read_text() for name, path in self.files().items()})
        return SAFETY

    def files(self) -> dict[str, Path]:
        return {path.name: path for path in self.folder.iterdir() if path.is_file()}

    def keep(self, snapshot: str, content: dict[str, str]) -> None:
        self.snapshots[snapshot] = content

    def open_source(self, snapshot: str) -> Any:
        return FakeSource(self, snapshot)

    def restore(self, snapshot: str = GOOD, safety: bool = True) -> Any:
        config = {
            "site": "wp-a",
            "association": "a",
            "service": "wordpress",
            "folder": str(self.folder),
            "exclude": [],
            "sqlite": [],
            "database": "wp_a",
            "packages": [],
        }
        given = {"unit": "socle-wp-a.service", "uid": 2000, "domain": "a.example", "address": "10.0.0.1"}
        wanted = request.make_request("wp-a", snapshot, config, given)
        restore = restoring.Restore(wanted, self.open_source, self.save if safety else None, self.done.append)
        return restore.run()

    @property
    def mark(self) -> dict[str, Any] | None:
        path = self.home / "restoring/wp-a"
        return dict(json.loads(path.read_text())) if path.exists() else None

    @property
    def closed(self) -> bool:
        return (self.home / "units/socle-wp-a.service.d/socle-restoring.conf").exists()


class FakeSource:
    """A snapshot: files, and a dump that names the tables."""

    precision = 0

    def __init__(self, host: Host, snapshot: str) -> None:
        self._host, self._snapshot, self._content = host, snapshot, host.snapshots[snapshot]

    def take_notes(self, target: Path) -> None:
        self._host._act(f"notes {self._snapshot[0]}")
        place = target / "place"
        place.mkdir()
        self._write(place)
        with files.opened(str(place)) as handle:
            matcher = patterns.make_matcher([])
            listing = files.run_list(handle, matcher, target / "files.jsonl", target / "cache.jsonl")
        self._host.lines = (target / "files.jsonl").read_text()
        data = {
            "format": 1,
            "site": "wp-a",
            "association": "a",
            "files": {"count": listing.count, "bytes": listing.bytes, "sha256": listing.sha256},
            "versions": self._host.versions,
            "database": {"name": "wp_a", "bytes": 1, "sha256": "0", "tables": {"t": 3}},
        }
        (target / "manifest.json").write_text(json.dumps(data))

    def _write(self, place: Path) -> None:
        for name, text in self._content.items():
            (place / name).write_text(text)
            os.utime(place / name, ns=(10**18, 10**18))

    @contextlib.contextmanager
    def dump(self) -> Iterator[Iterable[bytes]]:
        yield [f"tables-of-{self._snapshot[0]}".encode()]

    def put_files(self, folder: str, _patterns: Any) -> None:
        for path in Path(folder).iterdir():
            path.unlink()
        self._write(Path(folder))
        self._host._act(f"files {self._snapshot[0]}")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path, monkeypatch)
    made.keep(GOOD, {"page.txt": "good"})
    (made.folder / "page.txt").write_text("bad")
    return made


def read(host: Host) -> str:
    return (host.folder / "page.txt").read_text()


def test_the_order(host: Host) -> None:
    outcome = host.restore()
    assert (outcome.result, outcome.safety, outcome.reason) == ("restored", SAFETY, "")
    acts = [one for one in host.done if one.split()[0] in ("save", "load", "files", "swap", "read", "systemctl")]
    assert acts == [
        *("systemctl stop", "save", "systemctl daemon-reload", "systemctl stop"),
        *("load", "files a", "swap", "systemctl daemon-reload", "systemctl start", "read /"),
    ]
    assert (read(host), host.tables, host.mark, host.closed) == ("good", ["tables-of-a"], None, False)
    assert host.folder.stat().st_mode & 0o7777 == 0o750


def test_the_site_is_closed_while_it_is_not_whole(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool, int]] = []
    swap = host.swap

    def look() -> None:
        seen.append((host.mark is not None, host.closed, host.folder.stat().st_mode & 0o777))
        swap()

    monkeypatch.setattr(host, "swap", look)
    host.restore()
    assert seen == [(True, True, 0o700)]


def test_a_dump_that_is_not_accepted_changes_nothing(host: Host) -> None:
    host.fails["load"] = "ERROR 1064 (42000) at line 12"
    outcome = host.restore()
    assert outcome.result == "returned"
    assert outcome.reason.startswith("ERROR 1064 (42000) at line 12; nothing of the site was changed")
    assert (read(host), host.tables, host.mark, host.closed) == ("bad", ["live"], None, False)
    assert "files a" not in host.done


@pytest.mark.parametrize("step", ["files a", "swap"])
def test_a_failure_after_that_goes_back_to_what_was_there(host: Host, step: str) -> None:
    host.fails[step] = "the disk is full"
    swap = host.swap

    def once() -> None:
        try:
            swap()
        finally:
            host.fails.pop("swap", None)

    host.swap = once  # type: ignore[method-assign]
    outcome = host.restore()
    assert (outcome.result, outcome.reason.split(";")[0]) == ("returned", "the disk is full")
    assert (read(host), host.tables, host.mark, host.closed) == ("bad", ["tables-of-b"], None, False)


def test_a_site_that_does_not_answer_goes_back(host: Host) -> None:
    host.fails["page"] = "500"
    outcome = host.restore()
    assert (outcome.result, "HTTP 500" in outcome.reason) == ("returned", True)
    assert (read(host), host.tables) == ("bad", ["tables-of-b"])


def test_files_that_are_not_as_listed_go_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    put = FakeSource.put_files

    def damage(self: Any, folder: str, patterns: Any) -> None:
        put(self, folder, patterns)
        if self._snapshot == GOOD:
            (Path(folder) / "page.txt").write_text("cut")
            os.utime(Path(folder) / "page.txt", ns=(10**18, 10**18))

    monkeypatch.setattr(FakeSource, "put_files", damage)
    outcome = host.restore()
    assert (outcome.result, "page.txt has another content" in outcome.reason) == ("returned", True)
    assert read(host) == "bad"


def test_when_going_back_fails_too_the_site_stays_closed(host: Host) -> None:
    host.fails |= {"files a": "first", "files b": "second"}
    outcome = host.restore()
    assert (outcome.result, outcome.reason.split(";")[0]) == ("stuck", "first")
    assert "second" in outcome.reason
    assert host.closed
    assert host.mark is not None
    assert host.mark["safety"] == SAFETY


def test_without_a_safety_snapshot_nothing_is_changed(host: Host) -> None:
    host.fails["save"] = "the vault does not answer"
    outcome = host.restore()
    assert (outcome.result, "the vault does not answer" in outcome.reason) == ("refused", True)
    assert (read(host), host.mark, host.done[-1]) == ("bad", None, "systemctl start")


def test_on_purpose_it_goes_without(host: Host) -> None:
    outcome = host.restore(safety=False)
    assert (outcome.result, outcome.safety, "save" in host.done) == ("restored", "", False)


def test_an_empty_site_has_nothing_to_save(host: Host) -> None:
    (host.folder / "page.txt").unlink()
    host.tables = []
    assert (host.restore().result, "save" in host.done) == ("restored", False)


def test_an_empty_site_that_fails_stays_closed(host: Host) -> None:
    (host.folder / "page.txt").unlink()
    host.tables, host.fails = [], {"files a": "cut"}
    outcome = host.restore()
    assert (outcome.result, host.closed, host.mark is not None) == ("stuck", True, True)


def test_a_killed_restore_is_completed_and_never_saved_over(host: Host) -> None:
    """Its safety snapshot is that of the first run: what is there now is half of two days."""
    host.fails |= {"files a": "killed", "files b": "killed"}
    host.restore()
    host.fails.clear()
    host.done.clear()
    outcome = host.restore()
    assert (outcome.result, outcome.safety, "save" in host.done) == ("restored", SAFETY, False)
    assert (read(host), host.mark, host.closed) == ("good", None, False)
    assert host.folder.stat().st_mode & 0o7777 == 0o750, "as before the first run, not as it left it"


def test_after_a_kill_a_refused_dump_goes_back_to_the_first_state(host: Host) -> None:
    host.fails |= {"files a": "killed", "files b": "killed"}
    host.restore()
    host.fails = {"load": "ERROR at line 1"}
    load = host.load

    def once(lines: Any, expected: Any) -> int:
        try:
            return load(lines, expected)
        finally:
            host.fails.clear()

    host.load = once  # type: ignore[method-assign]
    outcome = host.restore()
    assert (outcome.result, read(host), host.closed) == ("returned", "bad", False)


def test_a_mark_that_cannot_be_read_is_not_passed_over(host: Host) -> None:
    (host.home / "restoring").mkdir()
    (host.home / "restoring/wp-a").write_text('{"site": "wp-a"}')
    with pytest.raises(Failed, match="look at it"):
        host.restore()


def test_a_newer_server_is_seen_before_anything_is_stopped(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring.loading, "load_server", lambda: "11.4.1-MariaDB")
    host.versions = {"mariadb-server": "1:11.8.9-0+deb13u1"}
    outcome = host.restore()
    assert (outcome.result, "bring the host to that version" in outcome.reason) == ("refused", True)
    assert host.done == ["notes a"]


def test_nothing_is_restored_beside_the_volume(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "load_mounts", frozenset)
    assert (host.restore().result, host.done) == ("refused", [])


def test_what_is_missing_of_a_request_is_named() -> None:
    with pytest.raises(Failed, match="lacks site"):
        request.make_request("wp-a", GOOD, {}, {})


def test_a_site_that_is_being_restored_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = load_part("save")
    monkeypatch.setattr(save, "STATE", tmp_path)
    save.check_whole("wp-a")
    (tmp_path / "restoring").mkdir()
    (tmp_path / "restoring/wp-a").write_text("{}")
    with pytest.raises(Failed, match="restore"):
        save.check_whole("wp-a")


def test_the_program_says_what_is_wrong_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    program = load_program("backup", "restore")
    with pytest.raises(SystemExit) as caught:
        program.main(["wp-a"])
    assert caught.value.code == 2
    assert "--snapshot" in capsys.readouterr().err


def test_a_site_that_is_not_here_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = load_program("backup", "restore")
    monkeypatch.setattr(program, "CONFIGURATION", tmp_path)
    monkeypatch.setattr(program.sys, "stdin", open(os.devnull))  # noqa: SIM115
    assert program.main(["wp-a", "--snapshot", GOOD, "--json"]) == 4
    record = json.loads(capsys.readouterr().out)
    assert (record["result"], "there is no site wp-a" in record["reason"]) == ("refused", True)
