"""Live SQLite databases (case A4)."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.catalogue.backup_samples import StubHost, load_part

sqlite, files = load_part("sqlite"), load_part("files")
Failed = load_part("programs").Failed


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubHost:
    found = StubHost(tmp_path, monkeypatch)
    found.write_config(database=None, sqlite=["data/*.sqlite"])
    (found.folder / "data").mkdir()
    return found


def make_database(path: Path, rows: int = 3) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute('CREATE TABLE "odd ""name" (number INTEGER)')
    database.execute("CREATE VIRTUAL TABLE texts USING fts5(text)")
    database.executemany('INSERT INTO "odd ""name" VALUES (?)', [(row,) for row in range(rows)])
    database.commit()
    return database


def test_every_row_from_before_is_in_the_copy_while_writes_go_on(host: StubHost) -> None:
    path = host.folder / "data/association.sqlite"
    done, before = threading.Event(), 500
    with closing(make_database(path, before)) as database:

        def write() -> None:
            number = before
            while not done.is_set():
                database.execute('INSERT INTO "odd ""name" VALUES (?)', (number,))
                database.commit()
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert host.run() == 0, host.result()
        finally:
            done.set()
            writer.join()
        assert Path(f"{path}-wal").exists(), "the site's own connection is still there"
    copy = host.home / "snapshot/sqlite/data/association.sqlite"
    with closing(sqlite3.connect(copy)) as saved:
        numbers = [number for (number,) in saved.execute('SELECT number FROM "odd ""name" ORDER BY number')]
        assert saved.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert numbers[:before] == list(range(before))
    said = host.manifest["sqlite"]["data/association.sqlite"]
    assert said["tables"]['odd "name'] == len(numbers)
    assert said["bytes"] == copy.stat().st_size
    assert (said["uid"], said["mode"]) == (path.stat().st_uid, path.stat().st_mode & 0o7777)


def test_the_live_files_are_left_out_and_nothing_is_left_beside_them(host: StubHost) -> None:
    make_database(host.folder / "data/a.sqlite").close()
    (host.folder / "data/a.sqlite-old").write_text("kept")
    assert host.run() == 0
    assert [line["path"] for line in host.files] == ["data", "data/a.sqlite-old", "page.txt"]
    excludes = [host.calls[0]["argv"][at + 1] for at, part in enumerate(host.calls[0]["argv"]) if part == "--exclude"]
    assert f"{host.folder}/data/a.sqlite-wal" in excludes
    assert sorted(path.name for path in (host.folder / "data").iterdir()) == ["a.sqlite", "a.sqlite-old"]
    assert host.left() == []


def test_a_damaged_database_fails(host: StubHost) -> None:
    path = host.folder / "data/a.sqlite"
    make_database(path, 5000).close()
    content = bytearray(path.read_bytes())
    content[5000:9000] = os.urandom(4000)
    path.write_bytes(content)
    assert host.run() == 3
    assert "data/a.sqlite could not be copied" in host.result()["reason"]
    assert host.left() == []


def test_what_is_no_database_fails(host: StubHost) -> None:
    (host.folder / "data/a.sqlite").write_text("not a database, but as long as the header of one would be" * 10)
    assert host.run() == 3
    assert "not a database" in host.result()["reason"]


def test_a_database_that_is_named_must_be_there(host: StubHost) -> None:
    assert host.run() == 0, "a pattern may match nothing"
    host.write_config(database=None, sqlite=["data/a.sqlite"])
    assert host.run() == 3
    assert "the database data/a.sqlite is not there" in host.result()["reason"]
    (host.folder / "data/a.sqlite").symlink_to("/etc/passwd")
    assert host.run() == 3
    assert "is no file" in host.result()["reason"]


def test_a_copy_that_was_swapped_for_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "copy").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        sqlite._take(tmp_path / "copy", str(tmp_path / "secret"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_copies_are_made_as_the_sites_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def run(_arguments: list[str], **options: object) -> None:
        seen.update(options)
        raise Failed("enough")

    monkeypatch.setattr(sqlite, "run_program", run)
    site = tmp_path / "site"
    site.mkdir()
    os.chown(site, 20000, 20000)
    with pytest.raises(Failed, match="enough"):
        sqlite.run_copies(str(site), ["a.sqlite"], tmp_path / "work", tmp_path / "target")
    assert (seen["user"], seen["group"], seen["extra_groups"]) == (20000, 20000, [])
    assert (tmp_path / "work").stat().st_uid == 20000
