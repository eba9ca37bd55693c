"""What a fake site of nine resources is, and whether a host has it: the same for every contender."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from socle.sites.render import render
from socle.sites.resources import Grant
from tests.bench.environment import FAKE, HOST
from tests.live.environment import Lab

RESOURCES = 9
PRIVILEGES = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "CREATE VIEW",
    "SHOW VIEW",
)
"""What a site's account may do in its own database."""
_HOST_PROGRAMS = Path(__file__).parent / "host"


@dataclass(frozen=True)
class FakeSite:
    """Names and values of one site; `limit` in bytes."""

    name: str
    path: str
    database: str
    unit: str
    password: str
    limit: int

    @property
    def paths(self) -> tuple[str, ...]:
        """Its folders, then its files."""
        return (
            self.path,
            f"/etc/fake/{self.name}",
            f"/etc/fake/{self.name}/service.conf",
            f"/etc/socle/quota/{self.name}.json",
            f"/etc/systemd/system/{self.unit}",
        )


def make_sites(tag: str, passwords: Mapping[str, str], limit: int) -> tuple[FakeSite, ...]:
    """The sites of the contender `tag`; `passwords` by identifier."""
    names = {identifier: f"{tag}-{identifier}" for identifier in passwords}
    return tuple(
        FakeSite(
            name=name,
            path=f"/srv/sites/{name}",
            database=name.replace("-", "_"),
            unit=f"socle-{name}.service",
            password=passwords[identifier],
            limit=limit,
        )
        for identifier, name in names.items()
    )


def make_expected(site: FakeSite) -> dict[str, Any]:
    """What `read_sites.py` finds when all nine resources are right."""
    data, folder, settings, limit, unit = site.paths
    templates = FAKE / "templates"
    values = {"site": site.name, "path": site.path, "database": site.database, "password": site.password}
    limits = {"database": site.database, "bytes": site.limit}
    return {
        "user": {"home": site.path, "shell": "/usr/sbin/nologin", "group": site.name},
        data: _make_path("0o750", site.name, site.name),
        folder: _make_path("0o750", "root", site.name),
        settings: _make_path("0o640", "root", site.name, render(templates / "service.conf.j2", **values)),
        limit: _make_path("0o644", "root", "root", render(templates / "limit.json.j2", **limits)),
        unit: _make_path("0o644", "root", "root", render(templates / "unit.service.j2", **values)),
        "database": True,
        "account": Grant(site.database, site.password).password_hash,
        "grants": sorted([site.database, privilege] for privilege in PRIVILEGES),
        "unit": {
            "UnitFileState": "enabled",
            "ActiveState": "active",
            "User": site.name,
            "NeedDaemonReload": "no",
        },
    }


def _make_path(mode: str, owner: str, group: str, content: str | None = None) -> dict[str, str]:
    found = {"mode": mode, "owner": owner, "group": group}
    return found if content is None else {**found, "content": content}


def find_faults(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Names of what is not as expected. Values stay out: there is a password among them."""
    yield from (key for key, value in expected.items() if found.get(key) != value)


def load_faults(lab: Lab, sites: Sequence[FakeSite]) -> list[str]:
    """What is wrong with these sites on the host; nothing when each has its nine resources."""
    found = json.loads(_run_on_host(lab, "read_sites.py", sites))
    return [f"{site.name}: {fault}" for site in sites for fault in find_faults(make_expected(site), found[site.name])]


def run_erase(lab: Lab, sites: Sequence[FakeSite]) -> None:
    """Take the sites of a contender away."""
    _run_on_host(lab, "erase_sites.py", sites)


def _run_on_host(lab: Lab, program: str, sites: Sequence[FakeSite]) -> str:
    text = (_HOST_PROGRAMS / program).read_text()
    data = json.dumps([{**asdict(site), "paths": site.paths} for site in sites])
    return lab.ssh(HOST, ["python3", "-I", "-c", text], stdin=data.encode(), timeout=180)
