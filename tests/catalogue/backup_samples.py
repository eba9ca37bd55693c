"""The program that saves sites, as modules, and a host made of stubs for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.catalogue.site_samples import STACKS, load_program

HOST = STACKS / "backup/host"
if str(HOST) not in sys.path:
    sys.path.insert(0, str(HOST))

KEY, CREDENTIAL = "x$HOME#y 50%5Fz q\"'\\ é ", "c`$(id)\\ ü"
TABLES = {"wp_options": 2, "wp_posts": 3}
_RESTIC = """
import json, os, shutil, sys
from pathlib import Path
home = Path({home!r})
folder, staging = sys.argv[-2:]
call = {{"argv": sys.argv, "env": dict(os.environ), "saved": home.joinpath("snapshot").as_posix()}}
shutil.rmtree(home / "snapshot", ignore_errors=True)
shutil.copytree(staging, home / "snapshot", symlinks=True)
(home / "calls").open("a").write(json.dumps(call) + "\\n")
behave = home / "behave.py"
if behave.exists():
    exec(behave.read_text())
print(json.dumps({{"message_type": "summary", "snapshot_id": "5" * 64}}))
"""


def make_dump_text(tables: dict[str, int]) -> bytes:
    """What mariadb-dump prints for tables of that many rows."""
    lines = ["/*M!999999\\- enable the sandbox mode */ ", "-- MariaDB dump"]
    for name, rows in tables.items():
        lines += [f"DROP TABLE IF EXISTS `{name}`;", f"CREATE TABLE `{name}` (", "  `a` int(11)", ");"]
        lines += [f"INSERT INTO `{name}` VALUES ({row},'a\\nINSERT INTO `{name}` VALUES');" for row in range(rows)]  # noqa: S608
    return "\n".join([*lines, "", "-- Dump completed", ""]).encode()


class StubHost:
    """A host with one site, whose programs are stubs: what they were told is in `calls`."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.bin, self.folder = home, home / "bin", home / "sites/wp-a"
        self.bin.mkdir()
        self.folder.mkdir(parents=True)
        (self.folder / "page.txt").write_text("hello")
        self.program = load_program("backup", "backup")
        from backup_host import host, save, vault

        self.save, self.vault = save, vault
        for module in (self.program, host, save):
            monkeypatch.setattr(module, "STATE", home / "state")
        for module in (self.program, save):
            monkeypatch.setattr(module, "load_mounts", lambda: frozenset({str(self.folder)}))
        monkeypatch.setattr(self.program, "CONFIGURATION", home / "etc")
        monkeypatch.setattr(self.program, "METRICS", home / "metrics/socle-backup.prom")
        monkeypatch.setattr(vault, "CACHE", home / "cache")
        for module in (self.program, vault):
            monkeypatch.setattr(module, "can_confine", lambda: False)
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        (home / "metrics").mkdir()
        (home / "etc").mkdir()
        self.write_config()
        self.dump, self.facts = home / "dump.sql", home / "facts.json"
        self.write_database(TABLES)
        self.stub("restic", _RESTIC.format(home=str(home)))
        self.stub("mariadb", f"cat {self.facts}", "/bin/sh")
        self.stub("mariadb-dump", f"cat {self.dump}", "/bin/sh")
        self.stub("dpkg-query", "echo installed restic 0.18.0-1; echo not-installed nginx ''", "/bin/sh")

    def stub(self, name: str, code: str, interpreter: str = f"{sys.executable} -I") -> None:
        """Put a program in the place of another."""
        path = self.bin / name
        path.write_text(f"#!{interpreter}\n{code}")
        path.chmod(0o755)

    def behave(self, code: str) -> None:
        """What restic does before it says that all went well."""
        (self.home / "behave.py").write_text(code)

    def write_config(self, site: str = "wp-a", **changes: Any) -> None:
        config: dict[str, Any] = {
            "site": site,
            "association": "asso",
            "service": "wordpress",
            "url": str(self.home / "repository"),
            "user": "asso",
            "credential": CREDENTIAL,
            "key": KEY,
            "folder": str(self.folder),
            "exclude": ["cache"],
            "sqlite": [],
            "database": "wp_a",
            "packages": ["restic", "nginx"],
        }
        (self.home / f"etc/{site}.json").write_text(json.dumps({**config, **changes}))

    def write_database(self, tables: dict[str, int]) -> None:
        self.write_facts({"wp_a": list(tables)})
        self.dump.write_bytes(make_dump_text(tables))

    def write_facts(self, databases: dict[str, list[str]]) -> None:
        """What the server says that there is."""
        rows = [[name, table, 16384] for name, tables in databases.items() for table in (None, *tables)]
        self.facts.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def run(self, *arguments: str) -> int:
        """Run the program; its exit code."""
        return int(self.program.main(["run", *arguments]))

    def result(self, site: str = "wp-a") -> dict[str, Any]:
        return dict(json.loads((self.home / f"state/results/{site}.json").read_text()))

    @property
    def calls(self) -> list[dict[str, Any]]:
        path = self.home / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "snapshot/manifest.json").read_text()))

    @property
    def files(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.home / "snapshot/files.jsonl").read_text().splitlines()]

    def left(self) -> list[Path]:
        """What a run left where it prepares saves."""
        state = self.home / "state"
        return [*(state / "staging").iterdir(), *(state / "copies").iterdir(), *state.rglob("*.new")]


def load_part(name: str) -> ModuleType:
    """A module of the program."""
    import importlib

    return importlib.import_module(f"backup_host.{name}")
