"""inventories/<env>/allocations.yml: what must never change once given. Written by socle only."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pydantic import Field

from socle.model.base import Model
from socle.model.names import Identifier

FIRST_UID = 20000
LAST_UID = 59999  # Debian policy 9.2.2: 60000 and above are not for us.
FIRST_HOST_NUMBER = 10


class NetworkAllocation(Model):
    """The addresses of a network."""

    ipv4: IPv4Network
    ipv6: IPv6Network | None = None


class SiteAllocation(Model):
    """Where a site lives, and under which number. A rebuilt host gives files back to the same uid."""

    association: Identifier
    service: str
    host: str
    uid: int = Field(ge=FIRST_UID, le=LAST_UID)
    quota: int | None = Field(default=None, ge=0)
    """Bytes: the largest its request asked for, so that its data still counts when the request is gone."""


class RepositoryAllocation(Model):
    """Where the backups of an association are. Its snapshots do not follow when another vault is declared."""

    host: str


class Allocations(Model):
    """Everything given so far. `next_uid` only grows: a number is never given twice."""

    networks: dict[str, NetworkAllocation] = Field(default_factory=dict)
    hosts: dict[str, int] = Field(default_factory=dict)
    """Number of each host in its networks: 10 gives 10.x.y.10."""
    sites: dict[str, SiteAllocation] = Field(default_factory=dict)
    repositories: dict[str, RepositoryAllocation] = Field(default_factory=dict)
    """By association; `_platform` for the platform's own."""
    next_uid: int = FIRST_UID
