"""The certificates that visitors of the sites are shown, read from TLS connections to the edge."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from socle.clock.runs import parse_time
from socle.files import run_write
from socle.model.plan import Plan

FILE = "certificates.json"
"""In the state folder: what was last read."""
LEFT = 0.2
"""A certificate is renewed when a third of its life is left (Caddy): with less than this, renewal fails."""
_PARALLEL = 16
_TIMEOUT = 10
_PORT = 443


@dataclass(frozen=True)
class Certificate:
    """What a visitor of `domain` is shown. Times are ISO 8601 in UTC, empty with an `error`."""

    site: str
    domain: str
    begins: str = ""
    expires: str = ""
    error: str = ""


def make_names(plan: Plan) -> list[tuple[str, str, str]]:
    """Site, name, and address of the edge, of each name that is ours to serve: its own and those that lead to it."""
    edges = [str(nic.ipv4.ip) for host in plan.role("edge") for nic in host.nics if nic.network == "public"]
    served = {record.name for record in plan.records}
    return [
        (site.name, name, edges[0])
        for site in plan.sites
        for name in (site.domain, *site.redirects)
        if edges and name in served
    ]


def make_trust(state: Path) -> ssl.SSLContext:
    """What a visitor trusts: the machine's authorities, and in a lab the lab's own."""
    context = ssl.create_default_context()
    root = state / "acme-root.pem"
    if root.is_file():
        context.load_verify_locations(root)
    return context


def run_read(names: Sequence[tuple[str, str, str]], trust: ssl.SSLContext, port: int = _PORT) -> list[Certificate]:
    """The certificates of all names, read at once."""
    if not names:
        return []
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(lambda name: _run_read_one(*name, trust=trust, port=port), names))


def _run_read_one(site: str, domain: str, address: str, *, trust: ssl.SSLContext, port: int) -> Certificate:
    try:
        with (
            socket.create_connection((address, port), timeout=_TIMEOUT) as plain,
            trust.wrap_socket(plain, server_hostname=domain) as connection,
        ):
            shown: Any = connection.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return Certificate(site, domain, error=f"not trusted: {error.verify_message}")
    except (OSError, ValueError) as error:
        return Certificate(site, domain, error=f"no TLS connection: {error}")
    return Certificate(site, domain, _make_time(shown["notBefore"]), _make_time(shown["notAfter"]))


def _make_time(text: str) -> str:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC).isoformat()


def find_reason(one: Certificate, now: datetime) -> str:
    """Why a human must look at a certificate, in French; empty when there is no need."""
    if one.error:
        return f"il ne convainc pas un visiteur ({one.error})"
    begins, expires = parse_time(one.begins), parse_time(one.expires)
    if begins is None or expires is None:
        return "ses dates ne se lisent pas"
    if expires <= now:
        return f"il a expiré le {expires:%d/%m/%Y}"
    if expires - now < LEFT * (expires - begins):
        return f"il n’a pas été renouvelé et expire le {expires:%d/%m/%Y}"
    return ""


def run_write_certificates(state: Path, found: Iterable[Certificate]) -> None:
    """Keep what was read."""
    data = {"certificates": [asdict(one) for one in found]}
    run_write(state / FILE, json.dumps(data, ensure_ascii=False, indent=1).encode() + b"\n")


def parse_certificates(content: bytes) -> list[Certificate]:
    """What was kept. ValueError on another shape."""
    data = json.loads(content)
    try:
        return [Certificate(**one) for one in data["certificates"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"expected certificates: {error}") from None
