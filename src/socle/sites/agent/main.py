"""The agent's two verbs."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from typing import Any

from socle.sites.agent.applying import Apply
from socle.sites.agent.identity import find_lost, is_bare
from socle.sites.agent.index import load_indexes, locked, new_index
from socle.sites.agent.programs import Failed
from socle.sites.agent.reading import read_state


def read(payload: dict[str, Any]) -> dict[str, Any]:
    """Index of every site, and the state of the resources of those whose stamp is not what is wanted."""
    with locked(exclusive=False):
        indexes = load_indexes()
        wanted = payload["sites"]
        stamped = {site: spec["keys"] for site, spec in wanted.items() if is_stamped(indexes, site, spec)}
        lost = find_lost(indexes, stamped)
        stale = {site for site in wanted if payload["full"] or site in lost or site not in stamped}
        state = read_state(key for site in sorted(stale) for key in wanted[site]["keys"])
        bare = {site for site in stale if is_bare(indexes.get(site) or new_index(), site, wanted[site]["keys"])}
    sites: dict[str, Any] = {}
    for site in sorted({*indexes, *wanted}):
        index = indexes.get(site) or new_index()
        sites[site] = {"keys": index["keys"], "stamp": index["stamp"], "pending": index["pending"], "state": None}
        sites[site]["note"] = lost.get(site, "") or index.get("unreadable", "")
        sites[site]["bare"] = site in bare
        if site in lost:
            sites[site]["stamp"] = ""
        if lost.get(site):  # its units hold the volume from before, in namespaces of their own
            index = {**index, "units": {}}
        if site in stale:
            sites[site]["state"] = {key: with_digest(index, key, state[key]) for key in wanted[site]["keys"]}
    return {"sites": sites}


def is_stamped(indexes: dict[str, dict[str, Any]], site: str, spec: dict[str, Any]) -> bool:
    return site in indexes and bool(indexes[site]["stamp"] == spec["stamp"])


def with_digest(index: dict[str, Any], key: str, state: Any) -> Any:
    """A unit's state, with the digest of what it was last started with."""
    kind, _, name = key.partition(":")
    if kind != "unit" or state is None or "unreadable" in state:
        return state
    return {**state, "digest": index["units"].get(name, "")}


def apply(payload: dict[str, Any]) -> dict[str, Any]:
    """Make and remove what the payload says, for all its sites."""
    with locked(exclusive=True):
        return Apply(payload).run()


def main() -> None:
    """Payload on standard input, answer on standard output: base64 of zlib of JSON."""
    payload = json.loads(zlib.decompress(base64.b64decode(sys.stdin.read())))
    try:
        answer = {"read": read, "apply": apply}[payload["mode"]](payload)
    except Failed as error:
        answer = {"failed": str(error)}
    sys.stdout.write(base64.encodebytes(zlib.compress(json.dumps(answer).encode())).decode())
