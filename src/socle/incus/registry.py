"""All kinds of resources, by the name of their type in the provider."""

from __future__ import annotations

from socle.incus.client import IncusClient
from socle.incus.instances import InstanceKind, Locks
from socle.incus.kinds import AclKind, AttachmentKind, Kind, NetworkKind, VolumeKind
from socle.incus.listing import Cache
from socle.incus.records import DnsServer, RecordKind

NOUNS = {
    "Network": "network",
    "NetworkAcl": "network access list",
    "Instance": "host",
    "Volume": "volume",
    "Attachment": "attachment",
    "RecordSet": "record",
}
"""What people call each type."""


def make_kinds(client: IncusClient, cache: Cache, environment: str, server: DnsServer | None) -> dict[str, Kind]:
    """The kinds by type name, sharing one cache and the locks of instances."""
    locks = Locks()
    return {
        "Network": NetworkKind(client, cache, environment),
        "NetworkAcl": AclKind(client, cache, environment),
        "Instance": InstanceKind(client, cache, environment, locks),
        "Volume": VolumeKind(client, cache, environment),
        "Attachment": AttachmentKind(client, cache, locks),
        "RecordSet": RecordKind(server),
    }
