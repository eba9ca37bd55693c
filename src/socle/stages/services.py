"""The services stage: software of each host's role, installed by pyinfra from stacks/<service>/deploy.py.

A service's `deploy(host, plan, workspace)` calls pyinfra's operations, which run at once, in the order in
which they are called. A stamp on the host holds, per service, the digest of its folder and of what it was
given: what has not changed costs one round trip per host. `remove(host, plan, workspace)`, where there is
one, undoes it when the plan no longer wants the service there. `load_inputs(workspace)`, where there is
one, returns what else the deploy reads, so that a change of it is seen. A module `check.py` with
`run_check(plan, talk)` warns of what stands in the way of sites and is not ours to mend.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pyinfra.operations import server

from socle.errors import PartlyDone, SocleError
from socle.load.workspace import Workspace
from socle.model.plan import Host, Plan
from socle.remote import Remote, connected, run_ssh, working_on
from socle.stages import packages
from socle.stages.base import Action, Change, Context
from socle.stages.stamps import load_stamps, run_stamps

_STAMP = "services.json"
_BEGUN = ""
"""In the place of a digest: a run began to install the service, and did not end."""
_MEND_SECONDS = packages.PATIENCE + 600
# What has no part in installing: sites, checks and documentation.
_NOT_INSTALLED = frozenset({"site.py", "audit.py", "check.py", "drill.py", "README.md", "expected", "__pycache__"})

Digests = dict[str, str]
"""Digest of what was installed, by service."""


@dataclass(frozen=True)
class Task:
    """A service to install on a host, or to remove from it."""

    service: str
    action: Action
    digest: str = ""


class ServicesStage:
    """Third stage: what a host's role needs, there even if no association asked for anything."""

    name: Literal["services"] = "services"

    def preview(self, context: Context) -> list[Change]:
        """Services that are new, changed, or no longer wanted, by their stamps: only `apply --full` looks at what
        they installed. Hosts that do not exist are not asked."""
        tasks_of = _load_tasks(replace(context, full=False))
        return [_make_change(host, task) for host, tasks in tasks_of.items() for task in tasks]

    def apply(self, context: Context) -> list[Change]:
        """Install them, all hosts in parallel. A host whose service failed keeps its later ones for the next
        run; the others go on. Raises PartlyDone naming each failure."""
        _run_checks(context)
        todo = {host: tasks for host, tasks in _load_tasks(context).items() if tasks}
        if not todo:
            return []
        names = [host.name for host in todo]
        done: dict[str, list[Task]] = {name: [] for name in names}
        with (
            connected(context.workspace, names, context.talk) as remote,
            ThreadPoolExecutor(len(todo)) as pool,
        ):
            failures = list(pool.map(lambda host: _run_host(context, remote, host, todo[host], done[host.name]), todo))
        changes = [_make_change(host, task) for host in todo for task in done[host.name]]
        if problems := {host.name: why for host, why in zip(todo, failures, strict=True) if why}:
            text = "services: " + "\n".join(problems.values())
            raise PartlyDone(text, "run again: what is done stays done", changes=changes, hosts=problems)
        return changes


def _run_checks(context: Context) -> None:
    """What services have to say about the plan's sites that only the world can tell: warnings, never a stop."""
    for name in sorted({name for host in context.plan.hosts for name in host.services}):
        if check := context.catalogue[name].module("check"):
            check.run_check(context.plan, context.talk)


def _make_change(host: Host, task: Task) -> Change:
    return Change(stage="services", action=task.action, kind="service", name=f"{host.name}/{task.service}")


def _load_tasks(context: Context) -> dict[Host, list[Task]]:
    """What is to be done on each host, by its stamp."""
    stamps = _load_stamps(context)
    return {
        host: [
            task
            for task in make_tasks(make_digests(context, host), stamps.get(host.name, {}), context.full)
            if _is_possible(context, host, task)
        ]
        for host in context.hosts
    }


def _load_stamps(context: Context) -> dict[str, Digests]:
    hosts = [host.name for host in context.hosts if host.name not in context.absent]
    texts = load_stamps(context.workspace, _STAMP, hosts)
    return {host: parse_stamp(text) for host, text in texts.items()}


def parse_stamp(text: str) -> Digests:
    """The digests in a stamp; none of what cannot be read, so that all is installed again."""
    try:
        data = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in data.items()} if isinstance(data, dict) else {}


def make_tasks(wanted: Mapping[str, str], installed: Mapping[str, str], full: bool = False) -> Iterator[Task]:
    """From digests wanted, in order, and those installed: first removals, then the rest."""
    for service in sorted(installed.keys() - wanted.keys()):
        yield Task(service, "delete")
    for service, digest in wanted.items():
        if service not in installed:
            yield Task(service, "create", digest)
        elif installed[service] != digest or full:
            yield Task(service, "update", digest)


def make_digests(context: Context, host: Host) -> Digests:
    """The digest of each service that has something to install on `host`, in order of installation."""
    digests = {}
    for name in host.services:
        entry = context.catalogue[name]
        deploy = entry.module("deploy")
        if deploy:
            load_inputs = getattr(deploy, "load_inputs", None)
            extra = load_inputs(context.workspace) if load_inputs else {}
            given = [make_folder_digest(entry.folder), make_inputs(host, context.plan), extra]
            digests[name] = _digest(given)
    return digests


def make_inputs(host: Host, plan: Plan) -> dict[str, Any]:
    """What of the plan a deploy may use: nothing of an association is in it."""
    return {
        "host": host.model_dump(mode="json", exclude={"inputs", "services", "disk"}),
        "plan": plan.model_dump(
            mode="json",
            include={
                **dict.fromkeys(("environment", "syndicate", "domain", "timezone", "acme_directory", "networks"), True),
                "policy": {"night", "spread"},
            },
        ),
        "hosts": [[other.name, other.role, str(other.address)] for other in plan.hosts],
    }


def make_folder_digest(folder: Path) -> str:
    """Digest of what a service's folder installs: paths and contents."""
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not _NOT_INSTALLED.intersection(relative.parts):
            files[relative.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return _digest(files)


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _run_host(context: Context, remote: Remote, host: Host, tasks: list[Task], done: list[Task]) -> str:
    """Do the tasks of a host one after the other, each stamped when it is done. Why it stopped, or ""."""
    place = host.name
    try:
        stamp = parse_stamp(load_stamps(context.workspace, _STAMP, [host.name])[host.name])
        run_mend_packages(context.workspace, host.name)
        for task in tasks:
            place = f"{host.name}/{task.service}"
            killed = stamp.get(task.service) == _BEGUN
            _run_stamp(context, host, stamp | {task.service: _BEGUN})
            with working_on(remote, host.name):
                _run_task(context, task, host, killed)
            stamp = {**stamp, task.service: task.digest}
            if task.action == "delete":
                del stamp[task.service]
            _run_stamp(context, host, stamp)
            done.append(task)
    except SocleError as error:
        return f"{place}: {error}"
    return ""


def _load_deploy(context: Context, service: str) -> Any:
    entry = context.catalogue.find(service)
    return entry.module("deploy") if entry else None


def _is_possible(context: Context, host: Host, task: Task) -> bool:
    """Whether the task can be done. A service that does not say how it is undone stays, and keeps its stamp."""
    if task.action != "delete" or hasattr(_load_deploy(context, task.service), "remove"):
        return True
    place = f"/var/lib/socle/stamps/{_STAMP}"
    context.talk.say(
        f"  {host.name}: {task.service} is no longer wanted, but cannot be removed by socle: it is left on the host. "
        f"Remove it by hand, then its line in {place} there"
    )
    return False


def _run_stamp(context: Context, host: Host, stamp: Digests) -> None:
    run_stamps(context.workspace, _STAMP, {host.name: json.dumps(stamp, indent=1)})


def _run_task(context: Context, task: Task, host: Host, killed: bool) -> None:
    """Call the service's own code. `killed`: the run before was cut, perhaps between a file and the restart
    that was to read it; now the file is as it should be and asks for no restart, so all units get one."""
    entry = context.catalogue.find(task.service)
    function = getattr(_load_deploy(context, task.service), "remove" if task.action == "delete" else "deploy", None)
    if function:
        function(host, context.plan, context.workspace)
    if entry and killed and task.action != "delete":
        units = [unit for unit in entry.service.units if "*" not in unit and "@" not in unit]
        if units:
            server.shell(name="restart after a cut run", commands=[shlex.join(["systemctl", "try-restart", *units])])


def run_mend_packages(workspace: Workspace, host: str) -> None:
    """Make a host ready for installing packages, whatever a killed run left. Raises SocleError."""
    script = Path(packages.__file__).read_bytes()
    result = run_ssh(workspace, host, ["python3", "-"], stdin=script, timeout=_MEND_SECONDS)
    if result.returncode:
        raise SocleError(f"{host}: packages are not in order: {result.stderr.decode(errors='replace').strip()}")
