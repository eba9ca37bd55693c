"""What a visitor meets: names, certificates, pages, redirects, and refusals."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from cryptography import x509

from socle.audit.check import OUTSIDE, Subject, check, expect, sites
from socle.audit.checks.services import load_audit
from socle.audit.scene import Scene, together
from socle.incus.records import make_identifier, make_state
from socle.model.domains import render_domain
from socle.model.plan import Plan, Record, Site

_MARK = "\n=socle=\t"
_HSTS_SECONDS = 15552000
"""Half a year: below it, browsers' own lists do not take a site."""
_UNKNOWN = "no-such-site.invalid"
_DAY = 86400
_SECONDS = "45"
"""Patience of curl: a machine with much else to do is slow, not down."""
_TLS = r"""
import json, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor
def shake(name, context):
    with socket.create_connection((name, 443), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secured:
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True))
def look(name):
    try:
        return ["", shake(name, ssl.create_default_context())]
    except OSError as error:
        return [getattr(error, "verify_message", "") or str(error), ""]
names = json.load(sys.stdin)
with ThreadPoolExecutor(16) as pool:
    print(json.dumps(dict(zip(names, pool.map(look, names)))))
"""


def make_public(plan: Plan) -> dict[str, set[str]]:
    """Public addresses of the edges, by type of record."""
    nics = [nic for host in plan.role("edge") for nic in host.nics if nic.network == "public"]
    return {"A": {str(nic.ipv4.ip) for nic in nics}, "AAAA": {str(nic.ipv6.ip) for nic in nics if nic.ipv6}}


def make_names(plan: Plan) -> list[str]:
    """Every name that a site answers to."""
    return [name for site in plan.sites for name in (site.domain, *site.redirects)]


def _edge(plan: Plan) -> str:
    return next((host.name for host in plan.role("edge")), OUTSIDE)


def _names(plan: Plan) -> Iterator[Subject]:
    return (Subject(_edge(plan), name, name) for name in make_names(plan))


# DNS.


def _dns_names(plan: Plan) -> Iterator[Subject]:
    return (Subject(OUTSIDE, name, name) for name in make_names(plan))


def find_record_problems(wanted: Iterable[Record], found: Mapping[str, Any], environment: str) -> list[str]:
    """What is wrong with the record sets of a name, in the authoritative server's own words."""
    problems = []
    for record in wanted:
        state = make_state(record, environment)
        there = found.get(make_identifier(record.zone, record.name, record.type))
        if there is None:
            problems.append(f"no {record.type} record")
        elif differences := [key for key in ("values", "ttl", "environment") if there[key] != state[key]]:
            shown = (f"{key} {there[key] or 'not ours'}, expected {state[key]}" for key in differences)
            problems.append(f"{record.type}: {'; '.join(shown)}")
    return problems


@check(
    "dns",
    each=_dns_names,
    remedy="a zone of ours: socle apply; another: its owner makes the record, see socle apply's warnings",
)
def name_leads_here(scene: Scene, name: str) -> str:
    """Each name leads to the platform, by the authoritative DNS."""
    wanted = [record for record in scene.plan.records if record.name == name]
    if wanted:
        found = scene.fact("records")
        problems = find_record_problems(wanted, found, scene.plan.environment)
        expect(not problems, "; ".join(problems))
        return "authoritative: " + ", ".join(f"{one.type} {' '.join(one.values)}" for one in wanted)
    public = set().union(*make_public(scene.plan).values())
    shown = scene.outside.run("getent ahosts %s", name).stdout.split()
    addresses = {word for word in shown if "." in word or ":" in word}
    expect(addresses, f"{name} has no address")
    expect(addresses <= public, f"{name} leads to {', '.join(sorted(addresses - public))}")
    return f"resolved: {', '.join(sorted(addresses))}"


# Certificates.


def judge_certificate(pem: str, now: float) -> str:
    """What a verified certificate says of itself. Raises Failed when it ends too soon.

    A certificate is renewed when a third of its life is left; when a quarter is left, renewal is late.
    """
    certificate = x509.load_pem_x509_certificate(pem.encode())
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    left = end - datetime.fromtimestamp(now, UTC)
    shown = f"{left.days} days" if left.days else f"{left.total_seconds() / 3600:.1f} h"
    life = (end - start).total_seconds()
    expect(left.total_seconds() > life / 4, f"it ends in {shown} ({end:%Y-%m-%d %H:%M} UTC): its renewal is late")
    return f"verified; {shown} left, issued by {certificate.issuer.rfc4514_string()}"


@check(
    "certificate",
    each=_names,
    remedy="journalctl -u caddy on the edge says why it is not renewed; does the name lead here?",
)
def certificate_is_verified(scene: Scene, name: str) -> str:
    """Each name has a certificate that browsers trust, with time left."""
    shown = scene.feed_json(OUTSIDE, f"python3 -I -c {shlex.quote(_TLS)}", make_names(scene.plan))
    error, pem = shown[name]
    expect(not error, f"{name}: {error}")
    return judge_certificate(pem, scene.now)


# Pages.


class Page(NamedTuple):
    """What a visitor was given. `status` 0: nothing."""

    status: int
    version: str
    error: str
    headers: dict[str, str]
    body: str


def make_page_command(url: str) -> str:
    """Reads a page as a visitor does. The certificate is another check's matter: it is verified there."""
    form = f"{_MARK}%{{http_code}}\t%{{http_version}}\t%{{errormsg}}\n".replace("\n", "\\n").replace("\t", "\\t")
    return shlex.join(["curl", "--silent", "--insecure", "--include", "--max-time", _SECONDS, "--write-out", form, url])


def parse_page(text: str) -> Page:
    """What curl wrote."""
    answer, _, end = text.rpartition(_MARK)
    status, version, error = [*end.rstrip("\n").split("\t", 2), "", "", ""][:3]
    head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
    pairs = (line.partition(":") for line in head.splitlines()[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Page(int(status or 0), version, error, headers, body)


def read_page(scene: Scene, site: Site, path: str) -> Page:
    """A page of a site, read from outside."""
    return parse_page(scene.outside.run(make_page_command(f"https://{site.domain}{path}")).stdout)


def judge_page(page: Page) -> str:
    """What a visitor got. Raises Failed when it is not what is promised."""
    status, version, error, headers, body = page
    expect(status, f"no answer: {error}")
    expect(status == 200, f"HTTP {status} instead of a page")
    expect("</html>" in body.lower(), f"the page is cut: {len(body)} characters without </html>")
    age = re.search(r"max-age=(\d+)", headers.get("strict-transport-security", ""))
    problems = [] if version == "2" else [f"HTTP/{version} instead of HTTP/2"]
    if not age or int(age[1]) < _HSTS_SECONDS:
        problems.append(f"HSTS: {age[0] if age else 'none'}, expected at least half a year")
    expect(not problems, "; ".join(problems))
    title = re.search(r"<title>(.*?)</title>", body, re.DOTALL | re.IGNORECASE)
    shown = html.unescape(title[1]).strip() if title else ""
    return f"HTTP/2 200, {len(body)} characters, HSTS {age[0] if age else ''}, title « {shown} »"


@check(
    "page",
    each=sites,
    remedy="who does not answer: the edge (journalctl -u caddy), the web host (nginx), or the site's unit?",
)
def page_is_read(scene: Scene, site: Site) -> str:
    """Each site's home page is read over HTTPS, as a visitor reads it."""
    audit = load_audit(scene, site.service)
    paths = ("/", *getattr(audit, "PATHS", ()))
    home, *others = together(*(partial(read_page, scene, site, path) for path in paths))
    said = judge_page(home)
    return f"{said}; {audit.judge_pages(site, others)}" if others else said


# Redirects and refusals.


def make_redirects(site: Site) -> list[tuple[str, str]]:
    """What is asked, and where it must lead."""
    target, path = f"https://{site.domain}", "/page?a=1"
    asked = [
        f"http://{site.domain}",
        *(f"{scheme}://{name}" for name in site.redirects for scheme in ("http", "https")),
    ]
    return [(f"{url}{path}", f"{target}{path}") for url in asked]


def make_redirect_command(urls: Iterable[str]) -> str:
    """Asks where each URL leads."""
    form = "%{url}\\t%{http_code}\\t%{redirect_url}\\t%{errormsg}\\n"
    outputs = [word for url in urls for word in ("--output", "/dev/null", url)]
    return shlex.join(["curl", "--silent", "--insecure", "--max-time", "15", "--write-out", form, *outputs])


def find_astray(text: str, wanted: Iterable[tuple[str, str]]) -> list[str]:
    """URLs that do not lead where they must."""
    lines = (line.split("\t") for line in text.splitlines())
    found = {fields[0]: fields[1:] for fields in lines if len(fields) > 3}
    problems = []
    for url, target in wanted:
        status, place, error = found.get(url, ["0", "", "no answer"])
        if status not in ("301", "308") or place != target:
            seen = error or f"HTTP {status}, to {place or 'nowhere'}"
            problems.append(f"{url}: {seen}")
    return problems


@check("redirects", each=sites, remedy="socle apply --full writes the edge's file of the site again")
def names_lead_to_the_main_one(scene: Scene, site: Site) -> str:
    """Plain HTTP and other names lead to the site over HTTPS."""
    wanted = make_redirects(site)
    text = scene.outside.run(make_redirect_command(url for url, _ in wanted)).stdout
    astray = find_astray(text, wanted)
    expect(not astray, "; ".join(astray))
    return f"{len(wanted)} addresses lead to https://{render_domain(site.domain)}/"


def _edge_addresses(plan: Plan) -> Iterator[Subject]:
    for host in plan.role("edge"):
        for nic in host.nics:
            if nic.network == "public":
                for ip in [nic.ipv4.ip, *([nic.ipv6.ip] if nic.ipv6 else [])]:
                    yield Subject(host.name, str(ip), str(ip))


def make_stranger_command(address: str, scheme: str, host: str = _UNKNOWN) -> str:
    """Asks an address for a site it does not have."""
    port = {"http": 80, "https": 443}[scheme]
    place = f"[{address}]" if ":" in address else address
    form = "%{http_code} %{exitcode}"
    options = ["--silent", "--insecure", "--max-time", "15", "--output", "/dev/null", "--write-out", form]
    return shlex.join(["curl", *options, "--connect-to", f"::{place}:{port}", f"{scheme}://{host}/"])


_TLS_REFUSED = "000 35"
_MISDIRECTED = "421 0"


@check("unknown-name", each=_edge_addresses, remedy="socle apply --full writes the edge's configuration again")
def unknown_names_are_refused(scene: Scene, address: str) -> str:
    """A name that is no site's gets no site, and no certificate."""
    commands = (make_stranger_command(address, scheme) for scheme in ("https", "http"))
    tls, plain = (found.stdout.strip() for found in together(*(partial(scene.outside.run, one) for one in commands)))
    expect(
        tls == _TLS_REFUSED,
        f"https://{_UNKNOWN}/ at {address}: status and curl's exit code {tls}, expected {_TLS_REFUSED}",
    )
    expect(
        plain == _MISDIRECTED,
        f"http://{_UNKNOWN}/ at {address}: status and curl's exit code {plain}, expected {_MISDIRECTED}",
    )
    return "TLS handshake refused; HTTP 421"


CHECKS = (name_leads_here, certificate_is_verified, page_is_read, names_lead_to_the_main_one, unknown_names_are_refused)
