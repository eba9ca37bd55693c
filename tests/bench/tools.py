"""The same twenty sites of nine resources by socle, pyinfra and Ansible, one after the other on one host."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from string import ascii_lowercase

from tests.bench.check import RESOURCES, FakeSite, load_faults, make_sites, run_erase
from tests.bench.contenders import CONTENDERS, Contender, run_contender
from tests.bench.environment import HOST, BenchLab, Failed
from tests.bench.report import Row, make_row, say, step
from tests.bench.timing import QUIET, time_apply, time_unchanged
from tests.bench.wordpress import run_stages

TIMES = 20
RUNS = 5
_COMMAND = "stamps trusted, with the start of the program"
# pyinfra's reading of grants knows no digit in the name of a database.
IDENTIFIERS = tuple(f"bench-{letter}" for letter in ascii_lowercase)


def run_tools(lab: BenchLab, count: int) -> list[Row]:
    """First run and unchanged run of each, and how many times faster ours is unchanged."""
    identifiers = IDENTIFIERS[:count]
    for identifier in identifiers:
        lab.ask(identifier, "fake")
    with step(f"{count} sites of {RESOURCES} resources: accepted, volumes made"):
        run_stages(lab, "hosts", "baseline", "services")
    passwords, limit = _load_given(lab)
    rows, ours = _run_ours(lab, make_sites("fk", passwords, limit))
    for contender in CONTENDERS:
        sites = make_sites(contender.tag, passwords, limit)
        with unwatched(lab):
            first, unchanged = _run_other(lab, contender, sites)
        run_erase(lab, sites)
        rows += [
            Row(f"{contender.name}: {count} sites, first run", first),
            Row(f"{contender.name}: {count} sites unchanged", unchanged),
            *(
                Row(
                    f"{contender.name} unchanged / socle unchanged, {way}",
                    unchanged / seconds,
                    "x",
                    None if way == _COMMAND else TIMES,
                    least=True,
                )
                for way, seconds in ours.items()
            ),
        ]
    with step("requests removed: socle's own sites of nine resources go"):
        for identifier in identifiers:
            lab.remove_request(identifier)
        run_stages(lab, "hosts", "services", "sites")
    return rows


@contextmanager
def unwatched(lab: BenchLab) -> Iterator[None]:
    """Without the watch of databases: it would mend an account that has no rights yet, before the tool gives them."""
    lab.ssh(HOST, ["systemctl", "stop", "socle-database-quota.service"])
    try:
        yield
    finally:
        lab.ssh(HOST, ["systemctl", "start", "socle-database-quota.service"])


def _load_given(lab: BenchLab) -> tuple[dict[str, str], int]:
    """The password of each association's account, and the limit of each database in bytes."""
    context = lab.context()
    passwords = {site.association: context.secrets.site(site)["database_password"] for site in context.plan.sites}
    return passwords, context.plan.sites[0].database_quota


def _run_ours(lab: BenchLab, sites: Sequence[FakeSite]) -> tuple[list[Row], dict[str, float]]:
    count, context = len(sites), lab.context()
    QUIET.wait()
    first, _ = time_apply(context)
    _check(lab, "socle", sites)
    say(f"socle: {first:.2f} s")
    rows, ours = [Row(f"socle: {count} sites, first run", first)], {}
    for full, way in ((False, "stamps trusted"), (True, "--full")):
        _, applies = time_unchanged(context, full, RUNS)
        rows.append(make_row(f"socle: {count} sites unchanged, {way}", applies))
        ours[way] = rows[-1].measured
    rows.append(make_row(f"socle: {count} sites unchanged, {_COMMAND}", _time_command(lab)))
    return rows, {**ours, _COMMAND: rows[-1].measured}


def _time_command(lab: BenchLab) -> list[float]:
    """Seconds of the whole command, from the start of the program to its end, as the other tools are timed."""
    seconds = []
    for _ in range(RUNS):
        start = time.monotonic()
        output = lab.socle("apply", "--stage", "sites", "--json").stdout
        seconds.append(time.monotonic() - start)
        if changes := json.loads(output)["changes"]:
            raise Failed(f"socle: expected nothing to change, found {len(changes)}")
    return seconds


def _run_other(lab: BenchLab, contender: Contender, sites: Sequence[FakeSite]) -> tuple[float, float]:
    """Seconds of the first run and of an unchanged one. Raises Failed when the check or the second run disagrees."""
    QUIET.wait()
    first, changed = run_contender(lab, contender, sites)
    say(f"{contender.name}: {first:.1f} s, {changed} changes")
    _check(lab, contender.name, sites)
    unchanged, changed = run_contender(lab, contender, sites)
    say(f"{contender.name} again: {unchanged:.1f} s, {changed} changes")
    if changed:
        raise Failed(f"{contender.name}: expected nothing to change, {changed} changes are reported")
    _check(lab, contender.name, sites)
    return first, unchanged


def _check(lab: BenchLab, name: str, sites: Sequence[FakeSite]) -> None:
    if faults := load_faults(lab, sites):
        raise Failed(f"{name}: {len(faults)} resources are not as they should be: {', '.join(faults[:10])}")
