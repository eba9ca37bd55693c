"""A page as tests read it: its elements, their text, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "input", "hr", "col"}


@dataclass
class Tag:
    """An element with its attributes, its text (of what is inside too) and where it is."""

    name: str
    attributes: dict[str, str | None]
    path: tuple[str, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A page that was read; tags that are not closed in order fail the test."""

    source: str
    tags: list[Tag] = field(default_factory=list)
    declared: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Tag] = []
        self.feed(self.source)
        self.close()
        assert not self._open, [tag.name for tag in self._open]

    def handle_decl(self, decl: str) -> None:
        self.declared = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Tag(tag, dict(attrs), tuple(one.name for one in self._open))
        assert len(made.attributes) == len(attrs), f"an attribute twice: {attrs}"
        self.tags.append(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag, tag

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            tag.text += data

    def all(self, name: str) -> list[Tag]:
        return [tag for tag in self.tags if tag.name == name]

    def one(self, name: str) -> Tag:
        (found,) = self.all(name)
        return found

    @property
    def text(self) -> str:
        return " ".join(self.one("body").text.split())
