"""nginx on web hosts: serves the files of sites, and hands PHP to each site's own pool."""

from pydantic import ByteSize

from socle.model.service import Flow, Kind, Service

SERVICE = Service(
    name="nginx",
    title="Serveur web",
    purpose="Serves sites to the edge.",
    kind=Kind.HOST,
    role="web",
    packages=("nginx",),
    paths=("/etc/nginx", "/etc/socle/nginx", "/etc/systemd/system/nginx.service.d"),
    units=("nginx.service",),
    flows=(Flow(ports=(80,), source="edge"),),
    memory=ByteSize(64 * 1024**2),
)
