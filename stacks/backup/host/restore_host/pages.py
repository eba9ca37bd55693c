"""A site read by its web server, as the edge would ask for it."""

from __future__ import annotations

import html
import http.client
import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

PORT = 80
SECONDS = 60.0
PATIENCE = 30.0
LARGEST = 4 * 1024**2
_PAUSE = 0.5
_HOPS = 5
_LINKS = 5
OK = 200
_SAFE = "/%?=&:;,+@!$'()*~[]#"
"""What a path and its query hold as it is (RFC 3986); all else is sent percent-encoded, as browsers do."""
_STARTING = (0, 502, 503, 504)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"<a\s[^>]*?href\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """What came back. Status 0: nothing, and `title` says why."""

    path: str
    status: int
    title: str
    body: str = ""

    @property
    def evidence(self) -> str:
        return f"{self.path}: HTTP {self.status}, {self.title!r}, {len(self.body)} characters"


def read_page(address: str, domain: str, path: str, patience: float = PATIENCE) -> Page:
    """Ask for a page until it answers or `patience` (seconds) is over; redirections within the site are followed."""
    deadline = time.monotonic() + patience
    while (page := _follow(address, domain, path)).status in _STARTING and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    return page


def _follow(address: str, domain: str, path: str) -> Page:
    place = path
    for _ in range(_HOPS):
        status, location, body = _ask(address, domain, place)
        if not location:
            return Page(path, status, find_title(body) if status else body, body if status else "")
        try:
            target = urlsplit(urljoin(f"https://{domain}{place}", location))
        except ValueError:
            return Page(path, status, f"leads to {location!r}, which is no address")
        if target.hostname != domain:
            return Page(path, status, f"leads to {target.hostname}")
        place = target._replace(scheme="", netloc="", fragment="").geturl() or "/"
    return Page(path, 0, f"more than {_HOPS} redirections")


def _ask(address: str, domain: str, path: str) -> tuple[int, str, str]:
    """Status, where it leads, body. Status 0 with the reason when nothing came."""
    try:
        connection = http.client.HTTPConnection(address, PORT, timeout=SECONDS)
        try:
            connection.request("GET", quote(path, _SAFE), headers={"Host": domain, "X-Forwarded-Proto": "https"})
            answer = connection.getresponse()
            body = answer.read(LARGEST).decode("utf-8", "replace")
            return answer.status, answer.getheader("Location") or "", body
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, "", str(error) or type(error).__name__


def find_title(body: str) -> str:
    """The title of a page."""
    found = _TITLE.search(body)
    return " ".join(html.unescape(found[1]).split()) if found else ""


def find_links(body: str, domain: str) -> Iterator[str]:
    """The paths of pages of the same site, other than the home page, that a page leads to."""
    for link in dict.fromkeys(_LINK.findall(body)):
        try:
            target = urlsplit(urljoin(f"https://{domain}/", html.unescape(link)))
        except ValueError:
            continue
        if target.hostname == domain and target.path not in ("", "/") and "wp-login" not in target.path:
            yield target._replace(scheme="", netloc="", fragment="").geturl()


def read_linked(address: str, domain: str, page: Page) -> Page | None:
    """The first page that answers of those that a page leads to: an author's link may be dead, and was when the site
    was saved. The first of the dead ones when all of several are; None when that says nothing."""
    dead = []
    for path in itertools.islice(find_links(page.body, domain), _LINKS):
        linked = read_page(address, domain, path)
        if linked.status == OK:
            return linked
        dead.append(linked)
    return dead[0] if len(dead) > 1 else None
