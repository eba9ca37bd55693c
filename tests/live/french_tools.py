"""What English is on a page: everything it says, against everything WordPress and its theme can say in English."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from tests.live.sites_tools import Hosts

CORE = "/usr/share/wordpress"
THEME = f"{CORE}/wp-content/themes/twentytwentyfive"
_SOURCES = (f"{CORE}/wp-login.php", f"{CORE}/wp-comments-post.php", f"{CORE}/wp-includes", f"{THEME}/patterns")
# The host reads its own files: they are many, and what they say is little.
_READ = r"""
import json, pathlib, re, sys
string = r"'((?:[^'\\]|\\.)*)'"
name = r"\b(?:__|_e|_x|_ex|_n|_nx|_n_noop|esc_(?:html|attr)(?:__|_e|_x))"
call = re.compile(name + r"\(\s*" + string + r"(?:\s*,\s*" + string + ")?")
said = {}
for source in map(pathlib.Path, json.load(sys.stdin)):
    for path in source.rglob("*.php") if source.is_dir() else [source]:
        for found in call.finditer(path.read_text(errors="replace")):
            several = found[0].startswith("_n")
            said[str(path)] = said.get(str(path), []) + [found[1], *([found[2]] if several and found[2] else [])]
json.dump(said, sys.stdout)
"""
_QUIET = frozenset({"script", "style", "svg", "template"})
_SPOKEN = frozenset({"alt", "aria-label", "placeholder", "title"})
_GAP = re.compile(r"%(?:\d\$)?[sd]|<[^>]*>|###\w+###")


class _Listener(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self._quiet = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._quiet += tag in _QUIET
        known = dict(attributes)
        self.said += [value for name, value in attributes if name in _SPOKEN and value]
        if tag == "input" and known.get("type") in ("submit", "button"):
            self.said.append(known.get("value") or "")

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in _QUIET

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.said.append(data)


def make_said(page: str) -> list[str]:
    """Everything a page says to those who see it or hear it, in its order; spaces are single."""
    listener = _Listener()
    listener.feed(page)
    return [" ".join(text.split()) for text in listener.said if text.strip()]


@dataclass(frozen=True)
class English:
    """What WordPress and its theme say in English, whatever stands in the place of values and of markup.

    `gapped`: by their longest piece, which is quick to look for."""

    whole: frozenset[str]
    gapped: tuple[tuple[str, re.Pattern[str]], ...]

    def has(self, text: str) -> bool:
        """Whether a text is English."""
        return text in self.whole or any(piece in text and pattern.fullmatch(text) for piece, pattern in self.gapped)


def make_pattern(part: str) -> str:
    """A piece of a text between two values: whole words of it."""
    before, after = part[:1].isalnum(), part[-1:].isalnum()
    return (r"(?<!\w)" if before else "") + re.escape(part) + (r"(?!\w)" if after else "")


def make_english(strings: Iterable[str]) -> English:
    """What recognises these strings as PHP writes them between single quotes."""
    whole, gapped = set(), set()
    for string in strings:
        text = html.unescape(string.replace("\\'", "'").replace("\\\\", "\\"))
        parts = [" ".join(part.split()) for part in _GAP.split(text)]
        letters = len(re.findall(r"[A-Za-z]", "".join(parts).replace("WordPress", "")))
        if len(parts) == 1 and letters > 1:
            whole.add(parts[0])
        elif letters > 3:
            pattern = re.compile(r"\s*.*\s*".join(make_pattern(part) for part in parts), re.DOTALL)
            gapped.add((max(parts, key=len), pattern))
    return English(frozenset(whole), tuple(gapped))


def load_strings(lab: Hosts, host: str) -> Mapping[str, list[str]]:
    """What WordPress's pages and the theme's patterns can say, in English, by file."""
    output = lab.ssh(host, ["python3", "-c", _READ], stdin=json.dumps(_SOURCES).encode())
    said: Mapping[str, list[str]] = json.loads(output)
    return said


def find_english(page: str, english: English) -> list[str]:
    """What a page says in English, in its order."""
    return [text for text in make_said(page) if english.has(text)]
