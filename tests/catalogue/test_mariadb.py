"""What a site has in MariaDB, and the watch on its size."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import pytest

from socle.sites.resources import Database, File, Grant
from tests.catalogue.site_samples import SECRETS, STACKS, make_plan, make_site, stack

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
    loader = importlib.machinery.SourceFileLoader("database_quota", str(STACKS / "mariadb/host/database-quota"))
    spec = importlib.util.spec_from_loader("database_quota", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    monkeypatch.setattr(module, "QUOTAS", tmp_path / "quota")
    monkeypatch.setattr(module, "DATA", tmp_path / "data")
    (tmp_path / "quota").mkdir()
    (tmp_path / "data/wp_a").mkdir(parents=True)
    (tmp_path / "quota/wp-a.json").write_text('{"database": "wp_a", "bytes": 1000000}')
    return module


class Server:
    """A MariaDB that only knows whose account is limited, and how much is free in tables."""

    def __init__(self, data: Path) -> None:
        self.statements: list[str] = []
        self.limited = False
        self.free = 0
        self.data = data

    def fill(self, size: int) -> None:
        (self.data / "wp_a/wp_posts.ibd").write_bytes(os.urandom(size))

    def sql(self, statements: str) -> list[str]:
        self.statements.append(statements)
        if "mysql.db" in statements:
            return ["wp_a"] if self.limited else []
        if "SUM(DATA_FREE)" in statements:
            return [str(self.free)]
        if "DATA_FREE >=" in statements:
            return ["wp_posts"] if self.free else []
        if statements.startswith("OPTIMIZE"):
            self.fill(1000)
        if "GRANT" in statements:
            self.limited = "INSERT" not in statements
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
    server.fill(1_100_000)
    quota.run_round()
    assert server.limited
    assert "<3>wp_0: no such account" in capsys.readouterr().out
