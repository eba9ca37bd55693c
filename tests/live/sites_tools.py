"""What live tests of sites share: pages asked of nginx itself, PHP run inside a site's pool, extra sites."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

from socle.model.plan import Orphan, Plan, Site
from socle.stages.base import Change, Context
from socle.stages.sites import SitesStage
from tests.live.environment import Response, parse_response

_FETCH = """
import http.client, json, sys
request = json.load(sys.stdin)
connection = http.client.HTTPConnection(request["address"], 80, timeout=60)
try:
    connection.request(request["method"], request["path"], request["body"].encode(), request["headers"])
    answer = connection.getresponse()
    body = answer.read().decode("utf-8", "replace")
    print(json.dumps([answer.status, answer.getheaders(), body]))
except (OSError, http.client.HTTPException) as error:
    print(json.dumps([0, [], repr(error)]))
"""
_RUN_PHP = """
import json, runpy, sys
site, script, body = json.load(sys.stdin)
tools = runpy.run_path("/usr/lib/socle/wordpress")
print(tools["run_script"](site, script, body.encode()))
"""


class Hosts(Protocol):
    """What these tools need of the lab."""

    def context(self, full: bool = False) -> Context: ...

    def ssh(
        self, host: str, arguments: Sequence[str], stdin: bytes = b"", check: bool = True, timeout: float = 120
    ) -> str: ...


@dataclass
class Page:
    """What nginx of the web host answered. Status 0: nothing at all."""

    status: int
    headers: list[tuple[str, str]]
    body: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass
class Visitor:
    """Someone who reads a site as the edge would pass it on, and keeps cookies."""

    lab: Hosts
    site: Site
    address: str
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self, path: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> Page:
        """GET, or POST when there is a form or a body."""
        sent = {"Host": self.site.domain, "X-Forwarded-Proto": "https", **(headers or {})}
        if form is not None:
            body, sent["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        request = {
            "address": self.address,
            "method": "POST" if form is not None or body else "GET",
            "path": path,
            "headers": sent,
            "body": body,
        }
        output = self.lab.ssh(self.site.host, ["python3", "-c", _FETCH], stdin=json.dumps(request).encode())
        status, received, text = json.loads(output)
        page = Page(status, [tuple(header) for header in received], text)
        for name, value in page.headers:
            if name.lower() == "set-cookie":
                key, _, kept = value.partition(";")[0].partition("=")
                self.cookies[key] = kept
        return page

    def log_in(self, password: str) -> Page:
        """Fill in WordPress's form as the administrator."""
        self.cookies["wordpress_test_cookie"] = "WP%20Cookie%20check"
        return self.ask("/wp-login.php", {"log": "administration", "pwd": password, "testcookie": "1"})

    def publish(self, title: str, content: str) -> str:
        """Publish a page through WordPress, logged in; its path."""
        nonce = self.ask("/wp-admin/admin-ajax.php?action=rest-nonce").body
        headers = {"X-WP-Nonce": nonce, "Content-Type": "application/json"}
        text = json.dumps({"title": title, "content": content, "status": "publish"})
        page = self.ask("/wp-json/wp/v2/pages", headers=headers, body=text)
        assert page.status == 201, page.body[:500]
        return str(json.loads(page.body)["link"]).partition(self.site.domain)[2]


def make_curl_config(options: Sequence[tuple[str, str]]) -> str:
    """A file for curl's --config: passwords stay out of arguments. Source: curl(1), -K."""
    quoted = ((name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in options)
    return "silent\nshow-error\ninclude\n" + "".join(f'{name} = "{value}"\n' for name, value in quoted)


@dataclass
class Browser:
    """Someone on the Internet: over HTTPS from `outside`, certificates verified, cookies kept."""

    lab: Hosts
    site: Site

    def __post_init__(self) -> None:
        self._jar = f"/tmp/{self.site.name}.cookies"
        self.lab.ssh("outside", ["rm", "-f", self._jar])

    def ask(self, path: str, *options: tuple[str, str]) -> Response:
        """GET, or what curl's `options` make of it."""
        common = (("url", f"https://{self.site.domain}{path}"), ("cookie", self._jar), ("cookie-jar", self._jar))
        config = make_curl_config((*common, ("max-time", "60"), *options))
        return parse_response(self.lab.ssh("outside", ["curl", "--config", "-"], stdin=config.encode()))

    def log_in(self, password: str) -> Response:
        """Fill in WordPress's form as the administrator."""
        self.ask("/wp-login.php")
        form = {"log": "administration", "pwd": password, "testcookie": "1"}
        return self.ask("/wp-login.php", *(("data-urlencode", f"{name}={value}") for name, value in form.items()))

    def publish(self, title: str, content: str) -> str:
        """Publish a page, logged in; its path."""
        text = json.dumps({"title": title, "content": content, "status": "publish"})
        return self._send("pages", "link", text, "Content-Type: application/json")

    def upload(self, name: str, text: str) -> str:
        """Add a text file to the media of the site, logged in; its path."""
        return self._send(
            "media",
            "source_url",
            text,
            "Content-Type: text/plain",
            f'Content-Disposition: attachment; filename="{name}"',
        )

    def _send(self, kind: str, link: str, body: str, *headers: str) -> str:
        """Create something by WordPress's REST interface, as its editor does; where it is then."""
        nonce = self.ask("/wp-admin/admin-ajax.php?action=rest-nonce").body.strip()
        options = [("header", header) for header in (f"X-WP-Nonce: {nonce}", *headers)]
        answer = self.ask(f"/wp-json/wp/v2/{kind}", *options, ("data-binary", body))
        assert answer.status == 201, answer.body[:500]
        return str(json.loads(answer.body)[link]).partition(self.site.domain)[2]


def visit(lab: Hosts, site: Site) -> Visitor:
    return Visitor(lab, site, str(lab.context().plan.host(site.host).address))


def wordpress_sites(lab: Hosts) -> tuple[Site, ...]:
    """The WordPress sites of the plan. Tests of isolation need two on one host."""
    return tuple(site for site in lab.context().plan.sites if site.service == "wordpress")


def run_php(lab: Hosts, site: Site, code: str, data: Any = None, socket: str = "") -> Any:
    """What PHP code answers (as JSON) when it runs in the pool of a site; `data` is its `$data`."""
    script = "/usr/share/socle/wordpress/test-probe.php"
    prologue = "<?php $data = json_decode(file_get_contents('php://input'), true);\n"
    lab.ssh(site.host, ["sh", "-c", f"cat > {script}"], stdin=(prologue + textwrap.dedent(code)).encode())
    try:
        stdin = json.dumps([socket or site.name, script, json.dumps(data)]).encode()
        return json.loads(lab.ssh(site.host, ["python3", "-c", _RUN_PHP], stdin=stdin))
    finally:
        lab.ssh(site.host, ["rm", "-f", script])


class _Secrets:
    """The lab's secrets, and made-up ones for extra sites."""

    def __init__(self, known: Any, extra: Mapping[str, Mapping[str, str]]) -> None:
        self._known, self._extra = known, extra

    def site(self, site: Site) -> Mapping[str, str]:
        return self._extra.get(site.name) or self._known.site(site)

    def repository(self, name: str) -> Mapping[str, str]:
        return self._known.repository(name)


ODD_PASSWORD = "x\"'\\$HOME é %s {{ 7*7 }} <b>&amp; 🎉"


def make_site(like: Site, identifier: str, uid: int, **changes: Any) -> Site:
    """A site beside another one on its host."""
    name = f"wp-{identifier}"
    return like.model_copy(
        update={
            "name": name,
            "association": identifier,
            "association_name": identifier,
            "uid": uid,
            "database": name.replace("-", "_"),
            "path": f"/srv/sites/{name}",
            "unit": f"socle-{name}.service",
            "domain": f"{identifier}.example",
            "redirects": (),
            **changes,
        }
    )


def add_sites(context: Context, *sites: Site) -> Context:
    """The context with more sites, each with secrets of its own, on the web host only."""
    extra = {
        site.name: {
            "admin_password": ODD_PASSWORD,
            "database_password": f"dbpw-CANARY-7f3a-{site.name}",
            "salt": f"salt-CANARY-7f3a-{site.name}",
        }
        for site in sites
    }
    plan = context.plan.model_copy(update={"sites": (*context.plan.sites, *sites)})
    secrets: Any = _Secrets(context.secrets, extra)
    return dataclasses.replace(context, plan=plan, secrets=secrets)


def orphan(plan: Plan, *names: str) -> Plan:
    """The plan after the requests of these sites are gone."""
    gone = [site for site in plan.sites if site.name in names]
    orphans = [
        Orphan(name=site.name, association=site.association, service=site.service, host=site.host, uid=site.uid)
        for site in gone
    ]
    kept = tuple(site for site in plan.sites if site.name not in names)
    return plan.model_copy(update={"sites": kept, "orphans": (*plan.orphans, *orphans)})


def apply(context: Context) -> Sequence[Change]:
    return SitesStage().apply(context)


def preview(context: Context) -> Sequence[Change]:
    return SitesStage().preview(context)


@contextmanager
def extra_site(lab: Hosts, identifier: str, uid: int, **changes: Any) -> Iterator[tuple[Context, Site]]:
    """A site with a volume in memory, applied; everything of it is taken away afterwards."""
    context = lab.context()
    site = make_site(wordpress_sites(lab)[0], identifier, uid, **changes)
    mount(lab, site)
    added = add_sites(context, site)
    try:
        apply(added)
        yield added, site
    finally:
        erase(lab, context, site)


def mount(lab: Hosts, site: Site, size: str = "64m") -> None:
    lab.ssh(site.host, ["mkdir", "-p", site.path])
    lab.ssh(site.host, ["mount", "-t", "tmpfs", "-o", f"size={size}", site.name, site.path])


def erase(lab: Hosts, context: Context, site: Site) -> None:
    """Remove a test's site with its data, which the sites stage never does."""
    apply(context)
    lab.ssh(site.host, ["mariadb", "-e", f"DROP DATABASE IF EXISTS {site.database}"])
    lab.ssh(site.host, ["umount", "--lazy", site.path], check=False)
    lab.ssh(site.host, ["rm", "-rf", site.path, f"/var/lib/socle/sites/{site.name}.json"])
    lab.ssh(site.host, ["userdel", site.name], check=False)
    lab.ssh(site.host, ["groupdel", site.name], check=False)
