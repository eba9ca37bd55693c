"""Looking at the edge from outside, and sites of its own for tests that need no web host."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dns.query
import dns.rcode
import dns.update

from socle.lab.outside import OWN_ZONE
from socle.model.plan import Nic, Plan
from socle.stages.hosts_context import load_dns_server
from tests.live.environment import Lab

SHORT_UNIT = "socle-short-authority.service"
_FILE = "/etc/caddy/sites/zz-test.caddy"


def public_nic(plan: Plan) -> Nic:
    """The edge's place in the public network."""
    return next(nic for host in plan.role("edge") for nic in host.nics if nic.network == "public")


def addresses(plan: Plan) -> list[str]:
    """The edge's public addresses."""
    nic = public_nic(plan)
    return [str(address.ip) for address in (nic.ipv4, nic.ipv6) if address]


def shown_certificate(lab: Lab, address: str, name: str | None) -> dict[str, str]:
    """The certificate shown at `address` to who asks for `name` (None: for nothing); empty when refused."""
    place = f"[{address}]" if ":" in address else address
    asked = ["-servername", name] if name else ["-noservername"]
    shown = lab.ssh("outside", ["openssl", "s_client", "-connect", f"{place}:443", *asked], check=False)
    if "BEGIN CERTIFICATE" not in shown:
        return {}
    text = lab.ssh("outside", ["openssl", "x509", "-noout", "-serial", "-ext", "subjectAltName"], stdin=shown.encode())
    serial = re.search(r"serial=(\w+)", text)
    return {"serial": serial[1] if serial else "", "names": ",".join(re.findall(r"DNS:([\w.-]+)", text))}


def set_record(lab: Lab, label: str, *values: str) -> str:
    """Give `label`.outside.test these addresses (none: remove it). Its full name."""
    server = load_dns_server(lab.context())
    assert server
    name = f"{label}.{OWN_ZONE}"
    update = dns.update.Update(OWN_ZONE)
    update.use_tsig(server.load_keyring())
    update.delete(f"{name}.")
    for value in values:
        update.add(f"{name}.", 5, "AAAA" if ":" in value else "A", value)
    answer = dns.query.tcp(update, server.address, timeout=10)
    assert answer.rcode() == dns.rcode.NOERROR
    return name


@contextmanager
def serving(lab: Lab, text: str) -> Iterator[None]:
    """A file of sites on the edge, beside those of the plan, for the time of a test."""
    lab.ssh("edge1", ["tee", _FILE], stdin=text.encode())
    try:
        lab.ssh("edge1", ["systemctl", "reload", "caddy"])
        yield
    finally:
        lab.ssh("edge1", ["rm", "-f", _FILE])
        lab.ssh("edge1", ["systemctl", "reload", "caddy"])


def wait_for(check: Callable[[], Any], seconds: float) -> Any:
    """The first true value of `check` within `seconds`; its last value otherwise."""
    deadline = time.monotonic() + seconds
    while not (value := check()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return value
