"""The Plan: everything that will exist, by name. Pure data, no secret values, the same files give the same bytes."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from typing import Any, Literal

from socle.model.base import Model
from socle.model.policy import Policy


class Network(Model):
    """A bridge. `managed`: the plan owns it; else it was there before us (in the lab: made by `lab up`)."""

    name: str
    bridge: str
    ipv4: IPv4Interface
    """Gateway address and prefix."""
    ipv6: IPv6Interface | None = None
    managed: bool


class Nic(Model):
    """A host's place in a network. The first one of a host has the default route."""

    network: str
    device: str
    ipv4: IPv4Interface
    ipv6: IPv6Interface | None = None


class Input(Model):
    """Traffic a host lets in. No sources: from anyone."""

    protocol: Literal["tcp", "udp"]
    ports: tuple[int, ...]
    sources: tuple[str, ...]
    comment: str


class Host(Model):
    """A machine to have (an Incus instance)."""

    name: str
    role: str
    memory: int
    """Bytes."""
    disk: int
    """Bytes."""
    nics: tuple[Nic, ...]
    address: IPv4Address
    """Where the controller reaches it."""
    inputs: tuple[Input, ...]
    forwards: tuple[int, ...] = ()
    """TCP ports of its own address that the controller reaches through ssh."""
    services: tuple[str, ...]
    """In the order in which they are installed."""


class Volume(Model):
    """A storage volume with a quota, mounted in a host. Protected: never deleted by a plan."""

    name: str
    host: str
    path: str
    size: int | None
    """Bytes; None leaves what it has (the request is gone)."""
    association: str
    """Empty for the data of a service that several associations share."""


class Record(Model):
    """A DNS record set."""

    name: str
    zone: str
    type: Literal["A", "AAAA", "CNAME"]
    ttl: int
    values: tuple[str, ...]
    association: str


class Site(Model):
    """A service for an association, on a host. Its name is also its Unix user, volume and folder."""

    name: str
    association: str
    association_name: str
    service: str
    host: str
    uid: int
    database: str | None
    path: str
    unit: str
    domain: str
    redirects: tuple[str, ...]
    quota: int
    """Bytes, files and database together."""
    database_quota: int
    """Bytes of them that are the database's; the volume has the others."""
    memory: int
    """Bytes."""
    options: dict[str, Any]
    """The service's own options, as the request gives them."""
    secrets: tuple[str, ...]
    """Names only."""


class Repository(Model):
    """The backups of an association: a restic repository on a volume of its own. Its name is also its user's."""

    name: str
    association: str
    """Empty for the platform's own."""
    host: str
    """The vault."""
    path: str
    """Folder on the vault, where its volume is mounted."""
    volume: str
    url: str
    """What restic is given, without any credential: rest:https://10.x.y.z:8443/<name>/."""
    quota: int
    """Bytes."""
    sites: tuple[str, ...]
    """Those that are saved in it, orphans included: they wait for what is decided of them."""


class Orphan(Model):
    """A site whose request is gone: stopped, its data kept until it is retired on purpose."""

    name: str
    association: str
    service: str
    host: str
    uid: int
    quota: int = 0
    """Bytes that its data may take; 0 when nobody remembers."""
    database_quota: int = 0
    """Bytes of them that are the database's."""


class Plan(Model):
    """What should exist in one environment."""

    environment: str
    """Name with the clone's mark: `lab-3f2a`. Everything made carries it."""
    syndicate: str
    domain: str
    timezone: str
    acme_directory: str
    networks: tuple[Network, ...]
    hosts: tuple[Host, ...]
    volumes: tuple[Volume, ...]
    records: tuple[Record, ...]
    sites: tuple[Site, ...]
    policy: Policy = Policy()
    repositories: tuple[Repository, ...] = ()
    """None when no vault is declared."""
    orphans: tuple[Orphan, ...]
    waiting: tuple[str, ...]
    """Associations whose request is valid but not yet accepted."""

    def host(self, name: str) -> Host:
        """The host of that name. KeyError when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def role(self, role: str) -> tuple[Host, ...]:
        """The hosts of a role."""
        return tuple(host for host in self.hosts if host.role == role)

    def repository(self, association: str) -> Repository | None:
        """The repository of an association; None when it has none."""
        return next((one for one in self.repositories if one.association == association), None)

    def digest(self) -> str:
        """SHA-256 of the plan's canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
