"""Real WordPress sites, a few and many: asked for, accepted, made by the command line, and read back."""

from __future__ import annotations

import dataclasses
import time

from socle.model.plan import Site
from socle.stages.base import Context
from tests.bench.environment import HOST, BenchLab, Failed
from tests.bench.report import Row, make_row, step
from tests.bench.timing import QUIET, time_apply, time_unchanged, without
from tests.live.sites_tools import visit

NEW = 3
"""How often one more site is timed, a new one each time."""
MADE_SECONDS = 900.0
_VISITED = 5


def run_ask(lab: BenchLab, wanted: int) -> tuple[Site, ...]:
    """Ask for sites up to `wanted`, accept them, and make all that is on the left of the sites stage. The new ones."""
    have = len(load_sites(lab))
    for number in range(have, wanted):
        lab.ask(f"asso-{number:03}", "wordpress", title=f"Site {number}")
    known = {site.name for site in load_sites(lab)}
    with step(f"sites {have + 1} to {wanted}: accepted, volumes and records made"):
        run_stages(lab, "hosts", "baseline", "services")
    return tuple(site for site in load_sites(lab) if site.name not in known)


def run_install(lab: BenchLab, wanted: int) -> float:
    """Bring the environment to `wanted` sites, each installed as in real life. Seconds per new site."""
    start = time.monotonic()
    new = run_ask(lab, wanted)
    with step(f"{len(new)} sites installed"):
        run_stages(lab, "sites")
    return (time.monotonic() - start) / len(new)


def run_stages(lab: BenchLab, *names: str) -> None:
    """Accept what waits, then run these stages: by the command line."""
    stages = [part for name in names for part in ("--stage", name)]
    lab.socle("request", "accept", "--all", timeout=MADE_SECONDS)
    lab.socle("apply", *stages, timeout=MADE_SECONDS)


def load_sites(lab: BenchLab) -> tuple[Site, ...]:
    """The WordPress sites of the plan."""
    return tuple(site for site in lab.context().plan.sites if site.service == "wordpress")


def run_check(lab: BenchLab) -> None:
    """Every site is installed and its pool runs; some of them answer. Raises Failed."""
    sites = load_sites(lab)
    query = "SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_NAME = 'wp_options'"
    installed = set(lab.ssh(HOST, ["mariadb", "-N", "-e", query]).split())
    active = lab.ssh(HOST, ["systemctl", "is-active", *(site.unit for site in sites)], check=False).split()
    if faults := [site.name for site in sites if site.database not in installed]:
        raise Failed(f"not installed: {', '.join(faults)}")
    if faults := [site.name for site, state in zip(sites, active, strict=True) if state != "active"]:
        raise Failed(f"not running: {', '.join(faults)}")
    for site in sites[:: max(1, len(sites) // _VISITED)]:
        page = visit(lab, site).ask("/")
        if page.status != 200:
            raise Failed(f"{site.name} answers {page.status}")


def run_unchanged(lab: BenchLab, runs: int, stamps_aim: float, full_aim: float) -> list[Row]:
    """Nothing to change: with stamps trusted, and with every resource read again."""
    context = lab.context()
    count = len(load_sites(lab))
    rows = []
    for full, aim, way in ((False, stamps_aim, "stamps trusted"), (True, full_aim, "--full, every resource read")):
        previews, applies = time_unchanged(context, full, runs)
        both = [preview + apply for preview, apply in zip(previews, applies, strict=True)]
        rows += [
            make_row(f"{count} sites unchanged, {way}: apply", applies, aim),
            make_row(f"{count} sites unchanged, {way}: preview and apply", both),
        ]
    return rows


def run_one_more(lab: BenchLab) -> Row:
    """One more site, whose volume is there: installed and served by the sites stage alone. The median of a few."""
    count = len(load_sites(lab))
    names = [site.name for site in run_ask(lab, count + NEW)]
    context, seconds = lab.context(), []
    for number, name in enumerate(names):
        QUIET.wait()
        taken, changes = time_apply(without(context, names[number + 1 :]))
        if {change.association for change in changes} != {name.removeprefix("wp-")}:
            raise Failed(f"one more site changed others: {changes}")
        seconds.append(taken)
    return make_row(f"one more site among {count}", seconds)


def run_mend(lab: BenchLab, aim: float) -> Row:
    """A file changed by hand is found and mended inside the timed full run, and nothing else changes."""
    context = dataclasses.replace(lab.context(), full=True)
    sites = load_sites(lab)
    site = sites[len(sites) // 2]
    path = f"/etc/wordpress/config-{site.name}.php"
    right = lab.ssh(HOST, ["cat", path])
    lab.ssh(HOST, ["sh", "-c", f"echo '// by hand' >> {path}; chmod 0644 {path}"])
    QUIET.wait()
    seconds, changes = time_apply(context)
    _check_mended(lab, context, site, {(change.kind, change.name) for change in changes}, path)
    if lab.ssh(HOST, ["cat", path]) != right:
        raise Failed(f"{path} was not mended")
    return Row(f"{len(sites)} sites, --full: a file changed by hand is found and mended", seconds, aim=aim)


def _check_mended(lab: BenchLab, context: Context, site: Site, found: set[tuple[str, str]], path: str) -> None:
    """The file, and the unit that reads it, which restarts."""
    if found != {("file", path), ("unit", site.unit)}:
        raise Failed(f"expected {path} and {site.unit} to change, found {sorted(found)}")
    if lab.ssh(HOST, ["stat", "-c", "%a %U %G", path]).strip() != f"640 root {site.name}":
        raise Failed(f"{path} has not its mode and owners again")
    if visit(lab, site).ask("/").status != 200:
        raise Failed(f"{site.name} does not answer after the mending")
