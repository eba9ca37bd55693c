"""Dumps of databases, read as they go by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.catalogue.backup_samples import load_part, make_dump_text

database = load_part("database")
host = load_part("host")
Failed = load_part("programs").Failed


def read(text: bytes) -> Any:
    check = database.DumpCheck()
    assert b"".join(check.read(text.splitlines(keepends=True))) == text, "what is saved is what was dumped"
    return check


def test_rows_are_counted_table_by_table() -> None:
    check = read(make_dump_text({"wp_options": 2, "wp_posts": 0, "wp_terms": 1}))
    assert check.rows == {"wp_options": 2, "wp_posts": 0, "wp_terms": 1}
    assert check.find_problem(["wp_options", "wp_terms"]) == ""


# As MariaDB 11.8 writes it.
_ODD = b"""CREATE SEQUENCE `seq` start with 1;
DO SETVAL(`seq`, 1, 0);
CREATE TABLE `odd ``name` (
  `e` enum('a\\nINSERT INTO `odd ``name` VALUES (1)') COMMENT 'x\\nCREATE TABLE `fake` (',
);
INSERT INTO `odd ``name` VALUES (1,'l1\\nINSERT INTO `odd ``name` VALUES (1);',0x00FF);
CREATE TABLE `new
line` (
  `a` int
);
INSERT INTO `new
line` VALUES (1);
INSERT INTO `new
line` VALUES (2);
CREATE TABLE `inv` (
INSERT INTO `inv` (`a`, `c`) VALUES (1,3);
INSERT INTO `inv` (`a`, `c`) VALUES (2,3);
CREATE TABLE `caf\xe9` (
/*!50001 CREATE VIEW `v` AS SELECT
 NULL AS `id` */;
/*!50001 VIEW `v` AS select 1 AS `
INSERT INTO `v` VALUES (` */;
-- Dump completed
"""


def test_names_and_values_may_hold_anything() -> None:
    check = read(_ODD)
    rows = {name: count for name, count in check.rows.items() if name != "v"}
    assert rows == {"odd `name": 1, "new\nline": 2, "inv": 2, "caf\udce9": 0}
    assert check.find_problem(["seq", "v", "odd `name", "new\nline", "inv", "caf\udce9"]) == ""
    assert "lacks 1 of its tables: fake" in check.find_problem(["fake"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "empty"),
        (b"\n\n", "cut"),
        (_ODD.replace(b"-- Dump completed\n", b""), "cut"),
        (_ODD + b"mariadb-dump: Error 2013: Lost connection\n", "cut"),
        (_ODD[:-5], "cut"),
        (b"INSERT INTO `wp_posts` VALUES (1);\n-- Dump completed\n", "lacks 1 of its tables: wp_posts"),
        (b"-- Dump completed\n", "lacks 1 of its tables: wp_posts"),
    ],
)
def test_what_is_no_whole_dump_is_told(text: bytes, problem: str) -> None:
    assert problem in read(text).find_problem(["wp_posts"])


def test_a_dump_with_a_date_is_whole() -> None:
    assert read(b"CREATE TABLE `a` (\n-- Dump completed on 2026-11-27  1:30:00\n\n").find_problem(["a"]) == ""


def test_a_name_that_never_ends_does_not_fill_the_memory() -> None:
    check = read(b"INSERT INTO `\n" + b"x\n" * 5000 + b"CREATE TABLE `a` (\n-- Dump completed\n")
    assert check.find_problem(["a"]) == ""


def test_the_command_is_as_expected() -> None:
    assert " ".join(database.make_dump("wp_a")) == (
        "mariadb-dump --no-defaults --protocol=socket --default-character-set=utf8mb4 --single-transaction --quick"
        " --skip-extended-insert --no-autocommit --hex-blob --routines --triggers --events --skip-dump-date -- wp_a"
    )


def test_one_query_asks_for_all_databases() -> None:
    query = database.make_facts_query(["wp_a", "wp_b"])
    assert query.count("UNION ALL") == 3
    assert query.endswith("WHERE TABLE_SCHEMA = 'wp_b';")
    with pytest.raises(Failed):
        database.make_facts_query(["wp'a"])


def test_answers_of_the_server_are_read_whatever_names_are() -> None:
    rows = [["wp_a", None, 0], ["wp_a", "new\nline", 10], ["wp_a", "é", 5], ["wp_b", None, 0]]
    found = database.parse_facts("".join(f"{json.dumps(row)}\n" for row in rows).encode())
    assert found["wp_a"] == database.Facts(frozenset({"new\nline", "é"}), 15)
    assert found["wp_b"].names == frozenset()


def test_a_name_may_hold_what_unicode_calls_the_end_of_a_line() -> None:
    names = ["a\u2028b", "a\u2029b", "a\x85b", "a\x0cb"]
    rows = [["wp_a", None, 0], *(["wp_a", name, 2] for name in names)]
    output = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    assert database.parse_facts(output) == {"wp_a": database.Facts(frozenset(names), 8)}


def test_a_database_that_nobody_can_speak_of_costs_its_own_site(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: list[str], **_: Any) -> Any:
        said = b"".join(
            json.dumps([name, "t", 1]).encode() + b"\n" for name in ("wp_a", "wp_b") if f"'{name}'" in arguments[-1]
        )
        broken = b"{\n" if "'wp_b'" in arguments[-1] else b""
        return type("Result", (), {"returncode": 0, "stdout": said + broken, "stderr": b""})

    monkeypatch.setattr(database, "run_program", run)
    databases = host.Databases(["wp_a", "wp_b", "wp_c"])
    assert databases.find("wp_a").names == {"t"}
    with pytest.raises(Failed, match="cannot be read"):
        databases.find("wp_b")
    with pytest.raises(Failed, match="wp_c is not there"):
        databases.find("wp_c")
