"""The recipe of the base image: what is built, what it is called, when it is built again."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from socle.lab import image
from socle.lab.sources import Source, parse_deb822, parse_one_line, render_backports, render_release
from socle.runs.process import CommandFailed

RECIPE = image.Recipe("trixie", datetime.date(2026, 1, 2), ("python3", "systemd"), ('rm "$1/x"',))
PACKAGES = {"systemd": "257.1-1", "python3": "3.13"}


def test_the_whole_command() -> None:
    assert image.make_mmdebstrap_arguments(RECIPE, Path("/b/rootfs.tar")) == [
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar", "--include=python3,systemd"),
        "--dpkgopt=force-unsafe-io",
        '--aptopt=Acquire::Retries "3"',
        '--aptopt=Acquire::http::Timeout "30"',
        '--customize-hook=rm "$1/x"',
        *("trixie", "/b/rootfs.tar", "-"),
    ]


def test_the_recipe_leaves_no_trace_of_the_build_and_no_host_key() -> None:
    hooks = "\n".join(image.make_recipe().hooks)
    for removed in ("etc/hostname", "etc/ssh/ssh_host_*", "etc/dpkg/dpkg.cfg.d/99mmdebstrap"):
        assert f" {removed}" in hooks
    assert "mask --quiet sshd-keygen.service" in hooks


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "bookworm"},
        {"date": datetime.date(2026, 1, 3)},
        {"packages": ("python3",)},
        {"hooks": ()},
    ],
)
def test_any_change_of_the_recipe_changes_its_name(change: dict[str, object]) -> None:
    assert dataclasses.replace(RECIPE, **change).alias != RECIPE.alias
    assert RECIPE.alias == f"socle-debian-13-{RECIPE.digest}"


def test_the_recipe_does_not_depend_on_order_or_day() -> None:
    assert image.make_recipe() == image.make_recipe()
    assert list(image.make_recipe().packages) == sorted(image.PACKAGES)
    assert RECIPE.epoch == 1767312000


def test_metadata_is_the_same_bytes_for_the_same_image() -> None:
    once = image.make_metadata(RECIPE, PACKAGES, "2026-01-05")
    assert once == image.make_metadata(RECIPE, dict(reversed(PACKAGES.items())), "2026-01-05")
    with tarfile.open(fileobj=io.BytesIO(once)) as tar:
        assert tar.getnames() == ["metadata.yaml"]
        text = tar.extractfile("metadata.yaml")
        assert text is not None
        metadata = json.load(text)
    assert metadata["creation_date"] == RECIPE.epoch
    assert metadata["properties"]["socle.recipe"] == RECIPE.digest
    assert metadata["properties"]["socle.packages"] == image.make_packages_digest(PACKAGES)


def test_parse_status() -> None:
    text = "Package: a\nStatus: install ok installed\nVersion: 1:2-3\n\nPackage: b\nVersion: 4\n x: y\n\n"
    assert image.parse_status(text) == {"a": "1:2-3", "b": "4"}


@pytest.mark.parametrize(("today", "fresh"), [("2026-01-31", True), ("2026-02-01", False)])
def test_an_image_is_used_for_30_days(today: str, fresh: bool) -> None:
    info = image.ImageInfo("a", "f", "2026-01-02", {})
    assert image.is_fresh(info, datetime.date.fromisoformat(today)) is fresh


def _keep(images: Path) -> image.ImageInfo:
    folder = images / ".build-1"
    folder.mkdir(parents=True)
    (folder / "rootfs.tar.zst").write_bytes(b"rootfs")
    return image._run_keep(RECIPE, images, folder, PACKAGES)


def test_what_was_built_is_found_again(tmp_path: Path) -> None:
    assert image.load_info(RECIPE, tmp_path) is None
    assert image.load_info(RECIPE, tmp_path) != _keep(tmp_path)
    info = image.load_info(RECIPE, tmp_path)
    assert info is not None
    assert info.packages == PACKAGES
    # Incus's own rule for an image in two files.
    whole = b"".join(path.read_bytes() for path in image._files(RECIPE, tmp_path))
    assert info.fingerprint == hashlib.sha256(whole).hexdigest()


@pytest.mark.parametrize("lost", ["metadata.tar", "rootfs.tar.zst", "json"])
def test_an_image_that_is_not_whole_is_built_again(tmp_path: Path, lost: str) -> None:
    _keep(tmp_path)
    (tmp_path / f"{RECIPE.alias}.{lost}").unlink()
    assert image.load_info(RECIPE, tmp_path) is None


def _fail(*_: object) -> image.ImageInfo:
    raise CommandFailed("mmdebstrap ended with status 25")


def test_an_old_image_serves_when_the_mirror_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    old = image.ImageInfo("a", "f", "2020-01-02", {})
    monkeypatch.setattr(image, "_run_build", _fail)
    assert image._run_rebuild(RECIPE, Path("/nowhere"), old) == old
    with pytest.raises(CommandFailed):
        image._run_rebuild(RECIPE, Path("/nowhere"), None)


DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/own.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: https://other.example/apt
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/own.gpg] http://mirror.example/debian bookworm main contrib
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
"""


def test_sources_of_both_kinds_are_read() -> None:
    own = "/usr/share/keyrings/own.gpg"
    assert parse_deb822(DEB822)[:3] == [
        Source("http://mirror.example/debian", "bookworm", own),
        Source("http://mirror.example/debian", "bookworm-updates", own),
        Source("http://mirror.example/debian-security", "bookworm-security"),
    ]
    assert "http://off.example/debian" not in {source.uri for source in parse_deb822(DEB822)}
    assert parse_one_line(ONE_LINE) == [
        Source("http://mirror.example/debian", "bookworm", own),
        Source("http://mirror.example/debian-security", "bookworm-security"),
    ]


@pytest.mark.parametrize("sources", [parse_deb822(DEB822), parse_one_line(ONE_LINE)])
def test_another_release_comes_from_the_machines_own_mirror(sources: list[Source]) -> None:
    assert render_release(sources, "trixie") == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/own.gpg\n"
        "\n"
        "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: trixie-security\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )
    assert "Suites: bookworm-backports\n" in render_backports(sources)


def test_a_machine_without_debians_archive_is_told_so() -> None:
    with pytest.raises(LookupError, match="no source of Debian's archive"):
        render_release([Source("https://other.example/apt", "nodistro")], "trixie")
