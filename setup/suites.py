"""Runs test suites one after the other, with the time of each, and ends with one line that counts all tests.

`python setup/suites.py lint unit catalogue live`: exits 1 when anything failed, also when a suite held no test.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LINTERS = (
    ("ruff", ["ruff", "check", "."]),
    ("ruff format", ["ruff", "format", "--check", "."]),
    ("mypy", ["mypy", "--strict", "src"]),
    # Offline: roles use built-in modules only, and Ansible's own registry need not be in reach.
    ("ansible-lint", ["ansible-lint", "--offline", "--profile", "production", "roles", "playbooks"]),
)

OPTIONS = {
    # Many of these wait for programs, so there are more of them than processors.
    "unit": ["-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal"],
    "live": ["--durations=25"],
}


@dataclass(frozen=True)
class Count:
    """How many tests passed, failed (errors included) and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def parse_junit(text: str) -> Count:
    """Counts the tests in pytest's JUnit report."""
    total = Count()
    for suite in ElementTree.fromstring(text).iter("testsuite"):  # noqa: S314 our own pytest wrote it
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        total += Count(int(suite.get("tests", 0)) - failed - skipped, failed, skipped)
    return total


def run_lint() -> Count:
    """Runs the linters, each counted as one test; shows the output of those that fail."""

    def run(linter: tuple[str, list[str]]) -> bool:
        name, command = linter
        done = subprocess.run(command, cwd=REPO, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
        if done.returncode:
            print(f"--- {name} failed ({' '.join(command)})\n{done.stdout}{done.stderr}", flush=True)
        return done.returncode == 0

    results = [run(linter) for linter in LINTERS]
    return Count(sum(results), len(results) - sum(results))


def run_tests(suite: str) -> Count:
    """Runs one folder of tests with pytest; a suite that breaks off or holds no test counts as failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", f"tests/{suite}", "-q", f"--junitxml={report}"]
        command += OPTIONS.get(suite, [])
        code = subprocess.run(command, cwd=REPO, stdin=subprocess.DEVNULL).returncode
        count = parse_junit(report.read_text(encoding="utf-8")) if report.exists() else Count()
    return count if code == 0 or count.failed else count + Count(failed=1)


def run_suite(suite: str) -> tuple[Count, str]:
    """Runs a suite and prints what came of it; answers with that line too."""
    print(f"=== {suite}", flush=True)
    start = time.monotonic()
    count = run_lint() if suite == "lint" else run_tests(suite)
    line = f"{suite:<12}{time.monotonic() - start:7.1f} s   {count}"
    print(line, flush=True)
    return count, line


def main(suites: list[str]) -> int:
    os.environ["NO_COLOR"] = "1"  # the output is kept in logs more often than it is seen
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Each of the processes would compile every module again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with ThreadPoolExecutor(1) as pool:
        beside = [pool.submit(run_suite, suite) for suite in suites if suite == "lint"]
        results = [run_suite(suite) for suite in suites if suite != "lint"]
        results = [future.result() for future in beside] + results
    total = sum((count for count, _ in results), Count())
    print("\n=== time of each suite", *(line for _, line in results), "", total, sep="\n", flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
