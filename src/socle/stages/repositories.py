"""The repositories stage: on each vault, a repository and an account for each association.

It comes before the sites, so that a site can be saved from its first night, and so that none is installed
over backups that wait for their restore.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from socle.errors import PartlyDone, SocleError
from socle.files import run_write
from socle.load.workspace import Workspace
from socle.model.plan import Repository
from socle.stages.base import Change, Context
from socle.vault.exchange import run_vault

_KNOWN = "repositories.json"


@dataclass(frozen=True)
class Task:
    """What is missing of a repository. `what`: repository, escrow or account."""

    repository: Repository
    what: tuple[str, ...]


class RepositoriesStage:
    """Fourth stage: where sites are saved."""

    name: Literal["repositories"] = "repositories"

    def preview(self, context: Context) -> list[Change]:
        """Repositories that are missing, or cannot be opened or reached as they should."""
        tasks = [task for host in _find_vaults(context) for task in _load_tasks(context, host)]
        return [change for task in tasks for change in make_changes(task)]

    def apply(self, context: Context) -> list[Change]:
        """Make them. Raises PartlyDone naming each that could not be."""
        changes: list[Change] = []
        errors: list[str] = []
        for host in _find_vaults(context):
            tasks = _load_tasks(context, host)
            if not tasks:
                continue
            failed = _run_make(context, host, tasks)
            errors += (f"{host}: {name}: {why}" for name, why in failed.items())
            changes += (change for task in tasks if task.repository.name not in failed for change in make_changes(task))
        if errors:
            raise PartlyDone("\n".join(errors), "the other repositories are there; mend and run again", changes=changes)
        return changes


def _find_vaults(context: Context) -> list[str]:
    """The vaults to work on."""
    used = {one.host for one in context.plan.repositories}
    return sorted(host.name for host in context.hosts if host.name in used)


def _find_repositories(context: Context, host: str) -> dict[str, Repository]:
    return {one.name: one for one in context.plan.repositories if one.host == host}


def _load_tasks(context: Context, host: str) -> list[Task]:
    wanted = _find_repositories(context, host)
    seen: Mapping[str, Any] = {}
    if host not in context.absent:
        looked = {name: {"path": one.path} for name, one in wanted.items()}
        seen = run_vault(context.workspace, host, {"mode": "look", "repositories": looked}, timeout=60)["repositories"]
    accounts = {name: make_account(_load_credential(context, name)) for name in wanted}
    sealed = {name: context.secrets.sealed(name) for name in wanted}
    return list(make_tasks(wanted, seen, accounts, context.secrets.escrow(), sealed))


def _load_credential(context: Context, name: str) -> str:
    """Empty before the first apply has made it."""
    return context.secrets.repository(name).get("credential", "")


def make_account(credential: str) -> str:
    """What the server compares a credential with: it is long and machine-made, so it needs no slow hash."""
    digest = hashlib.sha1(credential.encode(), usedforsecurity=False).digest()
    return "{SHA}" + base64.b64encode(digest).decode()


def make_tasks(
    wanted: Mapping[str, Repository],
    seen: Mapping[str, Any],
    accounts: Mapping[str, str],
    escrow: str,
    sealed: Mapping[str, str],
) -> Iterator[Task]:
    """What is missing of each repository. `escrow`: the public key of the escrow, empty when there is none. `sealed`:
    digests of what is sealed for it here. One that is not what the repository was given a key for opens nothing."""
    for name, repository in wanted.items():
        found = seen.get(name, {})
        missing = {
            "repository": not (found.get("exists") and found.get("id")),
            "escrow": bool(escrow)
            and not (sealed[name] and (found.get("recipient"), found.get("sealed")) == (escrow, sealed[name])),
            "account": found.get("account") != accounts[name],
        }
        if any(missing.values()):
            yield Task(repository, tuple(what for what, is_missing in missing.items() if is_missing))


def make_changes(task: Task) -> Iterator[Change]:
    """A change for what is missing; a new repository with its keys is one."""
    new = "repository" in task.what
    for what in ("repository",) if new else task.what:
        yield Change(
            stage="repositories",
            action="create" if new else "update",
            kind="repository" if new else f"{what} of repository",
            name=f"{task.repository.host}/{task.repository.name}",
            association=task.repository.association,
        )


def _run_make(context: Context, host: str, tasks: list[Task]) -> dict[str, str]:
    """Make what the tasks say. What went wrong, by repository."""
    known = load_known(context.workspace)
    escrow = context.secrets.escrow()
    payload: dict[str, Any] = {}
    for task in tasks:
        name = task.repository.name
        payload[name] = {
            "path": task.repository.path,
            "key": context.secrets.repository(name)["key"],
            "known": known.get(name, ""),
            "escrow": None,
        }
        if "escrow" in task.what:
            key = context.secrets.run_seal(name)
            payload[name]["escrow"] = {"recipient": escrow, "sealed": context.secrets.sealed(name), "key": key}
    everyone = _find_repositories(context, host)
    accounts = {name: make_account(_load_credential(context, name)) for name in everyone}
    message = {"mode": "make", "repositories": payload, "accounts": accounts}
    try:
        answer = run_vault(context.workspace, host, message)
    except SocleError as error:
        return dict.fromkeys(payload, str(error))
    run_remember(context.workspace, {name: record["id"] for name, record in answer["repositories"].items()})
    return dict(answer["errors"])


def load_known(workspace: Workspace) -> dict[str, str]:
    """The id of each repository that was ever made: one that is gone is not silently made again, empty."""
    path = workspace.state / _KNOWN
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def run_remember(workspace: Workspace, ids: Mapping[str, str]) -> None:
    """Remember the ids of repositories."""
    known = {**load_known(workspace), **ids}
    run_write(workspace.state / _KNOWN, json.dumps(known, indent=1, sort_keys=True).encode())
