"""Runs on the host: what a user of restic alone would do with the same sites, the same server and the same files.

JSON in: {"mode": "prepare"}: dumps to be saved, made once; {"mode": "save", "jobs"}: every site, some at a time;
{"mode": "restore", "site", "snapshot", "target"}. JSON out: {"seconds"}.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CONFIGURATION = Path("/etc/socle/backups")
DUMPS = Path("/srv/bare")
HOST = "bare"


def load_sites() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(CONFIGURATION.glob("[!.]*.json"))]


def make_environment(site: dict[str, Any]) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/root",
        "RESTIC_REPOSITORY": site["url"],
        "RESTIC_PASSWORD": site["key"],
        "RESTIC_REST_USERNAME": site["user"],
        "RESTIC_REST_PASSWORD": site["credential"],
        "RESTIC_CACERT": "/etc/socle/vault.pem",
        "RESTIC_CACHE_DIR": "/var/cache/bare",
    }


def restic(site: dict[str, Any], *arguments: str) -> None:
    command = ["restic", arguments[0], "--quiet", *arguments[1:]]
    subprocess.run(command, env=make_environment(site), timeout=1800, check=True, stdout=subprocess.DEVNULL)


def prepare() -> None:
    for site in load_sites():
        folder = DUMPS / site["site"]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "database.sql").open("wb") as stream:
            subprocess.run(["mariadb-dump", "--skip-dump-date", site["database"]], stdout=stream, check=True)


def save(jobs: int) -> None:
    def one(site: dict[str, Any]) -> None:
        restic(site, "backup", "--host", HOST, site["folder"], str(DUMPS / site["site"]))

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, load_sites()))


def restore(name: str, snapshot: str, target: str) -> None:
    (site,) = (site for site in load_sites() if site["site"] == name)
    restic(site, "restore", f"{snapshot}:{site['folder']}", "--no-lock", "--target", target)
    os.sync()


def main() -> None:
    asked = json.load(sys.stdin)
    if asked["mode"] == "restore":
        shutil.rmtree(asked["target"], ignore_errors=True)
    os.sync()
    start = time.monotonic()
    match asked["mode"]:
        case "prepare":
            prepare()
        case "save":
            save(asked["jobs"])
        case "restore":
            restore(asked["site"], asked["snapshot"], asked["target"])
    sys.stdout.write(json.dumps({"seconds": time.monotonic() - start}))


main()
