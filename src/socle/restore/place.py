"""Sites brought back in their place, by the program on their own host: sites of a host one after the other, hosts in
parallel. The program goes on to its end when this machine goes away; a re-run waits for it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from socle.errors import SocleError, Unreachable
from socle.incus.client import IncusClient, NotFound
from socle.incus.connect import open_client
from socle.load.workspace import Workspace
from socle.model.names import make_data_name
from socle.model.plan import Site
from socle.remote import connected, make_ssh, run_ssh
from socle.restore.repository import Chosen
from socle.runs.process import make_mortal
from socle.sites.desired import Wanted
from socle.sites.waiting import load_held
from socle.stages.base import Context
from socle.stages.sites import load_desired, load_differences

PROGRAM = "/usr/lib/socle/restore"
MARKS = "/var/lib/socle/backups/restoring"
SECONDS = 24 * 3600.0
_HIGH = 0.85
"""Of the volume of databases: above it, socle-database-quota ends what fills it, whosever it is."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What came of a site. `result`: restored, checked, refused, returned, stuck, or failed when the host said
    nothing."""

    site: str
    association: str
    result: str
    reason: str = ""
    snapshot: str = ""
    safety: str = ""
    checks: tuple[Mapping[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.result in ("restored", "checked")


@dataclass
class Answer:
    """What a restore on a host said: its record, and how it ended."""

    record: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""


def make_result(chosen: Chosen, answer: Answer) -> Result:
    """The result from the host's record."""
    site, record = chosen.site, answer.record
    try:
        return Result(
            site=site.name,
            association=site.association,
            result=str(record["result"]),
            reason=str(record["reason"]),
            snapshot=chosen.snapshot.id,
            safety=str(record["safety"]),
            checks=tuple({name: str(one[name]) for name in ("name", "status", "evidence")} for one in record["checks"]),
            notes=tuple(map(str, record["notes"])),
            seconds=float(record["seconds"]),
        )
    except (KeyError, TypeError, ValueError):
        why = answer.said or "no reason given"
        reason = f"{site.host} did not say how it ended: {why}"
        return Result(site.name, site.association, "failed", reason, chosen.snapshot.id)


def make_directories(wanted: Wanted, site: Site) -> list[dict[str, Any]]:
    """The folders that a site has below its own: it may not start without them, and an older snapshot may lack one."""
    top = f"directory:{site.path}/"
    return [
        {"path": wire["key"].removeprefix(top), **wire["expected"]}
        for wire in wanted.wires
        if wire["key"].startswith(top)
    ]


def make_given(
    site: Site, wanted: Wanted, address: str, secrets: Mapping[str, str], room: Mapping[str, int]
) -> dict[str, Any]:
    """What the program on the host is told on its standard input."""
    return {
        "directories": make_directories(wanted, site),
        "unit": site.unit,
        "uid": site.uid,
        "domain": site.domain,
        "address": address,
        "database_password": secrets.get("database_password", ""),
        "room": dict(room),
    }


def make_arguments(chosen: Chosen, *, check: bool = False, without_safety: bool = False) -> list[str]:
    """The program and its arguments."""
    flags = {"--check": check, "--without-safety": without_safety}
    snapshot = ["--snapshot", chosen.snapshot.id]
    return [PROGRAM, chosen.site.name, *snapshot, "--json", *(flag for flag, given in flags.items() if given)]


def run_program(
    workspace: Workspace, host: str, arguments: Sequence[str], given: Mapping[str, Any], say: Say
) -> Answer:
    """Run the program on a host, and say its steps as they come. Raises Unreachable."""
    command = make_mortal(make_ssh(workspace, host, arguments))
    answer = Answer()
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        heard: list[bytes] = []
        listener = threading.Thread(target=lambda: heard.append(_read(process.stderr)), daemon=True)
        listener.start()
        try:
            assert process.stdin is not None  # noqa: S101 - it is a pipe, as asked
            assert process.stdout is not None  # noqa: S101
            process.stdin.write(json.dumps(given).encode())
            process.stdin.close()
            for line in process.stdout:
                _take(answer, line, say)
            code = process.wait()
            listener.join(5)
        except BrokenPipeError:
            code = process.wait()
        finally:
            timer.cancel()
    answer.said = b"".join(heard).decode(errors="replace").strip()
    if code == 255:  # ssh(1): its own errors
        raise Unreachable(f"cannot reach {host} over SSH: {answer.said}", "what it began goes on there: run again")
    return answer


def _read(stream: Any) -> bytes:
    return bytes(stream.read(1 << 16))


def _take(answer: Answer, line: bytes, say: Say) -> None:
    try:
        data = json.loads(line)
    except ValueError:
        return
    if "step" in data:
        say(str(data["step"]))
    else:
        answer.record = data


def load_room(context: Context, sites: Iterable[Site]) -> dict[str, dict[str, int]]:
    """For each site, bytes that its volume holds in all, and that the volume of databases has free: Incus knows, the
    hosts do not. What has no limit is left out. Raises Unreachable."""
    holders = [one for one in context.catalogue.services if one.holds_databases]
    with open_client(context.platform.incus, context.workspace.state, context.workspace.project) as client:
        room: dict[str, dict[str, int]] = {}
        for site in sites:
            found = {"files": _load_usage(client, site.name)[1]}
            for service in holders if site.database else []:
                used, total = _load_usage(client, make_data_name(site.host, service.name))
                found["database"] = max(int(total * _HIGH) - used, 1) if total else 0
            room[site.name] = {name: value for name, value in found.items() if value}
    return room


def _load_usage(client: IncusClient, volume: str) -> tuple[int, int]:
    """Bytes used and in all; (0, 0) when it has no limit or is not there."""
    try:
        usage = client.get_volume_state(volume).get("usage") or {}
    except NotFound:
        return 0, 0
    return int(usage.get("used") or 0), int(usage.get("total") or 0)


def run_place(
    context: Context, chosen: Sequence[Chosen], *, check: bool = False, without_safety: bool = False
) -> list[Result]:
    """Bring sites back in their place; one that fails stops no other. In the order of `chosen`."""
    room = load_room(context, [one.site for one in chosen])
    desired = load_desired(context)
    by_host: dict[str, list[Chosen]] = {}
    for one in chosen:
        by_host.setdefault(one.site.host, []).append(one)

    def restore(one: Chosen) -> Result:
        site = one.site
        wanted, address = desired[site.host][site.name], str(context.plan.host(site.host).address)
        given = make_given(site, wanted, address, context.secrets.site(site), room[site.name])
        arguments = make_arguments(one, check=check, without_safety=without_safety)

        def say(step: str) -> None:
            context.talk.say(f"  {site.name}: {step}")

        try:
            return make_result(one, run_program(context.workspace, site.host, arguments, given, say))
        except SocleError as error:
            return Result(site.name, site.association, "failed", str(error), one.snapshot.id)

    with ThreadPoolExecutor(max(len(by_host), 1)) as pool:
        done = pool.map(lambda host: [restore(one) for one in by_host[host]], by_host)
        results = {result.site: result for group in done for result in group}
    return [results[one.site.name] for one in chosen]


def find_waiting(context: Context) -> list[Site]:
    """The sites that wait for their restore: not installed because they have backups, or closed by a restore that did
    not end well. Raises Unreachable."""
    desired = load_desired(context)
    with connected(context.workspace, list(desired), context.talk) as state:
        held = load_held(context, load_differences(context, state, desired, list(desired)))
    marked = {name for host in desired for name in load_marked(context.workspace, host)}
    return [site for site in context.plan.sites if site.name in held or site.name in marked]


def load_marked(workspace: Workspace, host: str) -> list[str]:
    """The sites of a host that a restore left closed."""
    command = ["find", MARKS, "-maxdepth", "1", "-type", "f", "-name", "[!.]*", "-printf", r"%f\n"]
    return run_ssh(workspace, host, command).stdout.decode().split()
