"""What the agent does when something under its stamps was lost: a volume, a database, an index."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from socle.sites.agent import applying, index, main, making, reading
from socle.sites.agent.programs import Failed
from socle.sites.desired import Wanted, make_wanted
from socle.sites.difference import make_difference, parse_seen
from socle.sites.resources import Database, Directory, Mount, Unit
from socle.sites.waiting import hold
from tests.unit.sites.test_agent import GROUP, OWNER, Programs, make_file, make_shared, programs, read, run

__all__ = ["programs"]


class Databases(dict[str, str]):
    """Databases of a server, with their comments, and what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []


@pytest.fixture
def volumes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """Two volumes that are mounted."""
    mounted = {str(tmp_path / name) for name in ("a", "b")}
    for path in mounted:
        Path(path).mkdir()
    for module in (applying, reading):
        monkeypatch.setattr(module, "load_mounts", lambda: mounted)
    return mounted


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Databases:
    """A server of databases."""
    there = Databases()

    def sql(statements: str) -> list[Any]:
        if statements.startswith("CREATE DATABASE"):
            name = statements.split("`")[1]
            there[name] = f"socle:{name}"
        for name in re.findall(r"DROP DATABASE IF EXISTS `(\w+)`", statements):
            del there[name]
        if "JSON_QUOTE(SCHEMA_NAME)" in statements:
            return list(there)
        if "JSON_QUOTE(Db)" in statements:
            return [name.replace("_", "\\_") for name in there]
        there.asked.append(statements)
        return [list(item) for item in there.items()]

    for module in (making, reading):
        monkeypatch.setattr(module, "sql", sql)
    return there


def make_site(tmp_path: Path, name: str) -> Wanted:
    volume = tmp_path / name
    inside = Directory(str(volume / "data"), 0o750, OWNER, GROUP)
    return make_wanted(name, name, (Mount(str(volume)), inside, Database(f"wp_{name}")))


def test_a_volume_replaced_by_an_empty_one_is_seen_and_filled(
    programs: Programs, volumes: set[str], databases: Databases, tmp_path: Path
) -> None:
    a, b = make_site(tmp_path, "a"), make_site(tmp_path, "b")
    assert run(a, b)[1] == {}
    assert run(a, b) == (0, {})
    (tmp_path / "a").rename(tmp_path / "lost")
    (tmp_path / "a").mkdir()
    assert "not the volume it was made on" in read(a, b)["sites"]["a"]["note"]
    assert read(a, b)["sites"]["b"]["note"] == ""
    assert run(a, b) == (1, {})
    assert (tmp_path / "a/data").is_dir()
    assert run(a, b) == (0, {})


def test_a_site_on_another_volume_that_is_empty_is_bare_until_it_is_filled(
    programs: Programs, volumes: set[str], databases: Databases, tmp_path: Path
) -> None:
    a, b = make_site(tmp_path, "a"), make_site(tmp_path, "b")
    assert {name: site["bare"] for name, site in read(a, b)["sites"].items()} == {"a": True, "b": True}, "new"
    run(a, b)
    (tmp_path / "a/data/theirs").write_text("x")
    (tmp_path / "a").rename(tmp_path / "lost")
    (tmp_path / "a").mkdir()
    sites = read(a, b, full=True)["sites"]
    assert {name: site["bare"] for name, site in sites.items()} == {"a": True, "b": False}
    (held,) = (hold(one) for one in make_difference({"a": a, "b": b}, parse_seen(read(a, b)), {}))
    assert main.apply({"sites": {"a": json.loads(json.dumps(held.payload()))}}) == {"errors": {}}
    assert (tmp_path / "a/data").is_dir()
    (tmp_path / "a/data/ours").symlink_to("/usr/share/ours")
    assert not (tmp_path / "a/.socle").exists(), "it has no number: it is not the site's own yet"
    assert read(a)["sites"]["a"]["bare"]
    (tmp_path / "a/data/theirs").write_text("x")
    assert not read(a)["sites"]["a"]["bare"]
    assert run(a, b) == (1, {})
    assert (tmp_path / "a/.socle").exists()
    assert run(a, b) == (0, {})


def test_what_a_restore_has_closed_stays_closed(
    programs: Programs,
    volumes: set[str],
    databases: Databases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(applying, "RESTORING", str(tmp_path / "restoring"))
    a, b = make_site(tmp_path, "a"), make_site(tmp_path, "b")
    run(a, b)
    (tmp_path / "restoring").mkdir()
    (tmp_path / "restoring/a").touch()
    for name in ("a", "b"):
        (tmp_path / name / "data").chmod(0o700)
    asked = len(databases.asked)
    assert "run socle restore again" in run(a, b, full=True)[1]["a"]
    assert [(tmp_path / name / "data").stat().st_mode & 0o777 for name in ("a", "b")] == [0o700, 0o750]
    assert not any("socle_staging_wp_a" in said for said in databases.asked[asked:])
    (tmp_path / "restoring/a").unlink()
    assert run(a, b, full=True)[1] == {}
    (tmp_path / "restoring/a").touch()
    assert run(b)[1] == {}, "a site that nobody wants any more may go"


def test_a_volume_without_its_number_is_read_anew(
    programs: Programs, volumes: set[str], databases: Databases, tmp_path: Path
) -> None:
    a = make_site(tmp_path, "a")
    run(a)
    identity = tmp_path / "a/.socle"
    assert identity.stat().st_mode & 0o7777 == 0o400
    identity.unlink()
    assert run(a) == (1, {}), "read anew, and given a number again"
    assert identity.exists()
    assert run(a) == (0, {})


def test_the_volume_of_another_site_is_refused(
    programs: Programs, volumes: set[str], databases: Databases, tmp_path: Path
) -> None:
    a, b = make_site(tmp_path, "a"), make_site(tmp_path, "b")
    run(a)
    (tmp_path / "b").rmdir()
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()
    assert "this is the volume of a" in run(a, b)[1]["b"]


def test_a_lost_database_is_seen_and_made(
    programs: Programs, volumes: set[str], databases: Databases, tmp_path: Path
) -> None:
    a, b = make_site(tmp_path, "a"), make_site(tmp_path, "b")
    run(a, b)
    del databases["wp_b"]
    assert "wp_b is gone" in read(a, b)["sites"]["b"]["note"]
    assert run(a, b) == (1, {})
    assert set(databases) == {"wp_a", "wp_b"}
    assert run(a, b) == (0, {})


def test_a_server_of_databases_that_is_down_is_no_green_plan(
    programs: Programs,
    volumes: set[str],
    databases: Databases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a = make_site(tmp_path, "a")
    run(a)

    def down(_statements: str) -> list[Any]:
        raise Failed("mariadb: cannot connect")

    for module in (making, reading):
        monkeypatch.setattr(module, "sql", down)
    assert "cannot connect" in run(a)[1]["a"]


def test_sites_made_before_volumes_had_numbers_get_one_without_a_word(
    programs: Programs, volumes: set[str], databases: Databases, tmp_path: Path
) -> None:
    a = make_site(tmp_path, "a")
    run(a)
    (tmp_path / "a/.socle").unlink()
    data = json.loads((tmp_path / "index/a.json").read_text())
    del data["volumes"]
    (tmp_path / "index/a.json").write_text(json.dumps(data))
    assert read(a)["sites"]["a"]["note"] == ""
    assert run(a) == (1, {})
    assert run(a) == (0, {})


def test_two_hundred_sites_are_proved_by_one_query(
    programs: Programs, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"s{number}" for number in range(200)]
    for name in names:
        (tmp_path / name).mkdir()
    for module in (applying, reading):
        monkeypatch.setattr(module, "load_mounts", lambda: {str(tmp_path / name) for name in names})
    sites = [make_site(tmp_path, name) for name in names]
    assert run(*sites)[1] == {}
    asked: list[str] = []
    monkeypatch.setattr(reading, "sql", lambda text: asked.append(text) or [list(item) for item in databases.items()])
    assert run(*sites) == (0, {})
    assert len(asked) == 1


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"keys": 3}'])
def test_a_spoilt_index_is_said_and_stops_nobody(programs: Programs, tmp_path: Path, content: bytes) -> None:
    def site(name: str) -> Wanted:
        unit = Unit(f"{name}.service", (f"file:{tmp_path}/{name}",))
        return make_wanted(
            name, name, (make_file(tmp_path / name, b"x"), make_shared(tmp_path / f"{name}.c", b"x"), unit)
        )

    run(site("a"), site("b"))
    (tmp_path / "index/a.json").write_bytes(content)
    (tmp_path / "index/gone.json").write_bytes(content)
    notes = {name: found["note"] for name, found in read(site("a"), site("b"))["sites"].items()}
    assert "cannot be read" in notes["a"]
    assert "cannot be read" in notes["gone"]
    assert notes["b"] == ""
    assert run(site("a"), site("b"))[1] == {}, "what is exactly as wanted is found again"
    assert run(site("a"), site("b")) == (0, {})
    (tmp_path / "index/a.json").write_bytes(content)
    (tmp_path / "a").write_bytes(b"another's")
    assert "not ours" in run(site("a"), site("b"))[1]["a"]


def test_an_index_reaches_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "INDEX", str(tmp_path))
    calls: list[str] = []
    rename = os.rename
    monkeypatch.setattr(index, "sync_disk", lambda: calls.append("sync"))
    monkeypatch.setattr(index.os, "rename", lambda *names: calls.append("rename") or rename(*names))
    monkeypatch.setattr(index.os, "fsync", lambda _handle: calls.append("folder"))
    indexes = {name: {**index.new_index(), "keys": ["file:/x"]} for name in ("a", "b")}
    assert index.save_indexes(indexes) == {}
    assert calls == ["sync", "rename", "rename", "folder"]
    assert index.load_indexes() == indexes


def test_what_an_installation_that_died_left_is_dropped(
    programs: Programs, volumes: set[str], databases: Databases, tmp_path: Path
) -> None:
    a, b = make_site(tmp_path, "a"), make_site(tmp_path, "b")
    databases.update({"socle_staging_wp_a": "", "socle_staging_wp_stranger": ""})
    assert run(a, b)[1] == {}
    assert set(databases) == {"wp_a", "wp_b", "socle_staging_wp_stranger"}
    assert any("REVOKE ALL PRIVILEGES ON `socle\\_staging\\_wp\\_a`.*" in text for text in databases.asked)


def test_what_runs_on_the_volume_from_before_is_restarted(
    programs: Programs, volumes: set[str], databases: Databases, tmp_path: Path
) -> None:
    site = make_wanted("a", "a", (Mount(str(tmp_path / "a")), Unit("a.service")))
    run(site)
    (tmp_path / "a").rename(tmp_path / "lost")
    (tmp_path / "a").mkdir()
    assert run(site) == (1, {})
    assert programs.count("systemctl", "restart", "a.service") == 2
