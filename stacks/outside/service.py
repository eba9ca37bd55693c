"""The outside world of the lab: authoritative DNS, a certificate authority, a mail server, a client."""

from __future__ import annotations

from socle.model.service import Flow, Kind, Service

SERVICE = Service(
    name="outside",
    title="Le monde extérieur",
    purpose="Joue, pour le laboratoire, le DNS, l'autorité de certification, la messagerie et le navigateur.",
    kind=Kind.LAB,
    role="outside",
    packages=("ca-certificates", "caddy", "curl", "knot", "knot-dnsutils", "openssl", "opensmtpd", "pebble"),
    paths=(
        *("/etc/caddy", "/etc/knot", "/etc/mail", "/etc/pebble", "/etc/smtpd.conf"),
        *("/var/lib/caddy", "/var/lib/knot", "/var/lib/socle-mail"),
    ),
    units=("caddy.service", "knot.service", "opensmtpd.service", "socle-short-authority.service"),
    users=("caddy", "knot", "mailbox", "opensmtpd", "opensmtpq"),
    flows=(
        Flow(protocol="udp", ports=(53,), source="anyone"),
        Flow(protocol="tcp", ports=(25, 53, 443), source="anyone"),
    ),
)
