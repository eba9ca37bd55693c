"""The software of each host's role: running, unaltered, and nothing laid over it."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from socle.audit.check import Subject, check, expect, hosts
from socle.audit.roles import render_files
from socle.audit.scene import Scene
from socle.model.plan import Host, Plan

_APPLY = "socle apply --full installs it again; what was it changed for?"
_PROPERTIES = "Id,LoadState,ActiveState,UnitFileState,DropInPaths,FragmentPath"
Units = dict[str, dict[str, str]]


def services(plan: Plan) -> Iterator[Subject]:
    """Each service on each host."""
    return (Subject(host.name, service, (host, service)) for host in plan.hosts for service in host.services)


def load_audit(scene: Scene, service: str) -> Any:
    """The service's audit.py; None when it has none."""
    entry = scene.catalogue.find(service)
    return entry.module("audit") if entry else None


def make_units(scene: Scene, host: Host) -> list[str]:
    """Units that must run on a host because of its services and sites."""
    own = [unit for service in host.services for unit in getattr(load_audit(scene, service), "RUNNING", ())]
    return [*own, *(site.unit for site in scene.plan.sites if site.host == host.name and site.unit)]


def parse_units(text: str) -> Units:
    """Properties by unit, of `systemctl show`."""
    blocks = (block.splitlines() for block in text.strip().split("\n\n"))
    found = [dict(line.split("=", 1) for line in lines if "=" in line) for lines in blocks]
    return {one["Id"]: one for one in found if "Id" in one}


def read_units(scene: Scene, host: Host) -> Units:
    """The state of those units, by one question."""
    units = make_units(scene, host)
    command = f"systemctl show --property={_PROPERTIES} -- {shlex.join(units)}"
    return parse_units(scene.on(host.name).check_output(command)) if units else {}


@check("running", each=services, remedy="systemctl status UNIT; journalctl -u UNIT; socle apply --full")
def service_runs(scene: Scene, place: tuple[Host, str]) -> str:
    """The software that sites need runs, and starts with its host."""
    host, service = place
    names = tuple(getattr(load_audit(scene, service), "RUNNING", ()))
    found = read_units(scene, host)
    problems = [
        f"{name}: {found.get(name, {}).get('ActiveState', 'unknown')}, {found.get(name, {}).get('UnitFileState', '')}"
        for name in names
        if found.get(name, {}).get("ActiveState") != "active"
        or found.get(name, {}).get("UnitFileState") not in ("enabled", "static")
    ]
    expect(not problems, "; ".join(problems))
    return f"{', '.join(names)}: active and enabled" if names else "no unit of its own"


def load_owned(roles: Path) -> list[str]:
    """Paths that roles own on every host."""
    return [
        path for file in sorted(roles.glob("*/meta/owns.yml")) for path in yaml.safe_load(file.read_text())["paths"]
    ]


def find_overrides(units: Units, owned: Iterable[str]) -> list[str]:
    """Drop-ins that neither Debian nor what `owned` lists put there."""
    paths = [path for unit in units.values() for path in unit.get("DropInPaths", "").split()]
    known = [PurePosixPath(path) for path in owned]
    return sorted(
        {
            path
            for path in paths
            if not path.startswith(("/usr/lib/", "/lib/"))
            and not any(PurePosixPath(path).is_relative_to(place) for place in known)
        }
    )


@check("overrides", each=hosts, remedy="read it, remove it, then: systemctl daemon-reload, and restart the unit")
def nothing_is_laid_over_units(scene: Scene, host: Host) -> str:
    """Nobody has laid settings over a unit, by which its sandbox or limits could be weakened."""
    owned = [path for name in host.services for path in scene.catalogue[name].service.paths]
    units = read_units(scene, host)
    strange = find_overrides(units, [*owned, *load_owned(scene.workspace.root / "roles")])
    expect(not strange, f"not declared: {', '.join(strange)}")
    return f"{len(units)} units, no drop-in that is not declared"


_LOOK = "sha256sum -- {0} 2>/dev/null; stat --format='mode %a %u %n' -- {0} 2>/dev/null; true"


class Seen(NamedTuple):
    """What was read of a file."""

    digest: str
    mode: int
    owner: int


def parse_seen(text: str) -> dict[str, Seen]:
    """Files by path, of sha256sum and stat."""
    digests: dict[str, str] = {}
    found: dict[str, Seen] = {}
    for line in text.splitlines():
        if line.startswith("mode "):
            _, mode, owner, path = line.split(maxsplit=3)
            found[path] = Seen(digests.get(path, ""), int(mode, 8), int(owner))
        else:
            digest, path = line.split(maxsplit=1)
            digests[path] = digest
    return found


def find_altered(wanted: Mapping[str, bytes], found: Mapping[str, Seen]) -> list[str]:
    """Files that are not as wanted, each with what is wrong."""
    problems = []
    for path, content in wanted.items():
        if path not in found:
            problems.append(f"{path} is gone")
        elif found[path].digest != hashlib.sha256(content).hexdigest():
            problems.append(f"{path} was changed")
        elif found[path].owner or found[path].mode & 0o022:
            problems.append(f"{path} may be written by others than root (mode {found[path].mode:04o})")
    return problems


def _judge_files(scene: Scene, host: Host, wanted: Mapping[str, bytes]) -> str:
    if not wanted:
        return "no file of its own"
    seen = parse_seen(scene.on(host.name).check_output(_LOOK.format(shlex.join(sorted(wanted)))))
    altered = find_altered(wanted, seen)
    expect(not altered, "; ".join(altered))
    return f"{len(wanted)} files as written"


@check("files", each=services, remedy=_APPLY)
def files_are_unaltered(scene: Scene, place: tuple[Host, str]) -> str:
    """The files that a service was installed with are as socle wrote them."""
    host, service = place
    make_files = getattr(load_audit(scene, service), "make_files", None)
    return _judge_files(scene, host, make_files(host, scene.plan, scene.workspace) if make_files else {})


def _baselines(plan: Plan) -> Iterator[Subject]:
    return (Subject(host.name, "baseline", host) for host in plan.hosts)


@check("files", each=_baselines, remedy="socle apply --full writes them again; what were they changed for?")
def baseline_files_are_unaltered(scene: Scene, host: Host) -> str:
    """The files that keep a host safe are as socle wrote them."""
    roles = scene.workspace.root / "roles"
    return _judge_files(scene, host, render_files(roles, scene.fact("baseline")[host.name]))


_NOT_KEPT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/info/", "/usr/share/locale/", "/usr/share/lintian/")


def find_damaged(text: str) -> list[str]:
    """Files that differ from their package, of `dpkg --verify`; configuration is other checks' matter."""
    found = []
    for line in text.splitlines():
        mark, _, rest = line.partition(" ")
        kind, _, path = rest.strip().rpartition(" ")
        if kind.strip() != "c" and not path.startswith(_NOT_KEPT):
            found.append(f"{path} {'is gone' if mark == 'missing' else 'was changed'}")
    return found


@check("packages", each=hosts, remedy="apt-get install --reinstall the package (dpkg -S PATH names it)")
def packages_are_unaltered(scene: Scene, host: Host) -> str:
    """Every program of a host is as Debian made it."""
    result = scene.on(host.name).run("dpkg --verify; dpkg-query --show | wc -l", seconds=180)
    expect(result.rc == 0, f"not checked: {result.stderr.strip()[-300:]}")
    *lines, count = result.stdout.strip().splitlines()
    damaged = find_damaged("\n".join(lines))
    expect(not damaged, f"{len(damaged)} files: {'; '.join(damaged[:8])}")
    return f"dpkg --verify: {count} packages as Debian made them"


@check("installed", each=services, remedy=_APPLY)
def packages_are_installed(scene: Scene, place: tuple[Host, str]) -> str:
    """A service's packages are installed."""
    host, service = place
    entry = scene.catalogue.find(service)
    wanted = entry.service.packages if entry else ()
    shown = scene.on(host.name).check_output("dpkg-query --show --showformat='${db:Status-Abbrev}${Package}\\n'")
    installed = {line[2:].strip() for line in shown.splitlines() if line.startswith(("ii", "hi"))}
    lost = sorted(set(wanted) - installed)
    expect(not lost, f"not installed: {', '.join(lost)}")
    return f"{len(wanted)} packages installed"


CHECKS = (
    service_runs,
    nothing_is_laid_over_units,
    files_are_unaltered,
    baseline_files_are_unaltered,
    packages_are_unaltered,
    packages_are_installed,
)
