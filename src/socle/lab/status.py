"""What the lab's hosts are doing, as Incus sees it."""

from __future__ import annotations

from typing import Any

from pydantic import ByteSize

from socle.incus.connect import open_client
from socle.load.inputs import load_platform
from socle.load.workspace import Workspace


def load_status(workspace: Workspace) -> list[dict[str, Any]]:
    """Name, state, global addresses and memory of each host. Raises Unreachable when Incus does not answer."""
    with open_client(load_platform(workspace).incus, workspace.state, workspace.project) as client:
        return [_make_row(found) for found in client.list_instances()] if client.has_project() else []


def _make_row(found: dict[str, Any]) -> dict[str, Any]:
    state = found.get("state") or {}
    memory = (state.get("memory") or {}).get("usage", 0)
    return {
        "name": found["name"],
        "state": str(found["status"]).lower(),
        "address": " ".join(_find_addresses(state)),
        "memory": ByteSize(memory).human_readable(),
    }


def _find_addresses(state: dict[str, Any]) -> list[str]:
    interfaces = (state.get("network") or {}).values()
    entries = [entry for interface in interfaces for entry in interface.get("addresses", [])]
    return sorted(str(entry["address"]) for entry in entries if entry.get("scope") == "global")
