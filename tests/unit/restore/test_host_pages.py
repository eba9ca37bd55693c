"""A site read over HTTP, as the edge would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from tests.unit.restore.samples import load_host

pages = load_host("pages")


class Site(BaseHTTPRequestHandler):
    """Answers by path, and remembers what was asked."""

    answers: ClassVar[dict[str, tuple[int, str, str]]] = {}
    asked: ClassVar[list[tuple[str, str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Host"], self.headers["X-Forwarded-Proto"]))
        status, location, body = self.answers.get(self.path, (404, "", ""))
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments: Any) -> None: ...


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Site]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    monkeypatch.setattr(pages, "PORT", server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Site.answers, Site.asked = {}, []
    yield Site
    server.shutdown()


def test_a_page_and_its_title(site: type[Site]) -> None:
    site.answers["/"] = (200, "", "<TITLE lang=fr>L&#8217;Été\n au lac</TITLE>")
    page = pages.read_page("127.0.0.1", "a.example", "/")
    assert (page.status, page.title) == (200, "L’Été au lac")
    assert site.asked == [("/", "a.example", "https")]


def test_redirections_within_the_site_are_followed(site: type[Site]) -> None:
    site.answers |= {"/": (302, "https://a.example/login?x=1", ""), "/login?x=1": (200, "", "<title>In</title>")}
    assert pages.read_page("127.0.0.1", "a.example", "/").title == "In"


def test_a_redirection_elsewhere_is_no_answer(site: type[Site]) -> None:
    site.answers["/"] = (302, "https://evil.example/", "")
    page = pages.read_page("127.0.0.1", "a.example", "/")
    assert (page.status, page.title) == (302, "leads to evil.example")


def test_a_circle_ends(site: type[Site]) -> None:
    site.answers["/"] = (302, "/", "")
    assert pages.read_page("127.0.0.1", "a.example", "/", patience=0).status == 0


def test_a_site_that_is_starting_is_waited_for(site: type[Site], monkeypatch: pytest.MonkeyPatch) -> None:
    site.answers["/"] = (502, "", "")
    monkeypatch.setattr(pages.time, "sleep", lambda _: site.answers.update({"/": (200, "", "up")}))
    assert pages.read_page("127.0.0.1", "a.example", "/").status == 200


def test_an_error_is_not_waited_for(site: type[Site]) -> None:
    site.answers["/"] = (500, "", "")
    assert pages.read_page("127.0.0.1", "a.example", "/").status == 500
    assert len(site.asked) == 1


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PORT", 1)
    page = pages.read_page("127.0.0.1", "a.example", "/", patience=0)
    assert (page.status, "refused" in page.title) == (0, True)


@pytest.mark.parametrize(
    ("body", "link"),
    [
        ('<a class="x" href="https://b.example/p">b</a><a href="/page/?a=1#x">a</a>', "/page/?a=1"),
        ("<a href='https://a.example/wp-login.php'>in</a><a href='https://a.example/'>home</a>", ""),
        ('<a href="https://a.example/été/">é</a>', "/été/"),
        ("nothing", ""),
    ],
)
def test_the_first_page_that_a_home_page_leads_to(body: str, link: str) -> None:
    assert next(pages.find_links(body, "a.example"), "") == link


@pytest.mark.parametrize("link", ["/%C3%A9v%C3%A9nements/", "/événements/"])
def test_addresses_in_any_alphabet_are_asked_for(site: type[Site], link: str) -> None:
    site.answers |= {"/": (302, link.encode().decode("latin-1"), ""), "/%C3%A9v%C3%A9nements/": (200, "", "x")}
    assert pages.read_page("127.0.0.1", "a.example", link).status == 200


@pytest.mark.parametrize("location", ["http://[", "/\x7f /x"])
def test_what_is_no_address_is_no_answer(site: type[Site], location: str) -> None:
    site.answers["/"] = (302, location, "")
    assert pages.read_page("127.0.0.1", "a.example", "/", patience=0).status != 200
    assert list(pages.find_links(f'<a href="{location}">x</a><a href="/y">y</a>', "a.example"))[-1] == "/y"


@pytest.mark.parametrize(("alive", "found"), [((), 404), (("/b",), 200)])
def test_a_dead_link_of_an_author_is_no_proof_of_a_bad_restore(
    site: type[Site], alive: tuple[str, ...], found: int
) -> None:
    site.answers |= dict.fromkeys(alive, (200, "", "x"))
    home = pages.Page("/", 200, "", '<a href="/a">a</a><a href="/b">b</a>')
    assert pages.read_linked("127.0.0.1", "a.example", home).status == found
    assert pages.read_linked("127.0.0.1", "a.example", pages.Page("/", 200, "", '<a href="/a">a</a>')) is None
