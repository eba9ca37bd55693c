"""One round trip with the agent of a vault, over ssh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from socle.agent import COMMAND, make_agent, pack_payload, unpack_answer
from socle.errors import SocleError
from socle.load.workspace import Workspace
from socle.remote import run_ssh

_PACKAGE = "socle.vault.agent"
_AGENT = ("programs", "making", "saved", "reading", "pruning", "main")


class VaultFailed(SocleError):
    """The agent of a vault could not do anything."""


def run_vault(workspace: Workspace, host: str, payload: Mapping[str, Any], timeout: float = 600.0) -> dict[str, Any]:
    """What the agent of the vault `host` answers to `payload`, within `timeout` seconds.

    `payload["mode"]` says what it does; keys of repositories are among its values, and stay in memory there.
    Raises VaultFailed, Unreachable.
    """
    stdin = f"{make_agent(_PACKAGE, _AGENT)}\n{pack_payload(payload)}\n".encode()
    result = run_ssh(workspace, host, COMMAND, stdin=stdin, timeout=timeout)
    try:
        answer = unpack_answer(result.stdout.decode())
    except ValueError:
        why = result.stderr.decode(errors="replace").strip() or "no reason given"
        raise VaultFailed(f"{host}: the agent of the vault did not answer: {why}") from None
    if "failed" in answer:
        raise VaultFailed(f"{host}: {answer['failed']}")
    return answer
