"""Which sites have snapshots, asked before one is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from socle.vault.agent.programs import Failed, must


def saved(payload: dict[str, Any]) -> dict[str, Any]:
    """By repository, the time of the newest snapshot of each site that has one. Raises Failed when one of the
    repositories cannot be read: no answer is not the answer that there is nothing."""
    return {"repositories": {name: read_newest(wanted) for name, wanted in payload["repositories"].items()}}


def read_newest(wanted: dict[str, Any]) -> dict[str, str]:
    path = Path(wanted["path"])
    if not (path / "config").is_file():
        raise Failed(f"there is no repository at {path}")
    # Reading names needs no key: a new repository is told from an old one without opening it.
    if not any((path / "snapshots").iterdir()):
        return {}
    newest: dict[str, str] = {}
    for snapshot in json.loads(must(str(path), wanted["key"], ["snapshots", "--json", "--no-lock"], timeout=120)):
        for site in wanted["sites"]:
            if f"site={site}" in (snapshot.get("tags") or ()):
                newest[site] = max(newest.get(site, ""), snapshot["time"])
    return newest
