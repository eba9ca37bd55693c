"""What a service declares in stacks/<service>/service.py. Everything else derives from it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import ByteSize, Field

from socle.model.base import Model
from socle.model.domains import Domain


class Kind(StrEnum):
    """`site`: one per association. `host`: software of a host's role, there even without associations.
    `lab`: plays the outside world for the lab, never part of a plan."""

    SITE = "site"
    HOST = "host"
    LAB = "lab"


CONTROLLER = "controller"


class Flow(Model):
    """Who may reach a port of the service. `source` is a role; or `anyone`; or `saved`, hosts with sites to save; or
    `controller`, which comes through ssh, so that the firewall opens nothing for it."""

    protocol: Literal["tcp", "udp"] = "tcp"
    ports: tuple[int, ...]
    source: str


class Secret(Model):
    """A secret of each site, named here and generated when the request is accepted.

    `length` is in characters of [A-Za-z0-9]: 43 of them carry 256 bits.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    length: int = Field(default=43, ge=20, le=128)


class Data(Model):
    """What the shared part of a service keeps, on a volume of its own, so that it survives its host."""

    path: str = Field(pattern=r"^/")
    size: ByteSize


class State(Model):
    """What of a site is saved every night: its folder and its database. Declaring it is enough to be saved,
    judged, restored and audited."""

    exclude: tuple[str, ...] = ()
    """Patterns of restic, relative to the site's folder: what is made again by itself, such as caches."""
    sqlite: tuple[str, ...] = ()
    """Paths of SQLite databases, relative to the site's folder, `*` allowed: copied by SQLite's own backup,
    since a file that is being written is not one (case A4)."""


class SiteOptions(Model):
    """What every request for a site says, whatever the service."""

    domain: Domain | None = Field(
        default=None,
        title="Nom de domaine",
        description="Address of the site. Default: the association's identifier under the platform's domain.",
        examples=["amis-du-lac.example"],
    )
    redirects: tuple[Domain, ...] = Field(
        default=(),
        title="Autres noms, redirigés",
        description="Other names that lead to it.",
        examples=[["www.amis-du-lac.example"]],
    )
    quota: ByteSize = Field(
        default=ByteSize(2 * 1024**3),
        ge=64 * 1024**2,
        le=40 * 1024**3,
        title="Volume demandé",
        description="Files and database together.",
        examples=["2GiB"],
    )


class Service(Model):
    """The declaration of a service: one folder, found by its name, registered nowhere."""

    name: str = Field(pattern=r"^[a-z][a-z0-9]*$")
    title: str
    purpose: str
    kind: Kind
    role: str
    """Role of the hosts it runs on."""
    tag: str = Field(default="", pattern=r"^[a-z]{0,4}$")
    """Two to four letters that begin the names of its sites; for kind `site` only."""
    requires: tuple[str, ...] = ()
    """Other services a site of this one needs."""
    packages: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    """Files and folders on the host that are this service's alone."""
    units: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    data: Data | None = None
    state: State | None = None
    """What of each site is saved; None: nothing of it is worth saving."""
    holds_databases: bool = False
    """Whether the databases of sites are in `data`: their quotas must fit it."""
    flows: tuple[Flow, ...] = ()
    secrets: tuple[Secret, ...] = ()
    options: type[SiteOptions] = SiteOptions
    database: bool = False
    site_memory: ByteSize = ByteSize(0)
    """Memory limit of one site, in bytes; measured, and counted against the host's."""
    memory: ByteSize = ByteSize(0)
    """Memory of the shared part on its host, in bytes."""
