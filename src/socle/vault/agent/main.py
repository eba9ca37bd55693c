"""The agent's modes."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import sys
import zlib
from collections.abc import Callable
from typing import Any

from socle.vault.agent import making, pruning, reading
from socle.vault.agent import saved as saving
from socle.vault.agent.programs import Failed

MODES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "look": making.look,
    "make": making.make,
    "saved": saving.saved,
    "read": reading.read,
    "forget": pruning.forget,
    "check": pruning.check,
    "set_aside": pruning.set_aside,
}
ALONE = frozenset({"make"})
"""Modes of which one runs at a time. Reading needs no lock, and what prunes has one per repository."""
LOCK = "/run/socle-vault.lock"


def main() -> None:
    """Payload on standard input, answer on standard output: base64 of zlib of JSON."""
    payload = json.loads(zlib.decompress(base64.b64decode(sys.stdin.read())))
    mode = payload["mode"]
    handle = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if mode in ALONE:
        fcntl.flock(handle, fcntl.LOCK_EX)  # an agent whose controller was killed goes on to its end
    try:
        answer = MODES[mode](payload)
    except Failed as error:
        answer = {"failed": str(error)}
    sys.stdout.write(base64.encodebytes(zlib.compress(json.dumps(answer).encode())).decode())
