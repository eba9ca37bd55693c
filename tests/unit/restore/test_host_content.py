"""Files that are back: compared with the list, hostile ones among them."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.backup_samples import load_part
from tests.unit.restore.samples import load_host

content, files, patterns = load_host("content"), load_part("files"), load_part("patterns")
Failed = load_part("programs").Failed
ODD = [b"caf\xe9.jpg", b"new\nline", "é🎉".encode(), b"a/b-c", b"a/b/c", b"a.b"]
EVERYTHING = patterns.make_matcher(patterns.make_excluded(["cache"], []))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    for name in ODD:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / ".socle").write_text("id")
    (folder / "cache").mkdir()
    (folder / "cache/old").write_text("old")
    return folder


@pytest.fixture
def listing(site: Path, tmp_path: Path) -> Path:
    """The list, by the program that saves."""
    target = tmp_path / "files.jsonl"
    with files.opened(str(site)) as handle:
        files.run_list(handle, EVERYTHING, target, tmp_path / "cache.jsonl")
    return target


def compare(site: Path, listing: Path, precision: int = 0) -> Any:
    return content.compare(str(site), EVERYTHING, listing, precision)


def change(path: Path, data: bytes) -> None:
    """Another content, at the same time."""
    info = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def test_what_was_saved_is_what_is_there(site: Path, listing: Path) -> None:
    found = compare(site, listing)
    assert (found.problem, found.files, found.changed) == ("", len(ODD), 0)


def test_another_content_is_found(site: Path, listing: Path) -> None:
    change(site / "a.b", b"A.b")
    assert "a.b has another content" in compare(site, listing).problem


def test_a_cut_file_is_found(site: Path, listing: Path) -> None:
    change(site / "a.b", b"")
    assert "a.b has another content" in compare(site, listing).problem


def test_a_missing_file_and_one_too_many_are_found(site: Path, listing: Path) -> None:
    info = (site / "a").stat()
    (site / "a/b-c").unlink()
    (site / "a/planted.php").write_text("x")
    os.utime(site / "a", ns=(info.st_atime_ns, info.st_mtime_ns))
    found = compare(site, listing)
    assert "a/b-c is missing" in found.problem
    assert "a/planted.php was not listed" in found.problem


def test_what_changed_while_it_was_saved_is_counted(site: Path, listing: Path) -> None:
    (site / "a.b").write_bytes(b"later")
    (site / "a/new").write_text("new")
    found = compare(site, listing)
    assert (found.problem, found.changed) == ("", 2)


def test_times_in_whole_seconds_hide_nothing(site: Path, listing: Path) -> None:
    for path in [site, *site.rglob("*")]:
        info = path.lstat()
        whole = round(info.st_mtime_ns / 1e9) * 10**9
        os.utime(path, ns=(whole, whole), follow_symlinks=False)
    assert compare(site, listing, 10**9).changed == 0
    change(site / "a.b", b"A.b")
    assert "a.b has another content" in compare(site, listing, 10**9).problem


def test_modes_kinds_and_targets_count(site: Path, listing: Path) -> None:
    (site / "a.b").chmod(0o4755)
    assert "has the mode 4755" in compare(site, listing).problem
    info = (site / "link").lstat()
    (site / "link").unlink()
    (site / "link").symlink_to("/etc/shadow")
    os.utime(site / "link", ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)
    assert "link leads elsewhere" in compare(site, listing).problem


def test_a_list_that_cannot_be_read_is_refused(site: Path, listing: Path) -> None:
    listing.write_text("{}\n")
    with pytest.raises(Failed, match="cannot be read"):
        compare(site, listing)


def test_caches_of_another_day_are_emptied_and_stay(site: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (site / "cache/deep").mkdir()
    (site / "cache/deep/link").symlink_to(outside)
    (site / "a/cache").mkdir()
    (site / "a/cache/kept").write_text("kept")
    with files.opened(str(site)) as handle:
        content.run_empty(handle, ["cache"])
    assert list((site / "cache").iterdir()) == []
    assert (outside / "kept").exists()
    assert (site / "a/cache/kept").exists(), "a folder of that name elsewhere is no cache (case C5)"


def make_copy(folder: Path) -> tuple[Path, dict[str, Any]]:
    copy = folder / "copies/data/a.sqlite"
    copy.parent.mkdir(parents=True)
    with sqlite3.connect(copy) as connection:
        connection.execute("CREATE TABLE t (a)")
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    return folder / "copies", {"sha256": digest, "uid": os.getuid(), "gid": os.getgid(), "mode": 0o4640}


def test_a_database_takes_its_place_and_its_journal_goes(site: Path, tmp_path: Path) -> None:
    copies, line = make_copy(tmp_path)
    (site / "data").mkdir()
    for name in ("a.sqlite", "a.sqlite-wal", "a.sqlite-shm"):
        (site / "data" / name).write_text("of another day")
    before = (site / "data").stat().st_mtime_ns
    with files.opened(str(site)) as handle:
        content.run_databases(handle, copies, {"data/a.sqlite": line})
    assert [path.name for path in (site / "data").iterdir()] == ["a.sqlite"]
    assert (site / "data/a.sqlite").read_bytes() == (copies / "data/a.sqlite").read_bytes()
    assert (site / "data/a.sqlite").stat().st_mode & 0o7777 == 0o640, "no set-uid bit comes back"
    assert (site / "data").stat().st_mtime_ns == before


def test_a_damaged_copy_is_refused(site: Path, tmp_path: Path) -> None:
    copies, line = make_copy(tmp_path)
    (site / "data").mkdir()
    with files.opened(str(site)) as handle, pytest.raises(Failed, match="not as the manifest says"):
        content.run_databases(handle, copies, {"data/a.sqlite": {**line, "sha256": "0" * 64}})


@pytest.mark.parametrize("path", ["link/a.sqlite", "../a.sqlite", "a/../../a.sqlite"])
def test_no_database_leaves_the_sites_folder(site: Path, tmp_path: Path, path: str) -> None:
    (site / "link").unlink()
    (site / "link").symlink_to(tmp_path)
    copies, line = make_copy(tmp_path)
    named = tmp_path / "copies" / path
    named.parent.mkdir(parents=True, exist_ok=True)
    named.write_bytes((copies / "data/a.sqlite").read_bytes())
    before = sorted(tmp_path.iterdir())
    with files.opened(str(site)) as handle, pytest.raises((Failed, OSError)):
        content.run_databases(handle, copies, {path: line})
    assert sorted(tmp_path.iterdir()) == before


def test_folders_that_a_snapshot_lacks_are_made_and_others_left(site: Path, tmp_path: Path) -> None:
    me, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    line = {"mode": 0o2750, "owner": me, "group": group}
    (site / "a").chmod(0o700)
    with files.opened(str(site)) as handle:
        content.run_directories(handle, [{"path": path, **line} for path in ("new/inner", "new", "a")])
        (site / "out").symlink_to(tmp_path)
        with pytest.raises(OSError, match="out"):
            content.run_directories(handle, [{"path": "out/planted", **line}])
    assert (site / "new/inner").stat().st_mode & 0o7777 == 0o2750
    assert (site / "a").stat().st_mode & 0o7777 == 0o700
    assert not (tmp_path / "planted").exists()


def test_pairs_follow_the_order_of_lists() -> None:
    lines = [{"path": name} for name in ("a", "a/b", "c")]
    seen = [content.Seen(name, None, "", None) for name in ("a", "b", "c")]
    pairs = [(line and line["path"], one and one.path) for line, one in content.pair(lines, seen)]
    assert pairs == [("a", "a"), ("a/b", None), (None, "b"), ("c", "c")]
    assert json.dumps(lines)
