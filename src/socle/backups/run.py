"""Acting on backups: saving now, verifying, forgetting by policy, and setting aside what is not ours.

What these say of themselves proves nothing: after a save, the verdicts are read from the vault (observe.py).
"""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from socle.backups.facts import parse_time
from socle.backups.memory import Check, Memory, load_memory, run_remember
from socle.backups.observe import Sight, load_sight, run_parallel
from socle.backups.own import ASSOCIATION, run_save_platform
from socle.backups.retention import Candidate, Kept, make_kept
from socle.backups.verdict import NEARLY_FULL, Verdict, is_dated
from socle.errors import SocleError
from socle.load.workspace import Workspace
from socle.model.base import Model
from socle.model.plan import Repository
from socle.remote import make_ssh
from socle.runs.process import make_mortal
from socle.stages.base import Context
from socle.vault.exchange import run_vault

PROGRAM = "/usr/lib/socle/backup"
SAVE_SECONDS = 6 * 3600.0
FORGET_SECONDS = 3 * 3600.0
CHECK_SECONDS = 6 * 3600.0
ASIDE_SECONDS = 1800.0
DUE_SECONDS = 86400.0
PARTS = 20
"""A verification reads one of so many parts of the data, another one each time."""
Say = Callable[[str], None]
_RESULTS = frozenset({"complete", "partial", "failed"})
_LINE = 65536
_SAID_BYTES = 16 * 1024**2
"""More than a host has to say of all its sites."""


class Outcome(Model):
    """What was done in a repository. `reason`: why nothing was, or not all; empty when all went well."""

    name: str
    association: str
    done: tuple[str, ...] = ()
    kept: int = 0
    reason: str = ""


# Saving.


def find_due(verdicts: Iterable[Verdict], now: float) -> list[str]:
    """The sites to save: those whose verdict is not complete, or whose newest snapshot is of a day ago. Pure."""
    return [one.site for one in verdicts if one.verdict != "complete" or now - parse_time(one.time) >= DUE_SECONDS]


def make_command(sites: Sequence[str]) -> list[str]:
    """What saves on a hosting host: the sites named. Pure."""
    return [PROGRAM, "run", "--json", *sites]


def run_save(context: Context, sites: Mapping[str, str]) -> dict[str, str]:
    """Save sites (each with its host; an empty host is this machine, for the platform itself), all hosts at once. Tells
    how each went. Why a host, or the platform, could not be worked on, by name."""
    hosts: dict[str, list[str]] = {}
    for site, host in sites.items():
        hosts.setdefault(host, []).append(site)

    def save(host: str) -> str:
        if host:
            return run_host(context.workspace, host, hosts[host], context.talk.say)
        return _run_platform(context)

    problems = run_parallel(sorted(hosts), save)
    return {host or "platform": why for host, why in problems.items() if why}


def _run_platform(context: Context) -> str:
    repository = context.plan.repository(ASSOCIATION)
    if repository is None:
        return "no vault has a repository for the platform"
    attempt = run_save_platform(context, repository)
    context.talk.say(f"  platform: {attempt.result} {attempt.reason}".rstrip())
    return attempt.reason


def run_host(workspace: Workspace, host: str, sites: Sequence[str], say: Say) -> str:
    """Save sites of one host, telling of each as it is done. Why not all could be tried; empty when all were."""
    command = make_mortal(make_ssh(workspace, host, make_command(sites)))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        heard: list[bytes] = []
        listener = threading.Thread(target=lambda: heard.extend(_read_end(process.stderr)), daemon=True)
        listener.start()
        timer = threading.Timer(SAVE_SECONDS, process.kill)
        timer.start()
        left, said_bytes = set(sites), 0
        try:
            while line := process.stdout.readline(_LINE) if process.stdout else b"":
                said_bytes += len(line)
                if said_bytes > _SAID_BYTES:
                    return f"{host}: {PROGRAM} said more than {_SAID_BYTES} bytes, and was not listened to any more"
                if (told := parse_line(line, sites)) and told[0] in left:
                    left.remove(told[0])
                    say(f"  {host}: {told[1]}")
            process.wait()
        finally:
            timer.cancel()
            process.kill()
        listener.join(5)
    if process.returncode in (0, 3) and not left:
        return ""
    said = b"".join(heard).decode(errors="replace").strip()
    return f"{host}: {PROGRAM} ended with {process.returncode}: {said[-300:] or 'nothing was said'}"


def _read_end(stream: Any) -> list[bytes]:
    """The last of what a stream says, all of it being read."""
    last = b""
    while piece := stream.read1(_LINE):
        last = (last + piece)[-_LINE:]
    return [last]


def parse_line(line: bytes, sites: Sequence[str]) -> tuple[str, str] | None:
    """The site that a line of the program is about, and the line for people; None when it is no such line. Pure."""
    try:
        data = json.loads(line)
        site, result, seconds = data["site"], str(data["result"]), float(data.get("seconds") or 0)
        reason = " ".join(str(data.get("reason") or "").split())
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None
    if site not in sites or result not in _RESULTS:
        return None
    told = "".join(one if one.isprintable() else "?" for one in reason[:300])
    return site, f"{site}: {result}, {seconds:.1f} s" + (f": {told}" if told else "")


# On the vaults.


def _run_on_vaults(
    context: Context, mode: str, specs: Mapping[str, Mapping[str, Any]], timeout: float
) -> dict[str, Mapping[str, Any]]:
    """What the vaults answer for each repository of `specs`, which hold what the mode needs besides path and key."""
    chosen = {one.name: one for one in context.plan.repositories if one.name in specs}
    hosts: dict[str, dict[str, Any]] = {}
    for name, repository in chosen.items():
        key = context.secrets.repository(name).get("key", "")
        hosts.setdefault(repository.host, {})[name] = {"path": repository.path, "key": key, **specs[name]}

    def ask(host: str) -> dict[str, Mapping[str, Any]]:
        payload = {"mode": mode, "repositories": hosts[host]}
        try:
            answers = run_vault(context.workspace, host, payload, timeout=timeout)["repositories"]
            return {name: answers[name] for name in hosts[host]}
        except SocleError as error:
            return {name: {"error": str(error)} for name in hosts[host]}

    return {name: one for answers in run_parallel(sorted(hosts), ask).values() for name, one in answers.items()}


def run_verify(context: Context, subset: str = "", now: float | None = None) -> list[Outcome]:
    """Verify every repository and read a part of its data: `subset` (restic's --read-data-subset), else the part after
    the one that was read last. What is found stays known, and no site of the repository is complete, until a
    verification finds nothing."""
    moment = time.time() if now is None else now
    repositories = {one.name: one for one in context.plan.repositories}
    memories = {name: load_memory(context.workspace, name) for name in repositories}
    parts = {name: memory.check.part if memory.check else 0 for name, memory in memories.items()}
    specs = {
        name: {"hint": memories[name].hint, "subset": subset or f"{parts[name] % PARTS + 1}/{PARTS}"}
        for name in repositories
    }
    answers = _run_on_vaults(context, "check", specs, CHECK_SECONDS)
    outcomes = []
    for name, answer in answers.items():
        reason = str(answer["error"])
        if answer.get("looked"):  # else an error is no damage, and what was found before still stands
            check = Check(time=moment, reason=reason, part=parts[name] + (not reason and not subset))
            _run_note(context.workspace, name, check)
        read = (str(specs[name]["subset"]),) if not reason else ()
        outcomes.append(_make_outcome(repositories[name], reason=reason, done=read))
    return outcomes


def _run_note(workspace: Workspace, repository: str, check: Check) -> None:
    run_remember(workspace, repository, lambda now: now.model_copy(update={"check": check}))


def _make_outcome(repository: Repository, **values: Any) -> Outcome:
    return Outcome(name=repository.name, association=repository.association, **values)


# Forgetting.


def make_candidates(memory: Memory, verdicts: Iterable[Verdict]) -> list[Candidate]:
    """The snapshots of the sites that are complete now, with what was judged of each. Pure."""
    complete = {one.site for one in verdicts if one.verdict == "complete"}
    good = set(memory.good.values())
    return [
        Candidate(snapshot=one, good=True if one.id in good else False if one.id in memory.bad else None)
        for one in memory.snapshots
        if one.site in complete
    ]


def make_forgotten(candidates: Iterable[Candidate], kept: Kept) -> list[str]:
    """The snapshots that do not stay, oldest first. Pure."""
    gone = [one.snapshot for one in candidates if one.snapshot.id not in kept]
    return [one.id for one in sorted(gone, key=lambda one: (one.arrival, one.id))]


def run_retain(context: Context, dry_run: bool, now: float | None = None) -> list[Outcome]:
    """Forget by the policy, and what only that needed. Of a site whose verdict is not complete, nothing."""
    moment = time.time() if now is None else now
    sight = load_sight(context, now)
    plans = {one.name: _plan_retention(context, one, sight, moment) for one in context.plan.repositories}
    specs = {
        name: {"ids": outcome.done, "hint": sight.memories[name].hint}
        for name, outcome in plans.items()
        if outcome.done
    }
    answers = {} if dry_run else _run_on_vaults(context, "forget", specs, FORGET_SECONDS)
    outcomes = []
    for name, outcome in plans.items():
        if name in answers:
            gone = tuple(answers[name].get("forgotten") or ())
            reason = " ".join(filter(None, (outcome.reason, str(answers[name]["error"]))))
            outcome = outcome.model_copy(update={"done": gone, "reason": reason})
        outcomes.append(outcome)
    return outcomes


def _plan_retention(context: Context, repository: Repository, sight: Sight, now: float) -> Outcome:
    sites = {one.site for one in sight.expected if one.repository == repository.name}
    verdicts = [one for one in sight.verdicts if one.site in sites]
    memory = sight.memories[repository.name]
    candidates = make_candidates(memory, verdicts)
    kept = make_kept(candidates, context.plan.policy, context.plan.timezone, now)
    gone = make_forgotten(candidates, kept)
    waiting = [one.site for one in verdicts if one.verdict != "complete"]
    reason = f"nothing is forgotten of what is not complete: {', '.join(waiting)}" if waiting else ""
    return _make_outcome(repository, done=tuple(gone), kept=len(memory.snapshots) - len(gone), reason=reason)


# Setting aside.


def find_aside(sight: Sight, repository: Repository) -> list[str]:
    """What in a repository is to be set aside: what is not ours or cannot be read, and snapshots whose time does not
    fit their arrival, of sites that have others. Pure."""
    own = [one for one in sight.expected if one.repository == repository.name]
    foreign = {name for one in own for name in sight.observed[one.site].foreign}
    snapshots = sight.memories[repository.name].snapshots
    others = {one.site for one in snapshots if is_dated(one)}
    dated = {f"snapshots/{one.id}" for one in snapshots if not is_dated(one) and one.site in others}
    return sorted(foreign | dated)


def run_mend(context: Context, dry_run: bool, now: float | None = None) -> list[Outcome]:
    """Set aside what is not ours, clear the locks of dead clients, and where a repository is nearly full delete what
    no snapshot can use."""
    sight = load_sight(context, now)
    chosen = {one.name: one for one in context.plan.repositories if not _is_missing(sight, one)}
    names = {name: find_aside(sight, one) for name, one in chosen.items()}
    if dry_run:
        return [_make_outcome(one, done=tuple(names[name])) for name, one in chosen.items()]
    specs = {
        name: {
            "names": names[name],
            "hint": sight.memories[name].hint,
            "sweep": int(sight.answers[name].get("used") or 0) >= NEARLY_FULL * one.quota,
        }
        for name, one in chosen.items()
    }
    answers = _run_on_vaults(context, "set_aside", specs, ASIDE_SECONDS)
    return [_make_mended(chosen[name], answer) for name, answer in answers.items()]


def _is_missing(sight: Sight, repository: Repository) -> bool:
    return bool(sight.answers[repository.name].get("missing"))


def _make_mended(repository: Repository, answer: Mapping[str, Any]) -> Outcome:
    done = [str(one["name"]) for one in answer.get("aside") or ()]
    done += [f"locks/{one}" for one in answer.get("unlocked") or ()]
    if swept := (answer.get("swept") or {}).get("packs"):
        done.append(f"{swept} packs that no snapshot uses ({answer['swept']['bytes']} bytes)")
    return _make_outcome(repository, done=tuple(done), reason=str(answer["error"]))


def render_command(sites: Sequence[str]) -> str:
    """The command of a save, for people."""
    return shlex.join(make_command(sites))
