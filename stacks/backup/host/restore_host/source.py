"""Where a snapshot's content comes from: the vault, or (on a host that reaches nothing) a folder it was sent to.

restic reads without a lock: a lock that a dead or hostile client left must not stop a restore.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from backup_host.programs import Failed, last_lines, run_program, started
from backup_host.vault import CACHE, CERTIFICATE, make_secrets

DUMP = "database.sql"
MANIFEST = "manifest.json"
LISTING = "files.jsonl"
NOTES_SECONDS = 3600.0
FILES_SECONDS = 12 * 3600.0


class Source(Protocol):
    """The content of one snapshot. `precision`: by how much (nanoseconds) times of files may be off."""

    precision: int

    def take_notes(self, target: Path) -> None:
        """Put what goes with the files (manifest, list, SQLite databases; not the dump) below `target`."""

    def dump(self) -> contextlib.AbstractContextManager[Iterable[bytes]]:
        """The lines of the dump. Raises Failed at its end when it could not be read to the end."""

    def put_files(self, folder: str, patterns: Sequence[str]) -> None:
        """Make `folder` what it was; what `patterns` name stays as it is."""


class Vault:
    """A snapshot in the vault. `staging`: the folder in it that holds what goes with the files."""

    precision = 0

    def __init__(self, config: Mapping[str, Any], snapshot: str, staging: str) -> None:
        self._config, self._snapshot, self._staging = config, snapshot, staging
        for folder in ("restic", "tmp"):
            (CACHE / folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _command(self, *arguments: str) -> list[str]:
        secure = ["--cacert", CERTIFICATE] if self._config["url"].startswith("rest:https:") else []
        return ["restic", arguments[0], "--no-lock", "--quiet", *secure, *arguments[1:]]

    def _run(self, seconds: float, *arguments: str) -> None:
        result = run_program(self._command(*arguments), timeout=seconds, env=make_secrets(self._config))
        if result.returncode:
            raise Failed(f"restic {arguments[0]} of {self._snapshot[:8]}: {last_lines(result.stderr)}")

    def take_notes(self, target: Path) -> None:
        place = f"{self._snapshot}:{self._staging}"
        self._run(NOTES_SECONDS, "restore", place, "--target", str(target), "--exclude", f"/{DUMP}")

    def put_files(self, folder: str, patterns: Sequence[str]) -> None:
        kept = [part for pattern in patterns for part in ("--exclude", f"/{pattern}")]
        place = f"{self._snapshot}:{folder}"
        self._run(FILES_SECONDS, "restore", place, "--target", folder, "--delete", *kept)

    @contextlib.contextmanager
    def dump(self) -> Iterator[Iterable[bytes]]:
        command = self._command("dump", self._snapshot, f"{self._staging}/{DUMP}")
        secrets = make_secrets(self._config)
        with _errors() as errors:
            with started(
                command, timeout=FILES_SECONDS, env=secrets, stdout=subprocess.PIPE, stderr=errors, bufsize=1 << 20
            ) as run:
                yield _stream(run.process.stdout)
            if run.process.returncode:
                raise Failed(f"restic dump of {self._snapshot[:8]}: {_said(errors)}")


class Sent:
    """What was sent here: the files are in their place already, the rest is in the folder that saves use."""

    precision = 10**9
    """tar, as restic writes it, has whole seconds."""

    def __init__(self, staging: str) -> None:
        self._staging = Path(staging)

    def take_notes(self, target: Path) -> None:
        for path in self._staging.iterdir():
            if path.name != DUMP:
                path.rename(target / path.name)

    def put_files(self, folder: str, patterns: Sequence[str]) -> None:
        """They are there."""

    @contextlib.contextmanager
    def dump(self) -> Iterator[Iterable[bytes]]:
        with (self._staging / DUMP).open("rb", buffering=1 << 20) as stream:
            yield stream


def make_work(path: Path) -> Path:
    """An empty folder of root's alone."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700, parents=True)
    return path


@contextlib.contextmanager
def _errors() -> Iterator[int]:
    handle = os.memfd_create("errors")
    try:
        yield handle
    finally:
        os.close(handle)


def _said(handle: int) -> str:
    return last_lines(os.pread(handle, 1 << 16, 0))


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream  # noqa: S101 (it is a pipe, as asked)
    return stream
