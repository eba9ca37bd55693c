"""inventories/<env>/platform.yml: what sysadmins say of their machines, by hand."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ByteSize, Field, field_validator, model_validator

from socle.clock.settings import Alerts
from socle.model.base import Model
from socle.model.domains import Domain
from socle.model.names import Identifier
from socle.model.request import Insee

HostName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,14}$")]


def check_timezone(value: str) -> str:
    """The name of a time zone, or ValueError."""
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, KeyError):
        raise ValueError(f"expected a time zone, found {value!r}, such as Europe/Paris") from None


class NetworkSettings(Model):
    """A network of the platform. Without addresses, they are chosen free at `lab up` and remembered."""

    bridge: str | None = Field(default=None, max_length=15, description="An existing bridge to use as it is.")
    ipv4: IPv4Network | None = Field(default=None, description="Addresses, such as 10.12.0.0/24.")
    ipv6: IPv6Network | None = Field(default=None, description="Addresses, such as fd12:3456::/64.")


class HostSettings(Model):
    """A host to have."""

    role: str = Field(description="What it is for: a role that a service of the catalogue has, such as web.")
    memory: ByteSize = Field(description="Memory limit, such as 2GiB.")
    disk: ByteSize = Field(default=ByteSize(10 * 1024**3), description="Root disk, such as 10GiB.")


class IncusSettings(Model):
    """How to reach Incus: its socket on this machine, or HTTPS with a client certificate."""

    url: str | None = Field(default=None, pattern=r"^https://", description="Such as https://incus1:8443.")
    certificate: str | None = Field(default=None, description="Client certificate, in the state folder.")
    key: str | None = Field(default=None, description="Its key, in the state folder.")
    server_certificate: str | None = Field(default=None, description="What the server must show.")
    pool: str = Field(default="socle", description="Storage pool of hosts and volumes.")

    @model_validator(mode="after")
    def _https_needs_certificates(self) -> IncusSettings:
        if self.url and not (self.certificate and self.key and self.server_certificate):
            raise ValueError("expected certificate, key and server_certificate beside url")
        return self


class AcmeSettings(Model):
    """The certificate authority."""

    directory: str = Field(pattern=r"^https://", description="ACME directory URL.")


class DnsSettings(Model):
    """The authoritative DNS server that takes RFC 2136 updates signed by TSIG."""

    server: str = Field(description="Address of the primary, or the name of a lab host.")
    zones: tuple[Domain | Literal["example", "test"], ...] = Field(min_length=1, description="Zones it serves.")
    ttl: int = Field(default=300, ge=30, description="Seconds.")


class Operator(Model):
    """A sysadmin with an account on each host."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    ssh_keys: tuple[str, ...] = Field(min_length=1)


class Platform(Model):
    """One environment of the syndicate."""

    syndicate: str = Field(min_length=1, description="Who runs it.")
    domain: Domain = Field(description="Sites without a domain of their own live under it.")
    towns: dict[Insee, str] = Field(min_length=1, description="Member towns: INSEE code and name.")
    lab: bool = Field(default=False, description="Play the outside world on this machine too.")
    hosts: dict[HostName, HostSettings] = Field(min_length=1)
    networks: dict[Literal["public", "inner"], NetworkSettings] = Field(default_factory=dict)
    incus: IncusSettings = IncusSettings()
    dns: DnsSettings
    acme: AcmeSettings
    operators: tuple[Operator, ...] = ()
    overcommit: float = Field(default=1.0, ge=1.0, le=10.0, description="How much more disk may be promised.")
    memory_overcommit: float = Field(
        default=1.0, ge=1.0, le=10.0, description="How much more memory the limits of sites may add up to."
    )
    pool_size: ByteSize = Field(description="Disk behind the pool, such as 40GiB.")
    timezone: Annotated[str, AfterValidator(check_timezone)] = "Europe/Paris"
    reserved: tuple[Identifier, ...] = Field(default=(), description="Identifiers no association may have.")
    alerts: Alerts | None = Field(default=None, description="Whom to write to when a human must act.")

    @field_validator("networks")
    @classmethod
    def _inner_has_ipv4_only(cls, value: dict[str, NetworkSettings]) -> dict[str, NetworkSettings]:
        if "inner" in value and value["inner"].ipv6:
            raise ValueError("expected no ipv6 for inner: hosts speak IPv4 to each other; remove it")
        return value
