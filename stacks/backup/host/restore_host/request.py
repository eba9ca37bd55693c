"""What is asked: which site, from which snapshot, and what the host itself does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backup_host.host import STATE
from backup_host.patterns import make_excluded
from backup_host.programs import Failed

CONFIGURATION = Path("/etc/socle/backups")
FIELDS = ("site", "association", "service", "folder", "exclude", "sqlite", "database", "packages")


@dataclass(frozen=True)
class Request:
    """A site to bring back. `config` is what it is saved with (/etc/socle/backups/<site>.json); `uid` owns its files;
    `room`: bytes that its volume holds in all (`files`) and that the databases' volume has free (`database`), which
    nothing on the host shows; `pages`: paths that must answer; `directories`: what must be there for the site to start
    (`path` from its folder, `mode`, `owner`, `group`), which an older snapshot may not hold."""

    site: str
    snapshot: str
    config: Mapping[str, Any]
    unit: str
    uid: int
    domain: str
    address: str
    password: str = field(default="", repr=False)
    room: Mapping[str, int] = field(default_factory=dict)
    pages: tuple[str, ...] = ("/",)
    directories: tuple[Mapping[str, Any], ...] = ()

    @property
    def folder(self) -> str:
        return str(self.config["folder"])

    @property
    def database(self) -> str:
        """Its name, also its account's; empty when the site has none."""
        return str(self.config["database"] or "")

    @property
    def staging(self) -> str:
        """Where what goes with the files was when it was saved: its place in the snapshot."""
        return str(STATE / "staging" / self.site)

    def make_patterns(self, sqlite: Iterable[str] = ()) -> list[str]:
        """What of the site's folder a snapshot does not hold as files; `sqlite`: the databases it holds."""
        return make_excluded(self.config["exclude"], sqlite)


def make_request(site: str, snapshot: str, config: Mapping[str, Any], given: Mapping[str, Any]) -> Request:
    """A request from the site's configuration and what came on standard input. Raises Failed for what is missing."""
    if missing := [name for name in FIELDS if name not in config]:
        raise Failed(f"the configuration of {site} lacks {', '.join(missing)}: run socle apply")
    if missing := [name for name in ("unit", "uid", "domain", "address") if name not in given]:
        raise Failed(f"expected {', '.join(missing)} on standard input: run it by socle restore")
    if config["site"] != site:
        raise Failed(f"the configuration of {site} is that of {config['site']}")
    return Request(
        site=site,
        snapshot=snapshot,
        config=config,
        unit=str(given["unit"]),
        uid=int(given["uid"]),
        domain=str(given["domain"]),
        address=str(given["address"]),
        password=str(given.get("database_password", "")),
        room=dict(given.get("room", {})),
        pages=tuple(given.get("pages", ("/",))),
        directories=tuple(given.get("directories", ())),
    )
