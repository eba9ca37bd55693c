"""The benchmark's own environment, made through the command line, and the requests that fill it."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from typing import Any

from socle.runs.process import make_mortal
from tests.live.environment import REPOSITORY, SOCLE, UP_SECONDS, Lab

ROOT = REPOSITORY / ".live" / "bench"
FAKE = REPOSITORY / "tests" / "bench" / "fake"
HOST = "web1"
VOLUME = "64MiB"
MANY = int(os.environ.get("SOCLE_BENCH_SITES", "200"))
"""The large number of sites. A small one is for a try: the aims are those of 200."""
REMOVE_SECONDS = 600.0
_PLATFORM: dict[str, Any] = {
    "hosts": {
        "edge1": {"role": "edge", "memory": "1GiB", "disk": "4GiB"},
        "web1": {"role": "web", "memory": "10GiB", "disk": "10GiB"},
    },
    "overcommit": 10.0,
    "memory_overcommit": 10.0,
}
_VAULT = {"vault1": {"role": "vault", "memory": "1GiB", "disk": "4GiB"}}

_NUMBERS = itertools.count(1)


class Failed(Exception):
    """Something is not as it should be: the benchmark's figures would mean nothing."""


class BenchLab(Lab):
    """A live test's environment, with one more service in its catalogue: the one that all contenders make.

    `vaulted`: whether its sites have repositories to be saved to.
    """

    vaulted = False

    def write_repository(self, platform: dict[str, Any] | None = None) -> None:
        stacks = self.root / "stacks"
        if stacks.is_dir() and not stacks.is_symlink():
            shutil.rmtree(stacks)
        hosts = {**_PLATFORM["hosts"], **(_VAULT if self.vaulted else {})}
        super().write_repository({**_PLATFORM, "hosts": hosts, **(platform or {})})
        stacks.unlink()
        stacks.mkdir()
        for folder in [*(REPOSITORY / "stacks").iterdir(), FAKE]:
            (stacks / folder.name).symlink_to(folder)

    def socle(
        self, *arguments: str, check: bool = True, timeout: float = UP_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """As its parent's, but it dies with this process: a killed benchmark leaves no run that holds the lock."""
        command = make_mortal([*SOCLE, *arguments, "--env", self.name, "--root", str(self.root)])
        try:
            result = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(arguments)} did not end within {timeout:.0f} s") from None
        if check and result.returncode:
            raise Failed(f"{' '.join(arguments)} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
        return result

    def run_remove(self) -> None:
        """Remove everything of the environment, also what a killed run left of it."""
        if self.root.exists():
            self.write_repository()
            self.socle("lab", "down", "--all", "--yes", timeout=REMOVE_SECONDS)
            shutil.rmtree(self.root, ignore_errors=True)

    def run_begin(self) -> None:
        """A new control repository, its example requests put aside until WordPress is wanted."""
        self.run_remove()
        self.write_repository()
        (self.root / "associations").rename(self.root / "examples")
        (self.root / "associations").mkdir()

    def ask(self, identifier: str, service: str, **options: str) -> None:
        """Write a request of an association of its own, with a small volume."""
        number = f"W382{next(_NUMBERS):06}"
        self.write_request(identifier, rna_number=number, services={service: {"quota": VOLUME, **options}})

    def release_examples(self) -> None:
        """Ask for the example sites, and accept them."""
        for path in (self.root / "examples").glob("*.yml"):
            path.rename(self.root / "associations" / path.name)
        self.socle("request", "accept", "--all")


def make_lab(vaulted: bool = False) -> BenchLab:
    """The environment, with a vault or without: the figures of the sites stage are of hosts that nothing else uses."""
    lab = BenchLab(ROOT, name="bench")
    lab.vaulted = vaulted
    return lab
