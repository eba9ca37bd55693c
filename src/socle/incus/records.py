"""DNS records as a kind of resource: RFC 2136 updates signed by TSIG, read back by zone transfer.

Ownership follows external-dns's TXT registry (https://kubernetes-sigs.github.io/external-dns/latest/docs/registry/txt/):
beside a record set of `www.amis.example` there is a TXT at `_socle.www.amis.example` that names the
environment and the type. A record set without it is not ours: never changed, never removed.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.update
import dns.xfr
import dns.zone

from socle.errors import Problem, Refused, SocleError, Unreachable
from socle.incus.kinds import State

if TYPE_CHECKING:
    from socle.model.plan import Record

REGISTRY = "_socle"
_SECONDS = 10.0
_TYPES = ("A", "AAAA", "CNAME")
Records = dict[str, State]
"""Record sets by identifier `zone/name/type`; key `environment` says whose, "" for nobody's of ours."""


@dataclass(frozen=True)
class DnsServer:
    """The primary, and the file that holds its key: one line `name:algorithm:base64`, mode 0600."""

    address: str
    key: Path

    def load_keyring(self) -> dns.tsig.Key:
        """The TSIG key. Raises SocleError when the file is not there or not as it should be."""
        try:
            name, algorithm, secret = self.key.read_text().strip().split(":")
            base64.b64decode(secret, validate=True)
        except (OSError, ValueError):
            raise SocleError(
                f"{self.key}: expected one line name:algorithm:base64", "bring the TSIG key back"
            ) from None
        return dns.tsig.Key(name, secret, f"{algorithm.rstrip('.')}.")


def make_identifier(zone: str, name: str, kind: str) -> str:
    """The identifier of a record set."""
    return f"{zone}/{name}/{kind}"


def make_claim(environment: str, kind: str) -> str:
    """The text beside a record set that says it is ours."""
    return f"heritage=socle,environment={environment},type={kind}"


def make_state(record: Record, environment: str) -> State:
    """What the plan wants of a record set, in the words of the resource."""
    return {
        "zone": record.zone,
        "name": record.name,
        "type": record.type,
        "ttl": str(record.ttl),
        "values": sorted(record.values),
        "environment": environment,
    }


def load_records(server: DnsServer, zone: str) -> Records:
    """All record sets of a zone, by one transfer. Raises Unreachable, or SocleError when it is refused."""
    found = dns.zone.Zone(zone, relativize=False)
    message = dns.message.make_query(zone, dns.rdatatype.AXFR)
    message.use_tsig(server.load_keyring())
    try:
        dns.query.inbound_xfr(server.address, found, message, timeout=_SECONDS, lifetime=3 * _SECONDS)
    except dns.xfr.TransferError as error:
        raise SocleError(
            f"DNS {server.address}: zone {zone} is not given to us: {error}", "check the TSIG key"
        ) from None
    except (OSError, EOFError, dns.exception.DNSException) as error:
        raise _make_unreachable(server, error) from None
    return parse_zone(found, zone)


def parse_zone(found: dns.zone.Zone, zone: str) -> Records:
    """Record sets with whose they are, from a zone's content."""
    sets: Records = {}
    claims: dict[str, str] = {}
    for name, node in found.nodes.items():
        text = name.to_text(omit_final_dot=True).lower()
        for rdataset in node:
            kind = dns.rdatatype.to_text(rdataset.rdtype)
            if kind == "TXT" and text.startswith(f"{REGISTRY}."):
                claims |= _parse_claims(rdataset, zone, text.removeprefix(f"{REGISTRY}."))
            elif kind in _TYPES:
                sets[make_identifier(zone, text, kind)] = _make_observed(zone, text, kind, rdataset)
    return {key: {**value, "environment": claims.get(key, "")} for key, value in sets.items()}


def _make_observed(zone: str, name: str, kind: str, rdataset: dns.rdataset.Rdataset) -> State:
    values = sorted(rdata.to_text().removesuffix(".") for rdata in rdataset)
    return {"zone": zone, "name": name, "type": kind, "ttl": str(rdataset.ttl), "values": values}


def _parse_claims(rdataset: dns.rdataset.Rdataset, zone: str, name: str) -> dict[str, str]:
    claims = {}
    for rdata in rdataset:
        text = b"".join(rdata.strings).decode(errors="replace")
        fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        if fields.get("heritage") == "socle":
            claims[make_identifier(zone, name, fields.get("type", ""))] = fields.get("environment", "")
    return claims


def make_namesake_problem(identifier: str) -> Problem:
    """There is already such a record set, and it is not ours."""
    zone, name, kind = identifier.split("/")
    remedy = f"remove it, or let socle have it by a TXT at {REGISTRY}.{name}: see stacks/platform/README.md"
    return Problem("DNS", 0, f"{name} {kind}", f"expected none in zone {zone}, or one that socle made", remedy)


class RecordKind:
    """A record set. Inputs: zone, name, type, ttl, values, environment."""

    compared: tuple[str, ...] = ("ttl", "values", "environment")
    replaced: tuple[str, ...] = ("zone", "name", "type")

    def __init__(self, server: DnsServer | None) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._zones: dict[str, Records] = {}

    def identify(self, inputs: State) -> str:
        return make_identifier(inputs["zone"], inputs["name"], inputs["type"])

    def observe(self, identifier: str) -> State | None:
        return self._records(identifier.split("/")[0]).get(identifier)

    def _records(self, zone: str) -> Records:
        with self._lock:
            if zone not in self._zones:
                self._zones[zone] = load_records(self._require(), zone)
            return self._zones[zone]

    def _require(self) -> DnsServer:
        if self._server is None:
            raise SocleError("no DNS server is known", "say it in platform.yml, dns.server")
        return self._server

    def create(self, inputs: State) -> None:
        found = self.observe(self.identify(inputs))
        if found and found["environment"] != inputs["environment"]:
            raise Refused([make_namesake_problem(self.identify(inputs))])
        run_replace(self._require(), inputs, found is not None)

    def update(self, _identifier: str, _state: State, inputs: State) -> None:
        self.create(inputs)

    def delete(self, identifier: str, state: State) -> None:
        found = self.observe(identifier)
        if found and found["environment"] == state.get("environment"):
            run_remove(self._require(), found)


def run_replace(server: DnsServer, inputs: State, exists: bool) -> None:
    """Write a record set and its claim, both or neither (RFC 2136, 3.7). `exists`: replace ours. Otherwise it
    is a condition of the update that there is still none."""

    def fill(update: dns.update.UpdateMessage) -> None:
        name, kind = f"{inputs['name']}.", inputs["type"]
        if not exists:
            update.absent(name, kind)
        dot = "." if kind == "CNAME" else ""
        update.replace(
            name,
            dns.rdataset.from_text_list("IN", kind, int(inputs["ttl"]), [f"{v}{dot}" for v in inputs["values"]]),
        )
        update.add(f"{REGISTRY}.{name}", int(inputs["ttl"]), "TXT", f'"{make_claim(inputs["environment"], kind)}"')

    _run_update(server, inputs, fill)


def run_remove(server: DnsServer, found: State) -> None:
    """Remove a record set of ours with its claim."""

    def fill(update: dns.update.UpdateMessage) -> None:
        name, kind = f"{found['name']}.", found["type"]
        update.delete(name, kind)
        update.delete(f"{REGISTRY}.{name}", "TXT", f'"{make_claim(found["environment"], kind)}"')

    _run_update(server, found, fill)


def _run_update(server: DnsServer, state: State, fill: Callable[[Any], None]) -> None:
    update = dns.update.UpdateMessage(state["zone"], keyring=server.load_keyring())
    fill(update)
    try:
        answer = dns.query.tcp(update, server.address, timeout=_SECONDS)
    except (OSError, EOFError, dns.exception.Timeout) as error:
        raise _make_unreachable(server, error) from None
    except dns.exception.DNSException as error:
        raise SocleError(f"DNS {server.address}: {error}", "check the TSIG key") from None
    code = answer.rcode()
    if code == dns.rcode.YXRRSET:
        raise Refused([make_namesake_problem(make_identifier(state["zone"], state["name"], state["type"]))])
    if code != dns.rcode.NOERROR:
        raise SocleError(f"DNS {server.address}: update of {state['name']} answered {dns.rcode.to_text(code)}")


def _make_unreachable(server: DnsServer, error: Exception) -> Unreachable:
    reason = str(error) or type(error).__name__
    return Unreachable(f"DNS server {server.address} does not answer: {reason}", "check dns.server in platform.yml")
