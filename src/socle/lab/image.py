"""The base image of every host: Debian, built here by mmdebstrap from a dated, repeatable recipe.

No image server: packages come from this machine's own mirror. The recipe's date is the time stamp of every
generated file, so the same package versions give the same bytes; which versions an image holds is kept beside.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock

from socle.errors import SocleError, Unreachable
from socle.lab.engine import make_client
from socle.lab.sources import load_sources, render_release
from socle.runs.process import CommandFailed, run

IMAGES = Path("/var/lib/socle/images")
MAXIMUM_AGE = datetime.timedelta(days=30)
# The day this recipe was last changed by hand. Change it with the recipe: it becomes part of the digest.
RECIPE_DATE = datetime.date(2026, 11, 25)
PACKAGES = (
    *("systemd", "systemd-sysv", "systemd-resolved", "udev", "dbus", "tzdata"),
    *("openssh-server", "sudo", "python3", "python3-apt", "ca-certificates", "curl", "attr"),
    *("iproute2", "nftables", "unattended-upgrades", "prometheus-node-exporter", "restic"),
)
_RELEASES = {"trixie": "13", "bookworm": "12"}
# What the build machine or the build itself leaves behind, and what each host gets on its own at creation.
_REMOVED = (
    *("etc/hostname", "etc/ssh/ssh_host_*", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed"),
    # Speed-ups of the build that a host must not keep: it has data to lose.
    *("etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/apt/apt.conf.d/99mmdebstrap"),
    *("var/log/*.log", "var/log/apt/*", "var/cache/ldconfig/aux-cache", "var/lib/apt/lists/*_*"),
)


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in an image, but for the mirror: that is this machine's own."""

    suite: str
    date: datetime.date
    packages: tuple[str, ...]
    hooks: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with the recipe."""
        text = json.dumps([self.suite, self.date.isoformat(), self.packages, self.hooks])
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def alias(self) -> str:
        """The image's name in Incus."""
        return f"socle-debian-{_RELEASES[self.suite]}-{self.digest}"

    @property
    def epoch(self) -> int:
        """The recipe's date in seconds since 1970, UTC."""
        return int(datetime.datetime.combine(self.date, datetime.time(), datetime.UTC).timestamp())


@dataclass(frozen=True)
class ImageInfo:
    """An image in Incus. `built` is the day; `packages` maps each package to its version."""

    alias: str
    fingerprint: str
    built: str
    packages: dict[str, str]


def make_hooks() -> tuple[str, ...]:
    """Shell lines that mmdebstrap runs at the end; "$1" is the image's root folder."""
    return (
        'cd "$1" && rm -rf ' + " ".join(_REMOVED),
        # Empty, not missing: each host makes its own, without the rites of a first boot.
        ': >"$1/etc/machine-id"',
        # Host keys are made by the engine and pushed at creation; others would be trusted by nobody.
        'chroot "$1" systemctl mask --quiet sshd-keygen.service',
        'chroot "$1" systemctl enable --quiet systemd-networkd.service systemd-resolved.service ssh.service',
        'printf "LANG=C.UTF-8\\n" >"$1/etc/default/locale"',
        # Files, not templates of Incus: those would be written over what a host is given before its first start.
        'printf "127.0.0.1 localhost\\n::1 localhost ip6-localhost ip6-loopback\\n" >"$1/etc/hosts"',
    )


def make_recipe(suite: str = "trixie", date: datetime.date = RECIPE_DATE) -> Recipe:
    """The recipe of a Debian release."""
    return Recipe(suite, date, tuple(sorted(PACKAGES)), make_hooks())


def make_mmdebstrap_arguments(recipe: Recipe, target: Path) -> list[str]:
    """The whole command; the package sources arrive on its standard input."""
    return [
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar"),
        f"--include={','.join(recipe.packages)}",
        # An image that a power cut spoils is built again: no need to wait for the disk after each file.
        "--dpkgopt=force-unsafe-io",
        '--aptopt=Acquire::Retries "3"',
        '--aptopt=Acquire::http::Timeout "30"',
        *(f"--customize-hook={hook}" for hook in recipe.hooks),
        *(recipe.suite, str(target), "-"),
    ]


def make_compress_arguments(tar: Path) -> list[str]:
    """Compress beside and remove the original. Level 1: the file is read back on this machine only."""
    return ["zstd", "--quiet", "--rm", "-1", "--threads=0", str(tar)]


def make_metadata(recipe: Recipe, packages: dict[str, str], built: str) -> bytes:
    """The tar file that tells Incus what the image is."""
    description = {
        "architecture": "x86_64",
        "creation_date": recipe.epoch,
        "properties": {
            "os": "debian",
            "release": recipe.suite,
            "architecture": "amd64",
            "description": f"socle: Debian {_RELEASES[recipe.suite]}, recipe of {recipe.date}, built {built}",
            "socle.recipe": recipe.digest,
            "socle.built": built,
            "socle.packages": make_packages_digest(packages),
        },
    }
    # JSON is YAML, and needs no other library.
    return _make_tar("metadata.yaml", json.dumps(description, indent=1), recipe.epoch)


def _make_tar(name: str, text: str, epoch: int) -> bytes:
    """A tar file of one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mtime, entry.mode = len(text.encode()), epoch, 0o644
        tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def make_packages_digest(packages: dict[str, str]) -> str:
    """Twelve hexadecimal digits over all packages and versions: the same digest, the same content."""
    text = "".join(f"{name}={version}\n" for name, version in sorted(packages.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def parse_status(text: str) -> dict[str, str]:
    """Package to version, from dpkg's status file."""
    stanzas = (dict(_parse_fields(stanza)) for stanza in text.split("\n\n"))
    return {fields["Package"]: fields["Version"] for fields in stanzas if "Version" in fields}


def _parse_fields(stanza: str) -> Iterable[tuple[str, str]]:
    for line in stanza.splitlines():
        name, colon, value = line.partition(": ")
        if colon and name in ("Package", "Version"):
            yield name, value


def is_fresh(info: ImageInfo, today: datetime.date) -> bool:
    """True while an image is young enough to be used again (its packages get their updates on the host)."""
    return today - datetime.date.fromisoformat(info.built) < MAXIMUM_AGE


def load_info(recipe: Recipe, images: Path = IMAGES) -> ImageInfo | None:
    """What is known of the image that was last built from this recipe; None when its files are not whole."""
    record = images / f"{recipe.alias}.json"
    if not (record.is_file() and all(path.is_file() for path in _files(recipe, images))):
        return None
    return ImageInfo(**json.loads(record.read_text()))


def _files(recipe: Recipe, images: Path) -> tuple[Path, Path]:
    return images / f"{recipe.alias}.metadata.tar", images / f"{recipe.alias}.rootfs.tar.zst"


def run_image(recipe: Recipe | None = None, *, images: Path = IMAGES) -> ImageInfo:
    """Make sure that Incus has the base image, in its default project; build it when there is none or it is old.

    The built files are kept in `images`, which all clones on this machine share. Takes about half a minute
    to build, 2 s to import, nothing when it is there.
    """
    recipe = recipe or make_recipe()
    images.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(images / ".lock", timeout=1200):
            info = load_info(recipe, images)
            if info is None or not is_fresh(info, _load_today()):
                info = _run_rebuild(recipe, images, info)
            _run_import(recipe, info, images)
            return info
    except filelock.Timeout:
        raise Unreachable(
            "another run has been building the image for 20 minutes", f"look who holds {images}/.lock"
        ) from None


def _load_today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _run_rebuild(recipe: Recipe, images: Path, old: ImageInfo | None) -> ImageInfo:
    try:
        return _run_build(recipe, images)
    except CommandFailed:
        # An image past its age still works, and hosts update themselves: better than no lab without a network.
        if old is None:
            raise
        return old


def _run_build(recipe: Recipe, images: Path) -> ImageInfo:
    for left in images.glob(".build-*"):
        # Never across a mount: a build that was killed could have left one.
        run(["rm", "-rf", "--one-file-system", str(left)], timeout=120)
    try:
        sources = render_release(load_sources(), recipe.suite)
    except LookupError as error:
        raise SocleError(str(error), "add Debian's archive to /etc/apt/sources.list.d") from None
    with tempfile.TemporaryDirectory(dir=images, prefix=".build-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt's own user reads there
        tar = folder / "rootfs.tar"
        environment = {"SOURCE_DATE_EPOCH": str(recipe.epoch), "TMPDIR": name, "LC_ALL": "C.UTF-8"}
        run(make_mmdebstrap_arguments(recipe, tar), timeout=900, stdin=sources.encode(), environment=environment)
        packages = _load_packages(tar)
        run(make_compress_arguments(tar), timeout=300)
        return _run_keep(recipe, images, folder, packages)


def _load_packages(tar: Path) -> dict[str, str]:
    with tarfile.open(tar) as archive:
        status = archive.extractfile("./var/lib/dpkg/status")
        if status is None:
            raise SocleError(f"{tar} holds no list of packages", "this is a fault of the recipe")
        return parse_status(status.read().decode())


def _run_keep(recipe: Recipe, images: Path, folder: Path, packages: dict[str, str]) -> ImageInfo:
    """Move what was built to its place; the record comes last, so that what it names is whole."""
    built = _load_today().isoformat()
    metadata, rootfs = _files(recipe, images)
    record = images / f"{recipe.alias}.json"
    record.unlink(missing_ok=True)
    draft = folder / "metadata.tar"
    draft.write_bytes(make_metadata(recipe, packages, built))
    draft.rename(metadata)
    (folder / "rootfs.tar.zst").rename(rootfs)
    info = ImageInfo(recipe.alias, _make_fingerprint(metadata, rootfs), built, dict(sorted(packages.items())))
    unfinished = folder / "record.json"
    unfinished.write_text(json.dumps(asdict(info), indent=1) + "\n")
    os.sync()
    unfinished.rename(record)
    return info


def _make_fingerprint(metadata: Path, rootfs: Path) -> str:
    """Incus's own name of an image in two files: the SHA-256 of the one followed by the other."""
    digest = hashlib.sha256(metadata.read_bytes())
    with rootfs.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _run_import(recipe: Recipe, info: ImageInfo, images: Path) -> None:
    with make_client(timeout=30) as client:
        alias = client.get(f"/1.0/images/aliases/{recipe.alias}")
        target = alias.json()["metadata"]["target"] if alias.is_success else None
        if target == info.fingerprint:
            return
        if not client.get(f"/1.0/images/{info.fingerprint}").is_success:
            # `local:` whatever remote the person's own client is set to.
            files = [str(path) for path in _files(recipe, images)]
            run(["incus", "--project", "default", "image", "import", *files, "local:"], timeout=300)
        body = {"target": info.fingerprint, "description": "socle"}
        if target:
            done = client.put(f"/1.0/images/aliases/{recipe.alias}", json=body)
        else:
            done = client.post("/1.0/images/aliases", json=body | {"name": recipe.alias})
        if not done.is_success:
            raise SocleError(f"the image cannot be named {recipe.alias}: {done.json().get('error')}")
