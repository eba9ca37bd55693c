"""The edge on a real host, seen by a visitor: certificates, redirects, refusals (cases B4 and B5)."""

from __future__ import annotations

import time

import pytest

from socle.model.plan import Site
from tests.live.edge_tools import (
    SHORT_UNIT,
    addresses,
    public_nic,
    serving,
    set_record,
    shown_certificate,
    wait_for,
)
from tests.live.environment import Lab

PLAIN_SITE = 'https://{name} {{\n\trespond "{name} here"\n}}\n'
SHORT_SITE = """https://{name} {{
	tls {{
		issuer acme {{
			dir https://short.outside.test/dir
			trusted_roots /etc/caddy/acme-root.pem
		}}
	}}
	respond "{name} here"
}}
"""


def sites(lab: Lab) -> tuple[Site, ...]:
    found = lab.context().plan.sites
    assert found
    return found


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_each_site_has_a_certificate_of_its_own_over_both_protocols(lab: Lab, family: str) -> None:
    for site in sites(lab):
        page = lab.get(f"https://{site.domain}/", family)
        assert page
        assert page.status == 200, site.name
        assert page.version == "2"
        assert "max-age=31536000" in page.headers["strict-transport-security"]
        assert "server" not in page.headers or "Caddy" not in page.headers["server"]
        assert "alt-svc" not in page.headers
    address = str(public_nic(lab.context().plan).ipv4.ip)
    shown = {site.domain: shown_certificate(lab, address, site.domain) for site in sites(lab)}
    assert {name: found["names"] for name, found in shown.items()} == {name: name for name in shown}


def test_one_of_the_sites_has_an_accent_in_its_name(lab: Lab) -> None:
    assert any(site.domain.startswith("xn--") for site in sites(lab))


def test_plain_http_and_other_names_lead_to_the_main_name(lab: Lab) -> None:
    for site in sites(lab):
        for name in (site.domain, *site.redirects, f"{site.domain}."):
            answer = lab.get(f"http://{name}/page?a=1")
            assert answer
            assert (answer.status, answer.headers["location"]) == (308, f"https://{site.domain}/page?a=1")
        for name in (*site.redirects, f"{site.domain}."):
            answer = lab.get(f"https://{name}/page?a=1")
            assert answer
            assert (answer.status, answer.headers["location"]) == (308, f"https://{site.domain}/page?a=1")


@pytest.mark.parametrize("name", ["unknown.example", "127.0.0.1", None])
def test_tls_is_refused_without_showing_any_certificate(lab: Lab, name: str | None) -> None:
    plan = lab.context().plan
    for address in addresses(plan):
        assert shown_certificate(lab, address, name) == {}
        assert shown_certificate(lab, address, plan.sites[0].domain)["names"] == plan.sites[0].domain


def test_unknown_names_and_bare_addresses_get_a_neutral_refusal(lab: Lab) -> None:
    plan = lab.context().plan
    ipv4, *ipv6 = addresses(plan)
    urls = [f"http://{ipv4}/", *(f"http://[{address}]/" for address in ipv6), "http://unknown.example/"]
    for url in urls:
        answer = lab.get(url, "--connect-to", f"unknown.example:80:{ipv4}:80")
        assert answer
        assert answer.status == 421, url
        assert "Aucun site n’est servi à cette adresse." in answer.body
        assert not [site for site in plan.sites if site.domain in answer.body or site.association_name in answer.body]


def test_a_sites_certificate_opens_no_other_site(lab: Lab) -> None:
    first, second, *_ = sites(lab)
    for host in (second.domain, f"{second.domain}.", "unknown.example"):
        answer = lab.get(f"https://{first.domain}/", "-H", f"Host: {host}")
        assert answer
        assert answer.status == 421, host
        assert "Aucun site" in answer.body


def test_a_site_that_is_down_says_so_and_no_other(scratch: Lab) -> None:
    down, *others = sites(scratch)
    socket = down.unit.replace(".service", ".socket")
    scratch.ssh(down.host, ["systemctl", "stop", socket, down.unit], check=False)
    answer = scratch.get(f"https://{down.domain}/")
    assert answer
    assert answer.status in (502, 503, 504)
    if answer.status != 503:
        assert "Site momentanément indisponible" in answer.body
    for site in others:
        page = scratch.get(f"https://{site.domain}/")
        assert page
        assert page.status == 200, site.name


def test_uploads_end_at_the_limit(lab: Lab) -> None:
    site = sites(lab)[0]
    # Sent from the disk as it is read: the client's host has little memory, and /tmp is in it.
    large = "/var/tmp/large"
    lab.ssh("outside", ["truncate", "-s", str(64 * 1024**2 + 1), large])
    answer = lab.get(f"https://{site.domain}/", "-X", "POST", "-T", large)
    lab.ssh("outside", ["rm", large])
    assert answer
    assert answer.status == 413
    assert "64 Mio" in answer.body


def test_a_removed_name_is_no_longer_answered(lab: Lab) -> None:
    plan = lab.context().plan
    name = set_record(lab, "removed", *addresses(plan))
    with serving(lab, PLAIN_SITE.format(name=name)):
        page = wait_for(lambda: lab.get(f"https://{name}/", check=False), 30)
        assert page
        assert page.body == f"{name} here"
    assert lab.get(f"https://{name}/", check=False) is None
    assert [shown_certificate(lab, address, name) for address in addresses(plan)] == [{}, {}]


def test_a_dead_name_holds_up_no_other(lab: Lab) -> None:
    """Two names that cannot be validated, one without record and one that leads elsewhere, come first."""
    nobody = set_record(lab, "dead-record")
    elsewhere = set_record(lab, "dead-elsewhere", str(public_nic(lab.context().plan).ipv4.network[250]))
    good = set_record(lab, "good", *addresses(lab.context().plan))
    texts = [PLAIN_SITE.format(name=name) for name in (nobody, elsewhere, good)]
    start = time.monotonic()
    with serving(lab, "".join(texts)):
        assert wait_for(lambda: lab.get(f"https://{good}/", check=False), 30)
        assert time.monotonic() - start < 30
        assert lab.get(f"https://{elsewhere}/", "-k", "--connect-to", f"::{good}:443", check=False) is None


def test_a_leftover_ipv6_address_stops_no_certificate(lab: Lab) -> None:
    nic = public_nic(lab.context().plan)
    assert nic.ipv6
    name = set_record(lab, "leftover", str(nic.ipv4.ip), str(nic.ipv6.network[250]))
    with serving(lab, PLAIN_SITE.format(name=name)):
        assert wait_for(lambda: shown_certificate(lab, str(nic.ipv4.ip), name), 60)["names"] == name


def test_the_authority_still_issues_after_a_restart(lab: Lab) -> None:
    lab.ssh("outside", ["systemctl", "restart", "caddy"])
    name = set_record(lab, f"restarted-{int(time.time())}", *addresses(lab.context().plan))
    with serving(lab, PLAIN_SITE.format(name=name)):
        assert wait_for(lambda: lab.get(f"https://{name}/", check=False), 30)


def test_a_certificate_is_renewed_before_it_ends(lab: Lab) -> None:
    """With certificates of 90 seconds: renewed when a third is left, looked at every 30 s."""
    plan = lab.context().plan
    name = set_record(lab, "renewal", *addresses(plan))
    address = addresses(plan)[0]
    lab.ssh("edge1", ["sh", "-c", "rm -rf /var/lib/caddy/.local/share/caddy/*/short.outside.test-dir"])
    lab.ssh("outside", ["systemctl", "start", SHORT_UNIT])
    try:
        assert wait_for(lambda: (page := lab.get("https://short.outside.test/dir")) and page.status == 200, 30)
        with serving(lab, SHORT_SITE.format(name=name)):
            first = wait_for(lambda: shown_certificate(lab, address, name), 30)
            assert first
            assert first["names"] == name

            def renewed() -> bool:
                shown = shown_certificate(lab, address, name)
                assert shown, "no certificate: it ended before it was renewed"
                return shown["serial"] != first["serial"]

            assert wait_for(renewed, 95)
    finally:
        lab.ssh("outside", ["systemctl", "stop", SHORT_UNIT])
        set_record(lab, "renewal")


def test_dns_is_changed_and_read_whole_with_the_key_only(lab: Lab) -> None:
    answer = lab.ssh("outside", ["sh", "-c", "kdig @127.0.0.1 example AXFR 2>&1; true"])
    assert "NOTAUTH" in answer
    assert "SOA" not in answer
    update = b"server 127.0.0.1\nzone example.\nadd evil.example. 60 A 192.0.2.1\nsend\n"
    assert "NOTAUTH" in lab.ssh("outside", ["sh", "-c", "knsupdate 2>&1; true"], stdin=update)
    found = lab.ssh("outside", ["kdig", "+short", "@127.0.0.1", lab.context().plan.sites[0].domain, "A"])
    assert found.strip() == str(public_nic(lab.context().plan).ipv4.ip)


def test_the_edge_resolves_the_sites_names(lab: Lab) -> None:
    plan = lab.context().plan
    assert str(public_nic(plan).ipv4.ip) in lab.ssh("edge1", ["getent", "ahostsv4", plan.sites[0].domain])
