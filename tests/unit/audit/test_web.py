"""What a visitor meets: each way in which it can be wrong is seen."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from socle.audit.answers import Answer
from socle.audit.check import Failed
from socle.audit.checks import web
from socle.audit.finding import Status
from socle.model.plan import Record
from tests.unit.audit.scenes import NOW, by_name, make_plan, run_checks

HEAD = "HTTP/2 200 \r\nstrict-transport-security: max-age=31536000\r\ncontent-type: text/html\r\n\r\n"
BODY = "<html><title>L&#039;École</title>…</html>\n"
GOOD = f"{HEAD}{BODY}\n=socle=\t200\t2\t\n"


def test_a_page_is_read_whole() -> None:
    page = web.parse_page(GOOD)
    assert (page.status, page.version, page.error) == (200, "2", "")
    assert page.headers["content-type"] == "text/html"
    assert "title « L'École »" in web.judge_page(page)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n=socle=\t000\t0\tcould not resolve host\n", "no answer: could not resolve host"),
        (GOOD.replace("200", "502"), "HTTP 502 instead of a page"),
        (GOOD.replace("</html>", ""), "the page is cut"),
        (GOOD.replace("200\t2\t", "200\t1.1\t"), r"HTTP/1\.1 instead of HTTP/2"),
        (GOOD.replace("strict-transport-security", "x"), "HSTS: none"),
        (GOOD.replace("31536000", "300"), "HSTS: max-age=300, expected"),
        ("", "no answer"),
    ],
)
def test_a_page_that_is_not_as_promised_fails(text: str, words: str) -> None:
    with pytest.raises(Failed, match=words):
        web.judge_page(web.parse_page(text))


def test_the_command_that_reads_a_page() -> None:
    assert web.make_page_command("https://a.example/") == (
        "curl --silent --insecure --include --max-time 45 --write-out "
        "'\\n=socle=\\t%{http_code}\\t%{http_version}\\t%{errormsg}\\n' https://a.example/"
    )


def make_certificate(life: float, left: float) -> str:
    now = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority")])
    end = now + datetime.timedelta(days=left)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, end - datetime.timedelta(days=life), end)
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_a_certificate_must_have_time_left() -> None:
    assert web.judge_certificate(make_certificate(90, 60), NOW) == "verified; 60 days left, issued by CN=Authority"
    assert "6.0 h left" in web.judge_certificate(make_certificate(0.5, 0.25), NOW)
    for life, left in ((90, 20), (90, -1), (0.5, 0.1)):
        with pytest.raises(Failed, match="its renewal is late"):
            web.judge_certificate(make_certificate(life, left), NOW)


def test_a_certificate_that_is_not_trusted_is_named_alone() -> None:
    names = web.make_names(make_plan())
    pem = make_certificate(90, 60)
    shown: dict[str, Any] = {name: ["", pem] for name in names} | {"amis.example": ["self-signed certificate", ""]}
    import json

    found = by_name(run_checks(web.certificate_is_verified, answers={"outside": lambda _: json.dumps(shown)}))
    assert found["edge1 certificate:amis.example"].evidence == "amis.example: self-signed certificate"
    assert sum(one.status is Status.PASSED for one in found.values()) == len(names) - 1 == 2


def test_redirects_are_all_asked_and_each_is_judged() -> None:
    site = make_plan().sites[0]
    wanted = web.make_redirects(site)
    assert [url for url, _ in wanted] == [
        "http://xn--cole-9oa.example/page?a=1",
        "http://www.xn--cole-9oa.example/page?a=1",
        "https://www.xn--cole-9oa.example/page?a=1",
    ]
    target = "https://xn--cole-9oa.example/page?a=1"
    good = "".join(f"{url}\t308\t{target}\t\n" for url, _ in wanted)
    assert web.find_astray(good, wanted) == []
    assert web.find_astray(good.replace("308", "200", 1), wanted) == [f"{wanted[0][0]}: HTTP 200, to {target}"]
    assert web.find_astray(good.replace(target, "https://evil.example/", 1), wanted)
    assert web.find_astray("", wanted) == [f"{url}: no answer" for url, _ in wanted]
    assert web.find_astray(f"{wanted[0][0]}\t000\t\ttimed out\n", wanted[:1]) == [f"{wanted[0][0]}: timed out"]


@pytest.mark.parametrize(
    ("tls", "plain", "status"),
    [
        ("000 35", "421 0", Status.PASSED),
        ("200 0", "421 0", Status.FAILED),
        ("000 7", "421 0", Status.FAILED),  # nobody there proves nothing
        ("000 35", "200 0", Status.FAILED),
    ],
)
def test_unknown_names_are_refused_by_tls_and_by_http(tls: str, plain: str, status: Status) -> None:
    def outside(command: str) -> Answer | str:
        return tls if "https://" in command else plain

    found = run_checks(web.unknown_names_are_refused, answers={"outside": outside})
    assert [one.check for one in found] == ["unknown-name:192.0.2.10", "unknown-name:2001:db8::10"]
    assert {one.status for one in found} == {status}


RECORD = Record(name="a.example", zone="example", type="A", ttl=300, values=("192.0.2.10",), association="a")
STATE = {"zone": "example", "name": "a.example", "type": "A", "ttl": "300", "values": ["192.0.2.10"]}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"example/a.example/A": {**STATE, "environment": "test"}}, ""),
        ({}, "no A record"),
        ({"example/a.example/A": {**STATE, "values": ["192.0.2.66"], "environment": "test"}}, "192.0.2.66"),
        ({"example/a.example/A": {**STATE, "environment": ""}}, "environment not ours, expected test"),
        ({"example/a.example/A": {**STATE, "ttl": "5", "environment": "test"}}, "ttl 5, expected 300"),
    ],
)
def test_records_are_compared_whole(found: dict[str, Any], words: str) -> None:
    assert words in "".join(web.find_record_problems([RECORD], found, "test"))
    assert bool(words) == bool(web.find_record_problems([RECORD], found, "test"))


def test_a_name_that_is_not_ours_must_lead_to_the_edge() -> None:
    for shown, status in (
        ("192.0.2.10 STREAM a\n2001:db8::10 STREAM a\n", Status.PASSED),
        ("192.0.2.66 STREAM a\n", Status.FAILED),
        ("", Status.FAILED),
    ):
        found = run_checks(web.name_leads_here, answers={"outside": lambda _, shown=shown: shown})
        assert {one.status for one in found} == {status}
