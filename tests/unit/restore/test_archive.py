"""A snapshot as one file, compared as it is written."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from socle.restore.archive import ArchiveFailed, make_name, run_archive
from socle.restore.choose import Snapshot
from socle.restore.repository import Chosen, ResticFailed
from tests.unit.restore.samples import make_site

STAGING = "/var/lib/socle/backups/staging/wp-a"
DUMP = b"-- a dump\n"
FILES = {"wp-content/a.txt": b"hello", "caf\udce9.jpg": b"x"}
TIME = 1795741510


def make_line(path: str, content: bytes, **changes: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"path": path, "type": "file", "sha256": digest, "mtime": TIME * 10**9 + 84699577, **changes}


def make_tar(files: dict[str, bytes], mtime: int = TIME, folders: dict[str, int] | None = None) -> bytes:
    """As restic writes it: whole paths, without the first slash."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", errors="surrogateescape") as tar:
        folder = tarfile.TarInfo("srv/")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, moment in (folders or {}).items():
            folder = tarfile.TarInfo(name.strip("/"))
            folder.type, folder.mtime = tarfile.DIRTYPE, moment
            tar.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name.strip("/"))
            info.size, info.mode, info.uid, info.mtime = len(content), 0o640, 2000, mtime
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("srv/sites/wp-a/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return buffer.getvalue()


class FakeRestic:
    """A repository with one snapshot."""

    def __init__(self) -> None:
        self.files, self.dump, self.mtime = dict(FILES), DUMP, TIME
        self.folders = {"wp-content": TIME}
        self.lines = [{"path": "wp-content", "type": "directory", "mtime": TIME * 10**9}]
        self.lines += [make_line(*item) for item in FILES.items()]
        self.fails = ""

    @property
    def listing(self) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in self.lines)

    @property
    def manifest(self) -> dict[str, Any]:
        files = {"sha256": hashlib.sha256(self.listing).hexdigest(), "count": 2, "bytes": 6}
        return {"files": files, "database": {"sha256": hashlib.sha256(DUMP).hexdigest()}, "sqlite": {}}

    def read(self, _snapshot: str, path: str, _limit: int) -> bytes:
        assert path == f"{STAGING}/files.jsonl"
        return self.listing

    @contextmanager
    def stream(self, *arguments: str) -> Iterator[IO[bytes]]:
        folder = arguments[-1]
        files = {f"{STAGING}/database.sql": self.dump} if folder == STAGING else {}
        if folder != STAGING:
            files = {f"/srv/sites/wp-a/{name}": content for name, content in self.files.items()}
        folders = {f"/srv/sites/wp-a/{name}": mtime for name, mtime in self.folders.items()}
        yield io.BytesIO(make_tar(files, self.mtime, {} if folder == STAGING else folders))
        if self.fails:
            raise ResticFailed(self.fails)


@pytest.fixture
def restic() -> Any:
    return FakeRestic()


def archive(restic: Any, output: Path) -> Any:
    snapshot = Snapshot("d" * 64, "t", 1.0, (), ())
    return run_archive(restic, Chosen(make_site(), snapshot, restic.manifest), output)


def test_files_and_database_are_in_it_under_the_sites_name(restic: Any, tmp_path: Path) -> None:
    output = tmp_path / "a.tar"
    made = archive(restic, output)
    with tarfile.open(output, errors="surrogateescape") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]
        link = tar.getmember("wp-a/files/link")
    assert found == {
        "wp-a/database.sql": DUMP,
        "wp-a/files/wp-content/a.txt": b"hello",
        "wp-a/files/caf\udce9.jpg": b"x",
    }
    assert link.linkname == "/etc/passwd"
    assert made.sha256 == hashlib.sha256(output.read_bytes()).hexdigest()
    assert (made.bytes, made.files, made.changed) == (output.stat().st_size, 2, 0)


def test_it_is_its_owners_alone(restic: Any, tmp_path: Path) -> None:
    archive(restic, tmp_path / "a.tar")
    assert stat.S_IMODE((tmp_path / "a.tar").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def check_refused(restic: Any, tmp_path: Path, why: str, error: type[Exception] = ArchiveFailed) -> None:
    output = tmp_path / "a.tar"
    output.write_text("before")
    with pytest.raises(error, match=why):
        archive(restic, output)
    assert output.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_a_file_that_is_not_as_listed_is_no_archive(restic: Any, tmp_path: Path) -> None:
    restic.files["wp-content/a.txt"] = b"HELLO"
    check_refused(restic, tmp_path, "wp-content/a.txt is not as listed")


def test_a_file_that_changed_while_it_was_saved_is_said(restic: Any, tmp_path: Path) -> None:
    restic.files["wp-content/a.txt"], restic.mtime = b"HELLO", TIME + 60
    assert archive(restic, tmp_path / "a.tar").changed == 1


def test_a_file_that_is_missing_is_no_archive(restic: Any, tmp_path: Path) -> None:
    del restic.files["wp-content/a.txt"]
    check_refused(restic, tmp_path, "wp-content/a.txt is missing")


@pytest.mark.parametrize("folders", [{"wp-content": TIME + 60}, {}], ids=["a file went", "a folder went"])
def test_what_was_removed_while_it_was_saved_is_said(restic: Any, tmp_path: Path, folders: dict[str, int]) -> None:
    del restic.files["wp-content/a.txt"]
    restic.folders = folders
    assert archive(restic, tmp_path / "a.tar").changed == 1


def test_a_cut_dump_is_no_archive(restic: Any, tmp_path: Path) -> None:
    restic.dump = DUMP[:-3]
    check_refused(restic, tmp_path, "database.sql is not as listed")


def test_an_error_of_restic_leaves_nothing(restic: Any, tmp_path: Path) -> None:
    restic.fails = "pack is missing"
    check_refused(restic, tmp_path, "pack is missing", ResticFailed)


def test_a_list_that_is_not_the_manifests_is_not_believed(restic: Any, tmp_path: Path) -> None:
    manifest = restic.manifest
    restic.lines.append(make_line("more", b""))
    snapshot = Snapshot("d" * 64, "t", 1.0, (), ())
    with pytest.raises(ArchiveFailed, match="not the one of its manifest"):
        run_archive(restic, Chosen(make_site(), snapshot, manifest), tmp_path / "a.tar")


def test_missing_dump_is_no_archive(restic: Any, tmp_path: Path) -> None:
    class Without(FakeRestic):
        @contextmanager
        def stream(self, *arguments: str) -> Iterator[IO[bytes]]:
            with super().stream(*arguments) as stream:
                yield io.BytesIO(make_tar({})) if arguments[-1] == STAGING else stream

    check_refused(Without(), tmp_path, "database.sql is missing")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("srv/sites/wp-a/x/y", "files/x/y"),
        ("srv/sites/wp-a/", None),
        ("srv/sites/wp-ab/x", None),
        ("srv/", None),
    ],
)
def test_names(name: str, expected: str | None) -> None:
    assert make_name(name, "/srv/sites/wp-a", "files") == expected
