"""The outside world of the lab: authoritative DNS, a certificate authority, a client."""

from __future__ import annotations

from socle.model.service import Flow, Kind, Service

SERVICE = Service(
    name="outside",
    title="Le monde extérieur",
    purpose="Joue, pour le laboratoire, le DNS, l'autorité de certification et le navigateur.",
    kind=Kind.LAB,
    role="outside",
    packages=("ca-certificates", "caddy", "curl", "knot", "knot-dnsutils", "openssl", "pebble"),
    paths=("/etc/caddy", "/etc/knot", "/etc/pebble", "/var/lib/caddy", "/var/lib/knot"),
    units=("caddy.service", "knot.service", "socle-short-authority.service"),
    users=("caddy", "knot"),
    flows=(
        Flow(protocol="udp", ports=(53,), source="anyone"),
        Flow(protocol="tcp", ports=(53, 443), source="anyone"),
    ),
)
