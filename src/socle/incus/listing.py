"""What there is in Incus, by one call per kind and process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from socle.incus.client import IncusClient, IncusError, Json, NotFound

_FORBIDDEN = 403


class Cache:
    """Lists each kind once, at first use. Every run is a new process, so nothing old is ever believed."""

    def __init__(self, client: IncusClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._lists: dict[str, dict[str, Json]] = {}

    def instances(self) -> dict[str, Json]:
        """All instances of the project."""
        return self._list("instances", self._client.list_instances)

    def volumes(self) -> dict[str, Json]:
        """All custom volumes of the project."""
        return self._list("volumes", self._client.list_volumes)

    def networks(self) -> dict[str, Json]:
        """All networks, Incus's own and those it only sees."""
        return self._list("networks", self._client.list_networks)

    def acls(self) -> dict[str, Json]:
        """All network access lists."""
        return self._list("acls", lambda: self._client.list_networks("network-acls"))

    def forget(self, kind: str, name: str) -> None:
        """`name` is gone."""
        with self._lock:
            self._lists.get(kind, {}).pop(name, None)

    def _list(self, kind: str, call: Callable[[], list[Any]]) -> dict[str, Json]:
        with self._lock:
            if kind not in self._lists:
                self._lists[kind] = {thing["name"]: thing for thing in _list_or_nothing(call)}
            return self._lists[kind]


def _list_or_nothing(call: Callable[[], list[Any]]) -> list[Any]:
    """Before the first run there is no project: then there is nothing in it. A certificate that may see only
    the projects it is restricted to is told 403, not 404."""
    try:
        return call()
    except NotFound:
        return []
    except IncusError as error:
        if error.code == _FORBIDDEN:
            raise IncusError(
                f"{error}: the client certificate must be for this project and for `default`", 403
            ) from None
        raise
