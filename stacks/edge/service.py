"""The edge: what the Internet sees. Certificates, redirects, and each site's way to its web host."""

from __future__ import annotations

from pydantic import ByteSize

from socle.model.service import Flow, Kind, Service

SERVICE = Service(
    name="edge",
    title="Bord",
    purpose="Reçoit les visiteurs en HTTPS et les mène au site demandé.",
    kind=Kind.HOST,
    role="edge",
    packages=("caddy",),
    paths=("/etc/caddy", "/etc/systemd/system/caddy.service.d", "/var/lib/caddy"),
    units=("caddy.service",),
    users=("caddy",),
    flows=(Flow(ports=(80, 443), source="anyone"),),
    memory=ByteSize(128 * 1024**2),
)
