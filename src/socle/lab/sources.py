"""This machine's own Debian package sources, so that other suites come from the same mirror.

Only the standard library, so that set-up can run this file before any Python environment exists:
`python3 src/socle/lab/sources.py backports` prints the source of Debian 12's backports.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_RELEASES = ("bookworm", "trixie")


@dataclass(frozen=True)
class Source:
    """One archive: where it is, which suite was read from it, and the key that signs it."""

    uri: str
    suite: str
    signed_by: str = KEYRING


def _parse_stanza(stanza: str) -> Iterator[Source]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = fields.get(name, "") + "\n" + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
        return
    signed_by = fields.get("signed-by", KEYRING)
    for uri in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            # A key written out in the file cannot be named by another file: Debian's own stands for it.
            yield Source(uri, suite, signed_by if signed_by.startswith("/") else KEYRING)


def parse_deb822(text: str) -> list[Source]:
    """Reads the text of a `*.sources` file."""
    return [source for stanza in re.split(r"\n\s*\n", text) for source in _parse_stanza(stanza)]


def parse_one_line(text: str) -> list[Source]:
    """Reads the text of a `sources.list` or `*.list` file."""
    sources = []
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)", line)
        if found:
            options = dict(option.split("=", 1) for option in (found[1] or "").split() if "=" in option)
            sources.append(Source(found[2], found[3], options.get("signed-by", KEYRING)))
    return sources


def load_sources(apt: Path = APT) -> list[Source]:
    """Reads all package sources of this machine, in a stable order."""
    one_line = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]
    sources = [s for path in one_line if path.is_file() for s in parse_one_line(_read(path))]
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        sources += parse_deb822(_read(path))
    return sources


def _read(path: Path) -> str:
    """Reads a file of sources; apt's `mirror+file:` lists are not followed, they are named as they are."""
    return path.read_text(encoding="utf-8", errors="replace") + "\n"


def make_archive(sources: list[Source]) -> list[Source]:
    """Picks Debian's own archive (not backports, not security) among the sources."""
    suites = {name for release in _RELEASES for name in (release, f"{release}-updates")} | {"stable"}
    return _make_unique([source for source in sources if source.suite in suites])


def make_security(sources: list[Source]) -> list[Source]:
    """Picks Debian's security archive among the sources."""
    suites = {f"{release}-security" for release in _RELEASES} | {"stable-security"}
    return _make_unique([source for source in sources if source.suite in suites])


def _make_unique(sources: list[Source]) -> list[Source]:
    return list({source.uri: source for source in reversed(sources)}.values())[::-1]


def render_deb822(sources: list[Source], suites: list[str]) -> str:
    """Renders stanzas that read the given suites from the places of the given sources."""
    return "\n".join(
        f"Types: deb\nURIs: {source.uri}\nSuites: {' '.join(suites)}\nComponents: main\nSigned-By: {source.signed_by}\n"
        for source in sources
    )


def render_release(sources: list[Source], release: str) -> str:
    """Renders what one release needs: the archive with its updates, and its security archive.

    Raises LookupError when the machine has no source of Debian's archive.
    """
    archive, security = make_archive(sources), make_security(sources)
    if not archive:
        raise LookupError("no source of Debian's archive in /etc/apt")
    text = render_deb822(archive[:1], [release, f"{release}-updates"])
    return text + ("\n" + render_deb822(security[:1], [f"{release}-security"]) if security else "")


def render_backports(sources: list[Source]) -> str:
    """Renders the source of Debian 12's backports. Raises LookupError without an archive to derive it from."""
    archive = make_archive(sources)
    if not archive:
        raise LookupError("no source of Debian's archive in /etc/apt")
    return render_deb822(archive[:1], ["bookworm-backports"])


if __name__ == "__main__":
    if sys.argv[1:] != ["backports"]:
        sys.exit("usage: sources.py backports")
    try:
        sys.stdout.write(render_backports(load_sources()))
    except LookupError as error:
        sys.exit(str(error))
