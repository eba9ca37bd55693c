"""make bench: time the sites stage, then saves and a restore, each in an environment of its own and beside tools that
do the same. `python -m tests.bench sites` or `backups`: one of them.

Exit 0 also when an aim is missed, which the table says; 1 when something is wrong and the figures mean nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import filelock

from socle.errors import SocleError
from tests.bench.backups import run_backups
from tests.bench.environment import HOST, MANY, BenchLab, Failed, make_lab
from tests.bench.light import run_light
from tests.bench.report import Row, noted, render_table, say, step
from tests.bench.timing import QUIET
from tests.bench.tools import RUNS, run_tools
from tests.bench.wordpress import run_ask, run_check, run_install, run_mend, run_one_more, run_unchanged

LIMIT_SECONDS = 60 * 60
"""No step waits for ever, and neither does their sum."""
FEW, SOME = 10, 20
FEW_AIM, MANY_AIM = 2.0, 5.0
RATIO_AIM = 1.5
_MANY_RUNS = 5
_REAL = "for each site made and installed: volume, records, and everything of the sites stage"


@contextmanager
def building(vaulted: bool = False) -> Iterator[BenchLab]:
    """The environment, removed at the end; what a killed run left is removed first. Raises Failed when it is in use."""
    lab = make_lab(vaulted)
    with alone(lab):
        yield from _build(lab)


@contextmanager
def alone(lab: BenchLab) -> Iterator[None]:
    """Two benchmarks at a time would remove each other's environment. The lock goes with the process that holds it."""
    lab.root.parent.mkdir(exist_ok=True)
    try:
        with filelock.FileLock(lab.root.with_suffix(".lock"), timeout=0):
            yield
    except filelock.Timeout:
        raise Failed("another make bench is running") from None


def _build(lab: BenchLab) -> Iterator[BenchLab]:
    with step("what an earlier run left is removed"):
        lab.run_begin()
    try:
        with step("socle lab up"):
            lab.socle("lab", "up", "--no-audit")
        yield lab
    finally:
        with step("the environment is removed"):
            lab.run_remove()


def run_sites() -> list[Row]:
    """The sites stage, in the order of the table."""
    with building() as lab:
        tools = noted(*run_tools(lab, SOME))
        rows = run_wordpress(lab)
    return [*rows, *tools]


def run_vault() -> list[Row]:
    """Saves and a restore."""
    with building(vaulted=True) as lab:
        return run_backups(lab)


PARTS = {"sites": run_sites, "backups": run_vault}


def run_wordpress(lab: BenchLab) -> list[Row]:
    """The figures of real sites: a few, some, many."""
    lab.release_examples()
    run_install(lab, FEW)
    run_stop_tasks(lab)
    among_few = run_one_more(lab)
    each = run_install(lab, SOME)
    run_check(lab)
    rows = noted(among_few, *run_unchanged(lab, RUNS, FEW_AIM, FEW_AIM))
    new = run_ask(lab, MANY)
    run_light(lab, lab.context(), new)
    run_check(lab)
    rows += noted(*run_unchanged(lab, _MANY_RUNS, MANY_AIM, MANY_AIM), run_mend(lab, MANY_AIM))
    among_many = run_one_more(lab)
    run_check(lab)
    ratio = Row("the second / the first", among_many.measured / among_few.measured, "x", RATIO_AIM)
    return [*rows[1:], among_few, *noted(among_many, ratio, Row(_REAL, each))]


def run_stop_tasks(lab: BenchLab) -> None:
    """WordPress's own tasks would run in the middle of a figure: their timer waits."""
    lab.ssh(HOST, ["systemctl", "stop", "socle-wordpress-cron.timer"])


def render_notes() -> str:
    """How the figures came about."""
    lines = [
        "The time of the sites stage alone (SitesStage().apply), all on its left being done; the two other tools:",
        "of their command, which also installs nothing else. 9 resources: user, 2 folders, 3 files, database,",
        "account with its grant, unit; socle looks at one more, the mount of the site's volume.",
        f"Of the {MANY} sites, {MANY - SOME} have users, volumes, folders, files, units and databases as in real life,",
        "and tables copied from an installed site. The others, and each `one more site`, were installed by WordPress.",
        "Saves and the restore: as the timer and a sysadmin start them; restic alone has their files, server and keys.",
        f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the end.",
    ]
    if QUIET.noisy:
        lines.append(f"The machine was busy with something else at {QUIET.noisy} of the figures.")
    if MANY != 200:
        lines.append(f"A try with {MANY} sites: the aims are those of 200.")
    return "\n".join(lines)


def _run_out(_signal: int, _frame: object) -> None:
    raise Failed(f"not done after {LIMIT_SECONDS // 60} minutes")


def main(asked: Sequence[str]) -> int:
    """Run the parts asked for, all when none is, and print the table."""
    if unknown := set(asked) - PARTS.keys():
        say(f"{', '.join(sorted(unknown))}: expected {' or '.join(PARTS)}")
        return 2
    if MANY <= SOME:
        say(f"SOCLE_BENCH_SITES: expected more than {SOME}")
        return 2
    signal.signal(signal.SIGALRM, _run_out)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.alarm(LIMIT_SECONDS)
    say(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    try:
        rows = [row for name in asked or PARTS for row in PARTS[name]()]
    except (Failed, SocleError, AssertionError) as error:
        say(f"FAILED: {error}")
        return 1
    print(render_table(rows), render_notes(), sep="\n\n")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
