"""A dump on its way into a database: what is read in it, and the statements around it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.unit.restore.samples import load_host

loading = load_host("loading")


def read(text: bytes) -> tuple[bytes, Any]:
    reading = loading.Reading("11.8.2-MariaDB")
    return b"".join(reading.read(text.splitlines(keepends=True))), reading


def expect(text: bytes) -> dict[str, Any]:
    return {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}


DUMP = b"CREATE TABLE `a` (\n);\nINSERT INTO `a` VALUES (1);\n-- Dump completed\n"


def test_a_whole_dump_is_taken() -> None:
    text, reading = read(DUMP)
    assert (text, reading.find_problem(expect(DUMP))) == (DUMP, "")


def test_a_cut_dump_is_refused_with_its_line() -> None:
    cut = DUMP[: DUMP.index(b"-- Dump")]
    _, reading = read(cut)
    assert "cut at line 3" in reading.find_problem(expect(cut))


def test_an_empty_dump_is_refused() -> None:
    assert read(b"")[1].find_problem(expect(b"")) == "the dump is empty"


HEAD = b"-- MariaDB dump 10.19-11.8.9-MariaDB, for debian\n-- Host: x\n-- Server version\t%s-MariaDB-0 from Debian\n"


@pytest.mark.parametrize("version", [b"11.8.9", b"10.11.6", b"5.5.68"])
def test_a_dump_of_this_series_or_an_older_one_is_taken(version: bytes) -> None:
    assert read(HEAD % version + DUMP)[1].lines == 7


@pytest.mark.parametrize("version", [b"12.0.1", b"11.10.1"])
def test_a_dump_of_a_newer_series_stops_before_its_first_statement(version: bytes) -> None:
    reading = loading.Reading("11.8.2-MariaDB")
    lines = reading.read((HEAD % version + DUMP).splitlines(keepends=True))
    with pytest.raises(loading.Failed, match="bring the host"):
        list(lines)
    assert reading.lines == 3


def test_rows_do_not_speak_of_versions() -> None:
    text = DUMP + b"-- filler\n" * 20 + b"-- Server version\t99.1.1\n"
    assert read(text)[0] == text


def test_another_dump_is_refused() -> None:
    _, reading = read(DUMP.replace(b"(1)", b"(2)"))
    assert "not the one that the manifest describes" in reading.find_problem(expect(DUMP))


# As mariadb-dump of MariaDB 11.8 writes them.
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n", b"/*!50013  SQL SECURITY DEFINER */\n"),
        (b"CREATE DEFINER=`o``d`@`%` PROCEDURE `p`()\n", b"CREATE  PROCEDURE `p`()\n"),
        (
            b"/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER tr BEFORE INSERT\n",
            b"/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER tr BEFORE INSERT\n",
        ),
        (
            b"/*!50106 CREATE*/ /*!50117 DEFINER=`root`@`localhost`*/ /*!50106 EVENT `e` ON SCHEDULE\n",
            b"/*!50106 CREATE*/ /*!50117 */ /*!50106 EVENT `e` ON SCHEDULE\n",
        ),
    ],
)
def test_nobody_elses_rights_come_with_a_dump(line: bytes, expected: bytes) -> None:
    assert read(line)[0] == expected


@pytest.mark.parametrize(
    "line",
    [
        b"INSERT INTO `a` VALUES (1,'CREATE DEFINER=`root`@`localhost` VIEW');\n",
        b"  `a` text COMMENT 'DEFINER=`root`@`localhost`',\n",
    ],
)
def test_what_a_site_wrote_stays_as_it_is(line: bytes) -> None:
    assert read(line)[0] == line


def test_all_tables_move_by_one_statement() -> None:
    assert loading.make_move("wp_a", ["old", "o`dd"], ["new"]) == (
        "RENAME TABLE `wp_a`.`old` TO `socle_former_wp_a`.`old`, `wp_a`.`o``dd` TO `socle_former_wp_a`.`o``dd`,"
        " `socle_staging_wp_a`.`new` TO `wp_a`.`new`;"
    )


def test_what_is_in_the_way_of_a_move_is_dropped() -> None:
    content = loading.parse_content(
        [["BASE TABLE", "t"], ["SEQUENCE", "s"], ["VIEW", "v"], ["TRIGGER", "tr"], ["FUNCTION", "f"], ["EVENT", "e"]]
    )
    assert (content.tables, content.movable) == (("t",), ("t", "s"))
    assert loading.make_drops("wp_a", content) == (
        "DROP VIEW `wp_a`.`v`; DROP TRIGGER `wp_a`.`tr`; DROP FUNCTION `wp_a`.`f`; DROP EVENT `wp_a`.`e`;"
    )


def test_rights_are_on_one_database_to_the_letter() -> None:
    assert loading.make_grant("a_b", "SELECT", "a_b") == "GRANT SELECT ON `a\\_b`.* TO 'a_b'@'localhost';"
    assert loading.make_revoke("a_b", "SELECT", "a_b").endswith("REVOKE SELECT ON `a\\_b`.* FROM 'a_b'@'localhost';")


def test_rows_are_counted_by_position_so_that_names_may_hold_anything() -> None:
    query = loading.make_counts_query("wp_a", ["t", "x`; DROP TABLE y"])
    assert query == (
        "SELECT JSON_ARRAY(0, COUNT(*)) FROM `wp_a`.`t` UNION ALL"
        " SELECT JSON_ARRAY(1, COUNT(*)) FROM `wp_a`.`x``; DROP TABLE y`;"
    )


def test_what_is_not_as_it_was_loaded_is_not_swapped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has dropped what was loaded: swapped in, nothing would take the place of the site's tables."""
    said: list[str] = []
    loader = loading.Loader("wp_a", "p", 2000)
    monkeypatch.setattr(loading, "load_content", lambda _name: loading.Content(tables=("wp_posts",)))
    monkeypatch.setattr(loading, "load_server", lambda: "11.8.0")
    monkeypatch.setattr(loading, "sql", lambda text: said.append(text) or [[0, 3]])
    monkeypatch.setattr(loader, "_feed", lambda lines, _database: [*lines] and "")
    with pytest.raises(loading.Failed, match="not as it was loaded"):
        loader.swap()
    expected = {"bytes": len(DUMP), "sha256": hashlib.sha256(DUMP).hexdigest(), "tables": {"wp_posts": 3}}
    assert loader.load(DUMP.splitlines(keepends=True), expected) == 3
    assert [text for text in said if "max_allowed_packet" in text][-1].endswith("max_allowed_packet = DEFAULT;")
    said.clear()
    monkeypatch.setattr(loading, "load_content", lambda _name: loading.Content())
    with pytest.raises(loading.Failed, match="not as it was loaded"):
        loader.swap()
    assert said == [], "nothing was moved"


def test_rows_that_differ_are_named() -> None:
    assert loading.find_count_problem({"a": 1}, {"a": 1}) == ""
    problem = loading.find_count_problem({"a": 1, "b": 2}, {"a": 3, "c": 4})
    assert problem == "3 tables differ: a: 3 rows, 1 saved, b: no table rows, 2 saved, c: 4 rows, not one saved"


@pytest.mark.parametrize("name", ["A", "a-b", "a`b", "", "a" * 50])
def test_names_that_need_quoting_are_refused(name: str) -> None:
    with pytest.raises(loading.Failed):
        loading.check_name(name)


def test_a_row_ends_with_a_line_feed_and_nothing_else() -> None:
    rows = [["BASE TABLE", "a\u2028b"], ["BASE TABLE", "a\x85b"]]
    output = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    assert loading.parse_rows(output) == rows
