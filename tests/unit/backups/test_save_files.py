"""The list of a site's files: hostile names, hostile files, and what is not read again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.backup_samples import load_part

files, patterns = load_part("files"), load_part("patterns")
Failed = load_part("programs").Failed
ODD = [b"caf\xe9.jpg", b"new\nline", b"-dash", b" space ", "é🎉".encode(), b"quo'te\"", b"back\\slash", b"%41"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def run_list(site: Path, *exclude: str) -> tuple[Any, list[dict[str, Any]]]:
    """The listing and its lines; the cache stays beside the site."""
    target = site.parent / "files.jsonl"
    with files.opened(str(site)) as folder:
        matcher = patterns.make_matcher(patterns.make_excluded(exclude, ()))
        listing = files.run_list(folder, matcher, target, site.parent / "cache.jsonl")
    assert listing.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    return listing, [json.loads(line) for line in target.read_text().splitlines()]


def settle(site: Path) -> None:
    """Make a cache's beginning later than all files, as it is the next night."""
    path = site.parent / "cache.jsonl"
    first, _, rest = path.read_text().partition("\n")
    first = json.dumps([*json.loads(first)[:3], time.time_ns() + 10**10, *json.loads(first)[4:]])
    path.write_text(f"{first}\n{rest}")


def test_every_byte_of_a_name_is_kept(site: Path) -> None:
    for name in ODD:
        Path(os.fsdecode(os.fsencode(site) + b"/" + name)).write_bytes(name)
    listing, lines = run_list(site)
    assert [os.fsencode(line["path"]) for line in lines] == sorted(ODD)
    assert (listing.count, listing.bytes) == (len(ODD), sum(map(len, ODD)))
    for line in lines:
        assert line["sha256"] == hashlib.sha256(os.fsencode(line["path"])).hexdigest()


def test_lines_say_what_is_there(site: Path) -> None:
    (site / "d").mkdir(mode=0o750)
    (site / "d/f").write_text("abc")
    (site / "d/f").chmod(0o640)
    (site / "d-x").symlink_to("/etc/shadow")
    os.mkfifo(site / "fifo")
    _, lines = run_list(site)
    assert [(line["path"], line["type"], line["size"], line["target"]) for line in lines] == [
        ("d", "directory", 0, ""),
        ("d/f", "file", 3, ""),
        ("d-x", "link", 0, "/etc/shadow"),
        ("fifo", "other", 0, ""),
    ]
    assert lines[1] == {
        "path": "d/f",
        "type": "file",
        "size": 3,
        "sha256": hashlib.sha256(b"abc").hexdigest(),
        "mode": 0o640,
        "uid": os.getuid(),
        "gid": os.getgid(),
        "target": "",
        "mtime": (site / "d/f").stat().st_mtime_ns,
    }


def test_no_link_is_followed(site: Path) -> None:
    secret = site.parent / "secret"
    secret.mkdir()
    (secret / "key").write_text("key")
    (site / "folder").symlink_to(secret)
    (site / "file").symlink_to(secret / "key")
    _, lines = run_list(site)
    assert [(line["path"], line["type"], line["sha256"]) for line in lines] == [
        ("file", "link", ""),
        ("folder", "link", ""),
    ]


def test_a_folder_swapped_for_a_link_leads_nowhere(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = site.parent / "secret"
    secret.mkdir()
    (secret / "key").write_text("key")
    (site / "d").mkdir()
    (site / "f").write_text("f")
    original = os.stat

    def swap(name: Any, **options: Any) -> os.stat_result:
        found = original(name, **options)
        if name == "d":
            (site / "d").rename(site.parent / "was")
            (site / "d").symlink_to(secret)
        if name == "f":
            (site / "f").unlink()
            (site / "f").symlink_to(secret / "key")
        return found

    monkeypatch.setattr(files.os, "stat", swap)
    listing, lines = run_list(site)
    assert listing.count == 0
    assert not [line for line in lines if line["sha256"]]


def test_what_did_not_change_is_not_read_again(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c", "d"):
        (site / name).write_text(name)
    first = run_list(site)[1]
    settle(site)
    read: list[str] = []
    original = files.read_hash

    def noted(found: Any) -> Any:
        read.append(found.path)
        return original(found)

    monkeypatch.setattr(files, "read_hash", noted)
    assert run_list(site)[1] == first
    assert read == []
    settle(site)
    (site / "b").write_text("B")
    os.utime(site / "b", ns=((site / "b").stat().st_atime_ns, first[1]["mtime"]))  # a forged time does not hide it
    (site / "c").unlink()
    (site / "bb").write_text("new")
    lines = run_list(site)[1]
    assert read == ["b", "bb"]
    assert lines[1]["sha256"] == hashlib.sha256(b"B").hexdigest()


def test_a_file_that_changed_just_now_is_read_again(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "a").write_text("a")
    run_list(site)
    read: list[str] = []
    monkeypatch.setattr(files, "read_hash", lambda found: read.append(found.path))
    run_list(site)
    assert read == ["a"], "two changes within one tick look the same"


@pytest.mark.parametrize("content", ["", "{", "[1]\n", '["", 0, 0, 1, 0]\n', "\xff"])
def test_a_spoilt_cache_only_costs_time(site: Path, content: str) -> None:
    (site / "a").write_text("a")
    (site.parent / "cache.jsonl").write_text(content, encoding="latin-1")
    assert run_list(site)[1][0]["sha256"] == hashlib.sha256(b"a").hexdigest()


def test_a_file_that_grows_as_it_is_read_ends(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "log").write_text("1")
    original = hashlib.file_digest

    def grow(stream: Any, name: str) -> Any:
        found = original(stream, name)
        with (site / "log").open("a") as log:
            log.write("more")
        return found

    monkeypatch.setattr(files.hashlib, "file_digest", grow)
    listing, (line,) = run_list(site)
    assert line["size"] == len("1more"), "as it was the second time"
    assert listing.bytes == line["size"]


def test_a_file_that_cannot_be_read_is_told(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "bad").write_text("x")
    (site / "good").write_text("x")
    original = files.read_hash

    def refuse(found: Any) -> Any:
        if found.path == "bad":
            raise OSError(5, "Input/output error")
        return original(found)

    monkeypatch.setattr(files, "read_hash", refuse)
    listing, lines = run_list(site)
    assert listing.unread.first == ["bad"]
    assert [bool(line["sha256"]) for line in lines] == [False, True]


def test_folders_without_end_and_files_without_bounds_fail(site: Path) -> None:
    with (site / "sparse").open("wb") as stream:
        stream.truncate(2**43)
    with pytest.raises(Failed, match="more than the disk holds"):
        run_list(site)
    (site / "sparse").unlink()
    os.chdir(site)
    for _ in range(300):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir("/")
    with pytest.raises(Failed, match="folders within each other"):
        run_list(site)


def test_changes_are_found(site: Path) -> None:
    for name in ("a", "b", "c"):
        (site / name).write_text(name)
    run_list(site)

    def find() -> list[str]:
        with files.opened(str(site)) as folder:
            found: list[str] = files.find_changes(
                folder, patterns.make_matcher([".socle"]), site.parent / "cache.jsonl"
            ).first
            return found

    assert find() == []
    (site / "a").unlink()
    (site / "aa").write_text("x")
    (site / "c").write_text("y")
    assert find() == ["a", "aa", "c"]


# What is left out.


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("cache", ["cache"], ["x/cache", "cache2", "cache/x"]),
        ("wp-content/*/tmp", ["wp-content/a/tmp"], ["wp-content/tmp", "wp-content/a/b/tmp"]),
        ("**/tmp", ["tmp", "a/tmp", "a/b/tmp"], ["a/tmpx"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b"]),
        ("?.log", ["a.log"], ["ab.log", "/.log", "a.logx", "axlog"]),
        ("[ab]*", ["a", "bcd"], ["c"]),
        ("[^ab]", ["c"], ["a"]),
        ("\\*", ["*"], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_patterns_match_whole_paths(pattern: str, matching: list[str], others: list[str]) -> None:
    matches: Callable[[str], bool] = patterns.make_matcher([pattern])
    assert [path for path in matching if not matches(path)] == []
    assert [path for path in others if matches(path)] == []


def test_what_is_left_out(site: Path) -> None:
    for name in ("cache", "logs", "kept/cache"):
        (site / name).mkdir(parents=True)
        (site / name / "f").write_text("x")
    (site / ".socle").write_text("which volume")
    _, lines = run_list(site, "cache", "/logs/")
    assert [line["path"] for line in lines] == ["kept", "kept/cache", "kept/cache/f"]


@pytest.mark.parametrize("name", ["data*.sqlite", "a[b]?.db", "back\\slash", "caf\udce9"])
def test_a_databases_own_name_is_no_pattern(name: str) -> None:
    matches = patterns.make_matcher(patterns.make_excluded((), [name]))
    assert all(matches(name + beside) for beside in ("", "-wal", "-shm", "-journal"))
    assert not matches("dataX.sqlite")
    assert not matches("aby.db")


def test_databases_are_found_by_their_patterns_and_through_no_link(site: Path) -> None:
    for name in ("a/one.db", "b/two.db"):
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text("x")
    (site / "c").symlink_to(site / "a")
    (site / "d").mkdir()
    (site / "d/three.db").symlink_to(site / "a/one.db")
    with files.opened(str(site)) as folder:
        assert patterns.find_matching(folder, "*/*.db") == ["a/one.db", "b/two.db"]
        assert patterns.find_matching(folder, "b/two.db") == ["b/two.db"]
        assert patterns.find_matching(folder, "c/one.db") == []
        assert patterns.find_matching(folder, "d/three.db") == []
        assert patterns.find_matching(folder, "none/x.db") == []


def test_what_changed_is_named_and_long_names_are_cut() -> None:
    changes = files.Changes()
    for number in range(30):
        changes.add(f"{number:02}/" + "\U0001f389" * 1000)
    changes.add("last")
    assert (changes.count, len(changes.first)) == (31, 20)
    assert {len(name) for name in changes.first} == {203}
    assert len(json.dumps(changes.first)) < 65536, "as much of a result is read at the least"
    short = files.Changes()
    short.add("caf\udce9.jpg")
    assert short.first == ["caf\udce9.jpg"]
