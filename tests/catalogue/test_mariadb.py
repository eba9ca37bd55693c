"""What a site has in MariaDB, and the watch on its size."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

from socle.sites.resources import Database, File, Grant
from tests.catalogue.site_samples import SECRETS, STACKS, load_program, make_plan, make_site, stack

SITE = stack("mariadb", "site")


def test_a_site_has_a_database_an_account_and_a_limit() -> None:
    database, grant, limit = SITE.make_site(make_site(), make_plan(), SECRETS)
    assert database == Database("wp_ecole")
    assert grant == Grant("wp_ecole", SECRETS["database_password"])
    assert isinstance(limit, File)
    assert json.loads(limit.content) == {"database": "wp_ecole", "bytes": 256 * 1024**2}


def test_a_site_without_database_has_nothing() -> None:
    assert SITE.make_site(make_site(database=None), make_plan(), SECRETS) == ()


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    module = load_program("mariadb", "database-quota")
    monkeypatch.setattr(module, "QUOTAS", tmp_path / "quota")
    monkeypatch.setattr(module, "DATA", tmp_path / "data")
    (tmp_path / "quota").mkdir()
    (tmp_path / "data/wp_a").mkdir(parents=True)
    (tmp_path / "quota/wp-a.json").write_text('{"database": "wp_a", "bytes": 1000000}')
    return module


FULL = {
    *("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "REFERENCES", "INDEX", "ALTER"),
    *("CREATE TEMPORARY TABLES", "LOCK TABLES", "CREATE VIEW", "SHOW VIEW"),
}
LIMITED = {"SELECT", "DELETE", "LOCK TABLES", "SHOW VIEW"}


class Server:
    """A MariaDB that only knows what accounts may do, what runs, and how much is free in tables."""

    def __init__(self, data: Path) -> None:
        self.statements: list[str] = []
        self.lowest = len(FULL)
        self.held = {"wp_a": FULL}
        self.transactions: list[str] = []
        self.free = 0
        self.data = data

    @property
    def limited(self) -> bool:
        return "INSERT" not in self.held["wp_a"]

    def fill(self, size: int, file: str = "wp_a/wp_posts.ibd") -> None:
        (self.data / file).write_bytes(os.urandom(size))

    def sql(self, statements: str) -> list[str]:
        self.statements.append(statements)
        if "mysql.db" in statements:
            return [f"{name}:{','.join(sorted(rights))}" for name, rights in self.held.items()]
        if "INNODB_TRX" in statements:
            return self.transactions
        if "SUM(DATA_FREE)" in statements:
            return [str(self.free)]
        if "DATA_FREE >=" in statements:
            return ["wp_posts"] if self.free else []
        if statements.startswith("OPTIMIZE"):
            self.fill(1000)
        if found := re.match(r"(GRANT|REVOKE) (.*?) ON .*?'(\w+)'@", statements):
            rights = set(found[2].split(", "))
            held = self.held[found[3]]
            self.held[found[3]] = held | rights if found[1] == "GRANT" else held - rights
            self.lowest = min(self.lowest, len(self.held[found[3]]))
        return []


def test_rights_go_above_the_limit_and_come_back_below(quota: ModuleType, tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    quota.sql = server.sql
    server.fill(900_000)
    quota.run_round()
    assert not server.limited
    server.fill(1_100_000)
    quota.run_round()
    assert server.limited
    assert any("KILL USER 'wp_a'@'localhost'" in statement for statement in server.statements)
    assert any("ON `wp\\_a`.*" in statement for statement in server.statements)
    quota.run_round()
    assert server.limited, "files that do not shrink are no reason to give rights back"
    server.free = 1_000_000
    quota.run_round()
    assert not server.limited
    assert any(statement == "OPTIMIZE TABLE `wp_a`.`wp_posts`;" for statement in server.statements)


def test_one_database_in_trouble_does_not_stop_the_watch(
    quota: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(tmp_path / "data")
    (tmp_path / "quota/wp-0.json").write_text('{"database": "wp_0", "bytes": -1}')

    def sql(statements: str) -> list[str]:
        if "wp_0" in statements or "wp\\_0" in statements:
            raise RuntimeError("no such account")
        return server.sql(statements)

    quota.sql = sql
    server.held["wp_0"] = FULL
    server.fill(1_100_000)
    quota.run_round()
    assert server.limited
    assert "<3>wp_0: no such account" in capsys.readouterr().out


def test_rights_are_never_all_taken_on_the_way(quota: ModuleType, tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    quota.sql = server.sql
    server.fill(1_100_000)
    quota.run_round()
    assert server.held["wp_a"] == LIMITED
    server.fill(1000)
    quota.run_round()
    assert server.held["wp_a"] == FULL
    assert server.lowest == len(LIMITED)
    assert not [
        text for text in server.statements if "GRANT" in text and text.count("; GRANT") + text.count("REVOKE") > 1
    ]


@pytest.mark.parametrize("left", [set(), LIMITED, FULL - {"ALTER"}])
def test_an_account_that_lost_rights_gets_them_back(quota: ModuleType, tmp_path: Path, left: set[str]) -> None:
    server = Server(tmp_path / "data")
    quota.sql = server.sql
    server.held["wp_a"] = left
    server.fill(1000)
    quota.run_round()
    assert server.held["wp_a"] == FULL
    said = len(server.statements)
    quota.run_round()
    assert len(server.statements) == said + 1, "an account that is as it should be is only looked at"


def test_an_account_without_rights_above_its_limit_may_only_read_and_delete(quota: ModuleType, tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    quota.sql = server.sql
    server.held["wp_a"] = set()
    server.fill(1_100_000)
    quota.run_round()
    assert server.held["wp_a"] == LIMITED


def test_an_account_that_is_not_made_yet_is_left_alone(
    quota: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(tmp_path / "data")
    server.held.clear()
    quota.sql = server.sql
    quota.run_round()
    assert capsys.readouterr().out == ""
    assert len(server.statements) == 1


def test_what_no_quota_counts_does_not_fill_the_volume(
    quota: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(tmp_path / "data")
    quota.sql = server.sql
    quota.VOLUME = tmp_path / "quota/volume"
    quota.VOLUME.write_text('{"bytes": 10000000}')
    (tmp_path / "quota/wp-b.json").write_text('{"database": "wp_b", "bytes": 1000000}')
    (tmp_path / "data/wp_b").mkdir()
    server.held["wp_b"] = FULL
    server.transactions = ["41 wp_b"]
    server.fill(500_000)
    server.fill(400_000, "wp_b/wp_posts.ibd")
    server.fill(7_000_000, "undo001")
    taken = quota.run_round(0)
    assert (server.held["wp_a"], server.held["wp_b"]) == (FULL, FULL)
    server.fill(8_000_000, "undo001")
    taken = quota.run_round(taken)
    assert "KILL 41;" in server.statements
    assert (server.held["wp_a"], server.held["wp_b"]) == (LIMITED, FULL), "the largest first"
    said = capsys.readouterr().out
    assert "enlarge it" in said
    assert "wp_b: the databases' volume is nearly full: its long transaction was ended" in said
    taken = quota.run_round(taken)
    assert server.held["wp_b"] == FULL, "what does not grow any more takes no more rights"
    server.fill(8_100_000, "undo001")
    taken = quota.run_round(taken)
    assert server.held["wp_b"] == LIMITED
    server.fill(7_000_000, "undo001")
    taken = quota.run_round(taken)
    assert (server.held["wp_a"], server.held["wp_b"]) == (LIMITED, LIMITED), "not while there is little room"
    server.fill(1000, "undo001")
    quota.run_round(taken)
    assert (server.held["wp_a"], server.held["wp_b"]) == (FULL, FULL)


def test_the_watch_knows_the_size_of_the_volume() -> None:
    assert json.loads(stack("mariadb", "deploy").render_volume()) == {
        "bytes": stack("mariadb", "service").SERVICE.data.size
    }


def test_one_transaction_cannot_fill_the_volume() -> None:
    settings = (STACKS / "mariadb/templates/60-socle.cnf").read_text()
    for setting in (
        "innodb_undo_log_truncate = ON",
        "innodb_max_undo_log_size = ",
        "innodb_temp_data_file_path = ibtmp1:12M:autoextend:max:",
        "idle_transaction_timeout = 60",
        "idle_write_transaction_timeout = 30",
        "max_statement_time = 120",
    ):
        assert setting in settings
