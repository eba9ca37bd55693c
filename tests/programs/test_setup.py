"""Set-up: what its files promise each other, and counting tests."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from setup import suites

REPO = Path(__file__).resolve().parents[2]
LOCKED = (REPO / "requirements.txt").read_text(encoding="utf-8")


def _make_pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def test_every_package_is_locked_by_hash_and_no_place_is_named() -> None:
    entries = re.split(r"^(?=[a-z0-9])", LOCKED, flags=re.MULTILINE)[1:]
    assert len(entries) == len(_make_pins(LOCKED)) > 50
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in LOCKED + (REPO / "setup/uv.txt").read_text(encoding="utf-8")


def test_what_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    asked += (REPO / "setup/build.in").read_text(encoding="utf-8").split()
    asked += project["build-system"]["requires"]
    names = {re.split(r"[^A-Za-z0-9._-]", wanted)[0].lower() for wanted in asked}
    assert names <= _make_pins(LOCKED).keys()


def test_the_pulumi_cli_suits_the_locked_sdk() -> None:
    script = (REPO / "setup/pulumi-cli").read_text(encoding="utf-8")
    lowest = re.search(r"^LOWEST=(\S+)", script, re.MULTILINE)
    module = (REPO / "setup/pulumi/go.mod").read_text(encoding="utf-8")
    pinned = re.search(r"^require github.com/pulumi/pulumi/pkg/v3 v3\.(\d+)\.", module, re.MULTILINE)
    assert lowest
    assert pinned
    assert _make_pins(LOCKED)["pulumi"].startswith(f"{lowest[1]}.")
    assert int(pinned[1]) >= int(lowest[1].split(".")[1])


def test_tests_are_counted_and_errors_are_failures() -> None:
    report = """<testsuites><testsuite tests="7" failures="1" errors="2" skipped="1"/></testsuites>"""
    assert suites.parse_junit(report) == suites.Count(passed=3, failed=3, skipped=1)


@pytest.mark.parametrize(
    ("counts", "code", "line"),
    [
        ([suites.Count(3), suites.Count(1, 0, 2)], 0, "4 passed, 0 failed, 2 skipped"),
        ([suites.Count(3), suites.Count(0, 1)], 1, "3 passed, 1 failed, 0 skipped"),
        ([suites.Count()], 1, "0 passed, 0 failed, 0 skipped"),
    ],
)
def test_the_last_line_counts_all_tests(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    counts: list[suites.Count],
    code: int,
    line: str,
) -> None:
    waiting = iter(counts)
    monkeypatch.setattr(suites, "run_tests", lambda _: next(waiting))
    monkeypatch.setenv("PATH", "/usr/bin")
    assert suites.main(["unit"] * len(counts)) == code
    assert capsys.readouterr().out.splitlines()[-1] == line


@pytest.mark.parametrize(("body", "failed"), [("", 1), ("def test_x(): assert 1", 0), ("1/0", 1)])
def test_a_suite_without_a_test_or_that_breaks_off_has_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, failed: int
) -> None:
    folder = tmp_path / "tests/one"
    folder.mkdir(parents=True)
    (folder / "test_one.py").write_text(body)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # half of its start
    monkeypatch.setattr(suites, "REPO", tmp_path)
    assert suites.run_tests("one").failed == failed
