"""The French that socle adds to WordPress: whole, well formed, well written."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.catalogue.site_samples import STACKS, stack

PHP = STACKS / "wordpress/php"
LANGUAGES = sorted((PHP / "languages").glob("*.l10n.php"))
_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_ESCAPES = {"0": "\0", "4": "\4", "n": "\n", "u{a0}": "\u00a0"}
_SAME = frozenset(
    {"Menu", "Navigation", "Logo", "Pagination", "Page %s", "Images", "S", "Twenty Twenty-Five", "Fleurs"}
)


def parse_string(found: re.Match[str]) -> str:
    """What PHP reads: only \\' and \\\\ are escapes between single quotes."""
    single, double = found[1], found[2]
    if single is not None:
        return re.sub(r"\\(['\\])", r"\1", single)
    return re.sub(r"\\(u\{a0\}|.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), double)


def parse_messages(text: str) -> dict[str, str]:
    """The messages of a translation file, as we write them: literals, joined by dots."""
    lines = (line for line in text.partition("'messages' => [")[2].splitlines() if not line.strip().startswith("//"))
    body = "\n".join(lines)
    messages: dict[str, str] = {}
    parts, key = [""], None
    end = 0
    for found in _STRING.finditer(body):
        between = body[end : found.start()].strip()
        if between == "=>":
            key, parts = "".join(parts), []
        elif between != ".":
            if key is not None:
                messages[key] = "".join(parts)
            key, parts = None, []
        parts.append(parse_string(found))
        end = found.end()
    assert key is not None
    return {**messages, key: "".join(parts)}


def make_source(key: str) -> str:
    return key.rpartition("\4")[2]


def test_the_parser_reads_what_php_reads() -> None:
    text = r"""'messages' => [
        // a comment, 'not read'
        "context\4It's %s" => "C'est\u{a0}: %s",
        'It\'s' . ' long'
            => 'C’est long',
    ]"""
    assert parse_messages(text) == {"context\4It's %s": "C'est\u00a0: %s", "It's long": "C’est long"}


@pytest.fixture(params=LANGUAGES, ids=[path.name for path in LANGUAGES])
def messages(request: pytest.FixtureRequest) -> dict[str, str]:
    path: Path = request.param
    return parse_messages(path.read_text())


def test_every_message_is_french(messages: dict[str, str]) -> None:
    assert len(messages) > 25
    for key, french in messages.items():
        source = make_source(key)
        assert french, source
        assert french != source or source in _SAME, source


def test_values_and_links_are_kept(messages: dict[str, str]) -> None:
    marks = re.compile(r"%(?:\d\$)?[sd]|</?\w+[^>]*>")
    for key, french in messages.items():
        source = make_source(key)
        for form in french.split("\0"):
            assert Counter(marks.findall(form)) == Counter(marks.findall(source)), source
        if "\0" in french:
            assert re.match(r"%", source) or "%s" in source, source


def test_typography_is_french(messages: dict[str, str]) -> None:
    for key, french in messages.items():
        text = re.sub(r"<[^>]*>|&\w+;|! \" \? \$ %.*", "", french)
        assert "'" not in text, f"{make_source(key)}: an apostrophe is ’"
        assert '"' not in text, f"{make_source(key)}: quotes are « »"
        assert "..." not in text, f"{make_source(key)}: an ellipsis is …"
        wrong = re.search(r"(?<!\u00a0)[;!?»]|«(?!\u00a0)|(?<![\u00a0\d/s]):|\\u", text.replace("https:", ""))
        assert not wrong, f"{make_source(key)}: a no-break space goes with {wrong and wrong[0]}"


def test_all_code_is_deployed_and_read_only_once_it_is_there() -> None:
    deployed = stack("wordpress", "deploy")._CODE
    assert set(deployed) == {str(path.relative_to(PHP)) for path in PHP.rglob("*.php")}
    order = [name for name in deployed if name.startswith(("languages/", "patterns/", "mu-plugins/socle-french"))]
    assert order[-1] == "mu-plugins/socle-french.php"


def test_the_footer_has_no_link_that_leads_nowhere() -> None:
    footer = (PHP / "patterns/footer.php").read_text()
    assert re.findall(r'href="([^"]*)"', footer) == ["https://fr.wordpress.org"]
    assert "navigation" not in footer
    opened = re.findall(r"<!-- wp:(\S+)[^>]*?(?<!/)-->", footer)
    closed = re.findall(r"<!-- /wp:(\S+) -->", footer)
    assert Counter(opened) == Counter(closed)
