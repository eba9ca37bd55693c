"""What is checked before anything is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.backup_samples import load_part
from tests.unit.restore.samples import load_host

manifest = load_host("manifest")
Failed = load_part("programs").Failed
DATA: dict[str, Any] = {
    "format": 1,
    "site": "wp-a",
    "association": "a",
    "versions": {"nginx": "1"},
    "files": {"count": 2, "bytes": 1000, "sha256": "0" * 64},
    "database": {"name": "wp_a", "bytes": 1000, "sha256": "1" * 64, "tables": {"t": 3}},
    "sqlite": {},
}
CONFIG = {"site": "wp-a", "association": "a", "database": "wp_a"}


def load(path: Path, **changes: Any) -> Any:
    file = path / "manifest.json"
    file.write_text(json.dumps({**DATA, **changes}))
    return manifest.load_manifest(file)


def test_a_good_one_has_no_problem(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert list(manifest.find_problems(found, CONFIG, {"files": 1000, "database": 10**6})) == []
    assert found.tables == {"t": 3}


@pytest.mark.parametrize(
    ("changes", "config", "room", "problem"),
    [
        ({"site": "wp-b"}, {}, {}, "of the site 'wp-b'"),
        ({"association": "b"}, {}, {}, "of the association 'b'"),
        ({"database": None}, {}, {}, "holds no database"),
        ({}, {"database": None}, {}, "holds a database"),
        ({"database": {**DATA["database"], "name": "wp_b"}}, {}, {}, "database 'wp_b'"),
        ({}, {}, {"files": 999}, "its volume holds 999"),
        ({}, {}, {"database": 1500}, "has 1500 free"),
    ],
)
def test_problems(
    tmp_path: Path, changes: dict[str, Any], config: dict[str, Any], room: dict[str, int], problem: str
) -> None:
    found = "; ".join(manifest.find_problems(load(tmp_path, **changes), {**CONFIG, **config}, room))
    assert problem in found


@pytest.mark.parametrize("changes", [{"format": 2}, {"files": {}}, {"database": {"name": "x"}}, {"versions": [1]}])
def test_what_is_no_manifest_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(Failed, match="manifest"):
        load(tmp_path, **changes)


def test_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="has no manifest"):
        manifest.load_manifest(tmp_path / "manifest.json")


@pytest.mark.parametrize(
    ("made", "here", "refused"),
    [
        ("1:11.8.9-0+deb13u1", "11.8.2-MariaDB", False),
        ("10.11.6-MariaDB", "11.8.2-MariaDB", False),
        ("1:11.8.2-0+deb13u1", "10.11.14-MariaDB", True),
        ("11.10.1-MariaDB", "11.8.2-MariaDB", True),
        ("12.0.1-MariaDB", "11.8.2-MariaDB", True),
    ],
)
def test_a_dump_of_a_newer_series_is_refused(made: str, here: str, refused: bool) -> None:
    assert bool(manifest.find_newer(made, here)) == refused


def test_what_is_no_version_is_refused() -> None:
    with pytest.raises(Failed, match="hello"):
        manifest.find_newer("hello", "11.8.2-MariaDB")


def test_versions_that_differ_are_told() -> None:
    then = {"nginx": "1", "php": "8", "gone": "1"}
    assert manifest.make_version_notes(then, {"nginx": "1", "php": "9"}) == [
        "gone: 1 then, not installed here",
        "php: 8 then, 9 here",
    ]
