"""A site read by its web server, as the edge would ask for it."""

from __future__ import annotations

import html
import http.client
import re
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

PORT = 80
SECONDS = 60.0
PATIENCE = 30.0
LARGEST = 4 * 1024**2
_PAUSE = 0.5
_HOPS = 5
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
        target = urlsplit(urljoin(f"https://{domain}{place}", location))
        if target.hostname != domain:
            return Page(path, status, f"leads to {target.hostname}")
        place = target._replace(scheme="", netloc="", fragment="").geturl() or "/"
    return Page(path, 0, f"more than {_HOPS} redirections")


def _ask(address: str, domain: str, path: str) -> tuple[int, str, str]:
    """Status, where it leads, body. Status 0 with the reason when nothing came."""
    try:
        connection = http.client.HTTPConnection(address, PORT, timeout=SECONDS)
        try:
            connection.request("GET", path, headers={"Host": domain, "X-Forwarded-Proto": "https"})
            answer = connection.getresponse()
            body = answer.read(LARGEST).decode("utf-8", "replace")
            return answer.status, answer.getheader("Location") or "", body
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return 0, "", str(error) or type(error).__name__


def find_title(body: str) -> str:
    """The title of a page."""
    found = _TITLE.search(body)
    return " ".join(html.unescape(found[1]).split()) if found else ""


def find_link(body: str, domain: str) -> str:
    """The path of the first page of the same site, other than the home page, that a page leads to; or nothing."""
    for link in _LINK.findall(body):
        target = urlsplit(urljoin(f"https://{domain}/", html.unescape(link)))
        if target.hostname == domain and target.path not in ("", "/") and "wp-login" not in target.path:
            return target._replace(scheme="", netloc="", fragment="").geturl()
    return ""
