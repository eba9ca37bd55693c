"""Runs on the host: takes away the fake sites of a contender that has been measured. JSON in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path


def run(arguments: list[str], stdin: str = "") -> None:
    subprocess.run(arguments, input=stdin, text=True, timeout=120, check=True, capture_output=True)


def main() -> None:
    sites = json.load(sys.stdin)
    run(["systemctl", "disable", "--now", *(site["unit"] for site in sites)])
    for site in sites:
        for path in site["paths"]:
            if Path(path).is_dir():
                shutil.rmtree(path)
            else:
                Path(path).unlink(missing_ok=True)
        run(["userdel", site["name"]])
    names = [site["database"] for site in sites]
    run(["mariadb"], "".join(f"DROP DATABASE `{name}`; DROP USER '{name}'@'localhost';" for name in names))
    run(["systemctl", "daemon-reload"])


main()
