"""Opening a connection to Incus: which transport, and whom to believe."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from socle.errors import InvalidInput, Problem
from socle.incus.client import CALL_SECONDS, IncusClient

SOCKET = Path("/var/lib/incus/unix.socket")
_CONNECT_SECONDS = 5.0


class Settings(Protocol):
    """How to reach Incus: `incus` of platform.yml."""

    @property
    def url(self) -> str | None: ...
    @property
    def certificate(self) -> str | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def server_certificate(self) -> str | None: ...
    @property
    def pool(self) -> str: ...


@dataclass(frozen=True)
class Reach:
    """The same as plain data. The provider starts once per stack: loading the models would double its start."""

    url: str | None = None
    certificate: str | None = None
    key: str | None = None
    server_certificate: str | None = None
    pool: str = "socle"


def make_paths(settings: Settings, state: Path) -> dict[str, str]:
    """The settings with the paths of certificates made absolute: those of the state folder."""
    names = {
        "certificate": settings.certificate,
        "key": settings.key,
        "server_certificate": settings.server_certificate,
    }
    paths = {name: str(state / value) for name, value in names.items() if value}
    return paths if settings.url else {}


def open_client(settings: Settings, state: Path, project: str) -> IncusClient:
    """A client for `project`. Raises InvalidInput when a certificate cannot be read. Sends nothing yet."""
    timeout = httpx.Timeout(CALL_SECONDS, connect=_CONNECT_SECONDS)
    if settings.url is None:
        transport = httpx.HTTPTransport(uds=str(SOCKET))
        http = httpx.Client(base_url="http://socket", transport=transport, timeout=timeout, trust_env=False)
        return IncusClient(http, project, settings.pool)
    context = _load_context(make_paths(settings, state))
    http = httpx.Client(base_url=settings.url, verify=context, timeout=timeout, trust_env=False)
    return IncusClient(http, project, settings.pool)


def _load_context(paths: dict[str, str]) -> ssl.SSLContext:
    """Believe exactly one certificate: Incus signs its own, without the host's name in it. So the name is
    not looked at, and no authority is trusted: only this certificate, byte for byte, ends the chain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    place = ""
    try:
        place = paths["server_certificate"]
        context.load_verify_locations(cafile=place)
        place = paths["certificate"]
        context.load_cert_chain(place, paths["key"])
    except (OSError, ssl.SSLError) as error:
        problem = Problem(
            place, 0, "incus", f"expected a PEM certificate and its key: {error}", "see platform.yml, incus"
        )
        raise InvalidInput([problem]) from None
    return context
