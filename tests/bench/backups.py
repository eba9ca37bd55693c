"""Fifty WordPress sites saved to the vault, and a large one restored, beside restic alone: same files, same server."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.environment import HOST, BenchLab, Failed
from tests.bench.report import Row, make_row, noted, step
from tests.bench.timing import QUIET
from tests.bench.wordpress import MADE_SECONDS, run_check

SITES, ROUNDS, JOBS = 50, 3, 2
SAVE_AIM, RESTORE_AIM = 1.5, 80.0
MEBIBYTES = 1024
LARGE = "wp-grande"
_FOLDER = f"/srv/sites/{LARGE}/wp-content/uploads/grande"
_BARE = f"/srv/sites/{LARGE}/bare"
_PROGRAM = Path(__file__).parent / "host" / "bare_restic.py"
_FILL = "mkdir -p {0} && cd {0} && for i in $(seq {1}); do head -c 4M /dev/urandom > $i || exit 1; done; chown -R {2} ."
_SERVICE = ["systemctl", "start", "socle-backup.service"]


def run_backups(lab: BenchLab) -> list[Row]:
    """The figures of a restore, then of saves: what restic alone adds to a repository is not ours there."""
    lab.release_examples()
    restore = run_restore(lab)
    return [*run_saves(lab), *restore]


def _run_sites(lab: BenchLab) -> None:
    lab.socle("request", "accept", "--all", timeout=MADE_SECONDS)
    lab.socle("apply", timeout=2 * MADE_SECONDS)
    run_check(lab)
    # What would run by itself in the middle of a figure.
    lab.ssh(HOST, ["systemctl", "stop", "socle-wordpress-cron.timer", "socle-backup.timer"])


def run_saves(lab: BenchLab) -> list[Row]:
    """A nightly run, as the timer starts it, and the same by restic alone, one after the other."""
    for number in range(len(lab.context().plan.sites), SITES):
        lab.ask(f"asso-{number:03}", "wordpress", title=f"Site {number}")
    with step(f"{SITES} sites with a repository each"):
        _run_sites(lab)
    with step("a first save of each, by both"):
        bare(lab, mode="prepare")
        bare(lab, mode="save", jobs=JOBS)
        lab.ssh(HOST, _SERVICE, timeout=MADE_SECONDS)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        QUIET.wait()
        start = time.time()
        lab.ssh(HOST, _SERVICE, timeout=MADE_SECONDS)
        ours.append(time.time() - start)
        _check_saved(lab, start)
        QUIET.wait()
        theirs.append(bare(lab, mode="save", jobs=JOBS))
    return noted(
        make_row(f"{SITES} unchanged sites saved, dumps and manifests made", ours),
        make_row(f"the same files, with dumps that are there, by restic alone, {JOBS} at a time", theirs),
        Row("the first / the second", median(ours) / median(theirs), "x", SAVE_AIM),
    )


def _check_saved(lab: BenchLab, since: float) -> None:
    script = (
        "import json, pathlib\n"
        "for path in pathlib.Path('/var/lib/socle/backups/results').glob('*.json'):\n"
        "    print(path.stem, path.stat().st_mtime, json.loads(path.read_text())['result'])"
    )
    lines = [line.split() for line in lab.ssh(HOST, ["python3", "-I", "-c", script]).splitlines()]
    fresh = [name for name, moment, result in lines if float(moment) >= since - 1 and result == "complete"]
    if len(fresh) != SITES:
        others = [" ".join(line) for line in lines if line[0] not in fresh]
        raise Failed(f"{len(fresh)} of {SITES} sites were saved; not: {', '.join(others)}")


def run_restore(lab: BenchLab) -> list[Row]:
    """A site of one GiB, whose files are lost, brought back by the command line; and its files by restic alone."""
    lab.ask("grande", "wordpress", title="Grande", quota="3GiB")
    with step("a site for it"):
        _run_sites(lab)
    with step(f"{MEBIBYTES} MiB put into a site, and saved"):
        lab.ssh(HOST, ["sh", "-c", _FILL.format(_FOLDER, MEBIBYTES // 4, f"{LARGE}:www-data")], timeout=MADE_SECONDS)
        lab.socle("backup", "run", LARGE, timeout=MADE_SECONDS)
    snapshot = _load_snapshot(lab)
    ours, whole, theirs = [], [], []
    for _ in range(ROUNDS):
        lab.ssh(HOST, ["rm", "-rf", _FOLDER])
        QUIET.wait()
        start = time.monotonic()
        result = lab.socle("restore", "grande", "--into", "place", "--without-safety", "--json", timeout=MADE_SECONDS)
        lab.ssh(HOST, ["sync"])
        whole.append(time.monotonic() - start)
        (site,) = json.loads(result.stdout)["sites"]
        if site["result"] != "restored":
            raise Failed(f"the restore ended with {site}")
        ours.append(float(site["seconds"]))
        QUIET.wait()
        theirs.append(bare(lab, mode="restore", site=LARGE, snapshot=snapshot, target=_BARE))
        lab.ssh(HOST, ["rm", "-rf", _BARE])
    lab.ssh(HOST, ["rm", "-rf", _FOLDER])
    rate = 100 * median(theirs) / median(whole)
    return noted(
        make_row(f"{MEBIBYTES} MiB restored in place and compared, the whole command", whole),
        make_row("of this, on the host", ours),
        make_row("the same files by restic alone", theirs),
        Row("the rate of the whole command, of that of restic alone", rate, "%", RESTORE_AIM, least=True),
    )


def _load_snapshot(lab: BenchLab) -> str:
    sites = json.loads(lab.socle("backup", "status", "--json", check=False).stdout)["sites"]
    (snapshot,) = (site["snapshot"] for site in sites if site["site"] == LARGE)
    return str(snapshot)


def bare(lab: BenchLab, **asked: Any) -> float:
    """Have restic alone do something on the host; its seconds."""
    text = _PROGRAM.read_text()
    answer = lab.ssh(HOST, ["python3", "-I", "-c", text], stdin=json.dumps(asked).encode(), timeout=MADE_SECONDS)
    return float(json.loads(answer)["seconds"])
