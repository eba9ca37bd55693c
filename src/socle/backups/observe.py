"""Observing: what the vaults show, what the hosting hosts recorded, and the verdicts that follow.

Hosts are asked first: an attempt that they call complete must then be on the vault. What never changes is read once
and remembered, so that asking again is quick.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from socle.backups.facts import (
    Attempt,
    Expected,
    Facts,
    Lock,
    Observed,
    Snapshot,
    find_newest,
    parse_attempt,
    parse_facts,
)
from socle.backups.memory import Memory, load_memory, run_publish, run_remember
from socle.backups.own import ASSOCIATION, SITE, load_own_attempt, make_expected_platform
from socle.backups.verdict import Verdict, is_good, make_unknown, make_verdict
from socle.errors import Problem, Refused, SocleError
from socle.load.workspace import Workspace
from socle.model.plan import Plan, Repository
from socle.remote import run_ssh
from socle.stages.base import Context
from socle.vault.exchange import run_vault

STAGING = "/var/lib/socle/backups/staging"
READ_SECONDS = 1800.0
"""Once: many repositories of which nothing is known yet."""
_ASK_SECONDS = 30.0
_PARALLEL = 16
_SAID_BYTES = 8 * 1024**2
"""More than the last attempts of all sites of a host."""
_ATTEMPTS = """
import json, pathlib
found = {}
for path in sorted(pathlib.Path("/var/lib/socle/backups/results").glob("*.json"))[:2000]:
    try:
        with path.open("rb") as stream:
            record = json.loads(stream.read(1048576))
        names = {"result", "reason", "snapshot", "began", "ended"} & record.keys()
        found[path.stem] = {name: record[name] for name in names}
    except FileNotFoundError:
        continue
    except Exception:
        found[path.stem] = None
print(json.dumps(found))
"""
_UNREAD = Attempt(result="failed", reason="what its host recorded of it cannot be read")
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Sight:
    """All that was seen at a moment: verdicts in the order of what is expected; and of each repository what is
    remembered, and what the vault answered now."""

    expected: tuple[Expected, ...]
    verdicts: tuple[Verdict, ...]
    observed: Mapping[str, Observed]
    memories: Mapping[str, Memory]
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def verdict(self, site: str) -> Verdict:
        """The verdict on a site. KeyError when it is not expected."""
        return next(one for one in self.verdicts if one.site == site)


def make_expected(context: Context) -> tuple[Expected, ...]:
    """The sites that should be saved, by their services' declarations, and the platform itself. Pure."""
    found = []
    for site in context.plan.sites:
        service = context.catalogue[site.service].service
        if service.state is None:
            continue
        repository = context.plan.repository(site.association)
        found.append(
            Expected(
                association=site.association,
                site=site.name,
                service=site.service,
                host=site.host,
                repository=repository.name if repository else "",
                quota=repository.quota if repository else 0,
                folder=site.path,
                staging=f"{STAGING}/{site.name}",
                database=site.database is not None,
                sqlite=service.state.sqlite,
            )
        )
    if platform := context.plan.repository(ASSOCIATION):
        found.append(make_expected_platform(context.workspace, platform))
    return tuple(found)


def load_verdicts(context: Context, now: float | None = None) -> list[Verdict]:
    """The verdict on every expected site, read from the vaults now. Never raises for what cannot be reached: it is
    then unknown."""
    return list(load_sight(context, now).verdicts)


def load_sight(context: Context, now: float | None = None) -> Sight:
    """Everything that is seen, verdicts included; what was learned is remembered."""
    expected = make_expected(context)
    attempts, silent = load_attempts(context.workspace, expected)
    if own := load_own_attempt(context.workspace):
        attempts[SITE] = own
    memories = {one.name: load_memory(context.workspace, one.name) for one in context.plan.repositories}
    answers = load_answers(context, expected, memories)
    moment = time.time() if now is None else now
    for name in answers:
        memories[name], answers[name] = make_learned(memories[name], answers[name])
    memories = make_heard(expected, memories, attempts, moment)
    judgements = {
        one.site: _judge(context.plan, one, memories, answers, attempts, silent.get(one.host, ""), moment)
        for one in expected
    }
    verdicts = tuple(one.verdict for one in judgements.values())
    observed = {site: one.observed for site, one in judgements.items()}
    memories = make_judged(expected, observed, {site: one.is_good for site, one in judgements.items()}, memories)
    memories = {name: run_keep(context.workspace, name, memory) for name, memory in memories.items()}
    run_publish(context.workspace, verdicts, moment)
    return Sight(expected, verdicts, observed, memories, answers)


def run_keep(workspace: Workspace, repository: str, memory: Memory) -> Memory:
    """Remember what was read. What a verification found and what a person accepted is theirs to say: it is kept as it
    is by now."""

    def change(now: Memory) -> Memory:
        return memory.model_copy(update={"check": now.check, "accepted": now.accepted})

    return run_remember(workspace, repository, change)


class _Judgement(NamedTuple):
    observed: Observed
    verdict: Verdict
    is_good: bool


def _judge(
    plan: Plan,
    expected: Expected,
    memories: Mapping[str, Memory],
    answers: Mapping[str, Mapping[str, Any]],
    attempts: Mapping[str, Attempt],
    silent: str,
    now: float,
) -> _Judgement:
    """What is known of a site, and what that proves. Never raises: a fault of ours, or of what somebody wrote, is of
    this site alone, and its verdict says so."""
    repository = next((one for one in plan.repositories if one.name == expected.repository), None)
    try:
        observed = make_observed(expected, repository, memories, answers, silent)
        last = find_attempt(expected, memories, attempts)
        verdict = make_verdict(expected, observed, last, plan.policy, plan.timezone, now)
        return _Judgement(observed, verdict, is_good(expected, observed, last, plan.policy))
    except Exception as error:
        return _Judgement(Observed(error=repr(error)), make_unknown(expected, error), is_good=False)


# The hosting hosts.


def load_attempts(workspace: Workspace, expected: Iterable[Expected]) -> tuple[dict[str, Attempt], dict[str, str]]:
    """The last attempt of each site, from all hosts at once; and why a host could not be asked. A host speaks of the
    sites that live on it, and of no other."""
    hosts: dict[str, set[str]] = {}
    for one in expected:
        if one.host:
            hosts.setdefault(one.host, set()).add(one.site)

    def ask(host: str) -> dict[str, Attempt] | str:
        command = ["python3", "-I", "-c", _ATTEMPTS]
        try:
            result = run_ssh(workspace, host, command, timeout=_ASK_SECONDS, limit=_SAID_BYTES)
            return parse_attempts(result.stdout, hosts[host])
        except SocleError as error:
            return str(error)
        except ValueError:
            return f"{host} did not say: {result.stderr.decode(errors='replace').strip()[-200:]}"

    attempts: dict[str, Attempt] = {}
    silent: dict[str, str] = {}
    for host, answer in run_parallel(sorted(hosts), ask).items():
        if isinstance(answer, str):
            silent[host] = answer
        else:
            attempts.update(answer)
    return attempts, silent


def parse_attempts(output: bytes, sites: Iterable[str]) -> dict[str, Attempt]:
    """What a host says of the last attempts of its sites. A record that cannot be read is a failed attempt: what it
    says may be that all is not well. Raises ValueError when nothing can be read. Pure."""
    try:
        told = json.loads(output)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(told, dict):
        raise ValueError("expected an object")
    return {site: parse_attempt(told[site]) or _UNREAD for site in sites if site in told}


def run_parallel(names: Sequence[K], action: Callable[[K], V]) -> dict[K, V]:
    """What `action` gives for each name, some at a time."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip(names, pool.map(action, names), strict=True))


# The vaults.


def load_answers(
    context: Context, expected: Sequence[Expected], memories: Mapping[str, Memory]
) -> dict[str, Mapping[str, Any]]:
    """What the vaults say of each repository, all vaults at once. A vault that cannot be asked is an error of each of
    its repositories."""
    hosts: dict[str, dict[str, Any]] = {}
    for repository in context.plan.repositories:
        spec = make_spec(context, repository, expected, memories[repository.name])
        hosts.setdefault(repository.host, {})[repository.name] = spec

    def ask(host: str) -> dict[str, Mapping[str, Any]]:
        payload = {"mode": "read", "repositories": hosts[host]}
        try:
            answers = run_vault(context.workspace, host, payload, timeout=READ_SECONDS)["repositories"]
            return {name: answers[name] for name in hosts[host]}
        except SocleError as error:
            return {name: {"error": f"the vault does not answer: {error}"} for name in hosts[host]}

    return {name: one for answers in run_parallel(sorted(hosts), ask).values() for name, one in answers.items()}


def make_spec(context: Context, repository: Repository, expected: Sequence[Expected], memory: Memory) -> dict[str, Any]:
    """What the agent is asked of a repository, and what is known of it already."""
    own = [one for one in expected if one.repository == repository.name]
    newest = {one.site: find_newest(_of_site(memory.snapshots, one.site)) for one in own}
    known = {site: one.id for site, one in newest.items() if one and one.id in memory.facts}
    return {
        "path": repository.path,
        "key": context.secrets.repository(repository.name).get("key", ""),
        "sites": {one.site: {"folder": one.folder, "staging": one.staging} for one in own},
        "known": known,
        "before": [one.site for one in own if memory.good.get(one.site) not in memory.facts],
        "stamp": memory.stamp if len(known) == sum(one is not None for one in newest.values()) else "",
        "hint": memory.hint,
    }


def _of_site(snapshots: Iterable[Snapshot], site: str) -> list[Snapshot]:
    return [one for one in snapshots if one.site == site]


def make_learned(memory: Memory, answer: Mapping[str, Any]) -> tuple[Memory, Mapping[str, Any]]:
    """What is remembered after an answer, and the answer: one that is as nobody foresaw is an error. Pure."""
    try:
        return make_memory(memory, answer), answer
    except Exception as error:
        return memory, {"error": f"unexpected answer of the vault: {error!r}"}


def make_memory(memory: Memory, answer: Mapping[str, Any]) -> Memory:
    """What is remembered after an answer. What the vault could not read changes nothing of what is known. Pure."""
    if answer.get("unchanged"):
        return memory.model_copy(update={"used": answer["used"], "hint": answer["hint"]})
    if answer.get("error"):
        return memory
    snapshots = tuple(_parse_snapshots(answer["snapshots"]))
    read = [parse_facts(one) for one in (*answer["latest"].values(), *answer["before"].values())]
    facts = {**memory.facts, **{one.snapshot: one for one in read if one and one.listed}}
    wanted = {one.id for one in snapshots} | set(memory.good.values())
    return memory.model_copy(
        update={
            "stamp": answer["stamp"],
            "hint": answer["hint"],
            "used": answer["used"],
            "snapshots": snapshots,
            "foreign": tuple(name for name in answer["foreign"] if name.startswith(("index/", "snapshots/"))),
            "facts": {name: one for name, one in facts.items() if name in wanted},
            "bad": tuple(one for one in memory.bad if one in wanted),
        }
    )


def _parse_snapshots(data: Sequence[Any]) -> Iterable[Snapshot]:
    for one in data:
        try:
            yield Snapshot.model_validate(one)
        except ValidationError:
            continue


def make_heard(
    expected: Sequence[Expected], memories: Mapping[str, Memory], attempts: Mapping[str, Attempt], now: float
) -> dict[str, Memory]:
    """Memories with the attempts that were heard of now, each with when it was first. Pure."""
    heard = dict(memories)
    for one in expected:
        if one.repository not in heard or one.site not in attempts:
            continue
        memory, attempt = heard[one.repository], attempts[one.site]
        known = memory.attempts.get(one.site)
        if known is None or not attempt.is_same(known):
            new = attempt.model_copy(update={"seen": now})
            heard[one.repository] = memory.model_copy(update={"attempts": {**memory.attempts, one.site: new}})
    return heard


def find_attempt(expected: Expected, memories: Mapping[str, Memory], attempts: Mapping[str, Attempt]) -> Attempt | None:
    """The last attempt of a site. One that its host no longer knows, or could not be asked of, counts until a snapshot
    arrives after it was heard of: a failure stays until it is mended. Pure."""
    if expected.site in attempts:
        return attempts[expected.site]
    memory = memories.get(expected.repository, Memory())
    known = memory.attempts.get(expected.site)
    newest = find_newest(_of_site(memory.snapshots, expected.site))
    if known is None or known.result == "complete" or (newest and newest.arrival > known.seen):
        return None
    return known


def make_observed(
    expected: Expected,
    repository: Repository | None,
    memories: Mapping[str, Memory],
    answers: Mapping[str, Mapping[str, Any]],
    silent: str,
) -> Observed:
    """What is known of a site's backups. Pure."""
    if repository is None:
        return Observed(silent=silent)
    memory, answer = memories[repository.name], answers.get(repository.name, {"error": "nobody asked"})
    own = tuple(_of_site(memory.snapshots, expected.site))
    newest = find_newest(own)
    facts = memory.facts.get(newest.id) if newest else None
    latest = (answer.get("latest") or {}).get(expected.site) or {}
    if newest and facts is None:
        read = parse_facts(latest)
        facts = Facts(snapshot=newest.id, error=(read.error if read else "") or str(answer.get("error") or ""))
    good = memory.good.get(expected.site, "")
    is_good = newest is not None and good == newest.id
    before = None if is_good else memory.facts.get(good) or _find_before(memory, own)
    return Observed(
        error=str(answer.get("error") or ""),
        missing=bool(answer.get("missing")),
        used=int(answer.get("used") or memory.used),
        locks=tuple(Lock.model_validate(one) for one in answer.get("locks") or ()),
        foreign=find_foreign(repository, memory, answer),
        snapshots=own,
        facts=facts,
        before=before,
        accepted=good if is_good else memory.accepted.get(expected.site, ""),
        damage=memory.check.reason if memory.check else "",
        silent=silent,
    )


def _find_before(memory: Memory, own: Sequence[Snapshot]) -> Facts | None:
    """What is known of the snapshot before the newest."""
    ordered = sorted(own, key=lambda one: (one.arrival, one.id))
    return memory.facts.get(ordered[-2].id) if len(ordered) > 1 else None


def find_foreign(repository: Repository, memory: Memory, answer: Mapping[str, Any]) -> tuple[str, ...]:
    """What in a repository is not ours: what restic cannot read, and snapshots of sites that it was not made for."""
    sites = {*repository.sites, *((SITE,) if repository.association == ASSOCIATION else ())}
    strange = {f"snapshots/{one.id}" for one in memory.snapshots if one.site not in sites}
    kept = memory.foreign if answer.get("unchanged") else ()
    return tuple(sorted({*strange, *kept, *(str(name) for name in answer.get("foreign") or ())}))


def make_judged(
    expected: Sequence[Expected],
    observed: Mapping[str, Observed],
    good: Mapping[str, bool],
    memories: Mapping[str, Memory],
) -> dict[str, Memory]:
    """Memories that know which of the newest snapshots are good in themselves, and which are not. Pure."""
    judged = dict(memories)
    for one in expected:
        memory, newest = judged.get(one.repository), observed[one.site].newest
        if memory is None or newest is None or newest.id not in memory.facts:
            continue
        bad = {*memory.bad, newest.id}
        if good[one.site]:
            bad = bad - {newest.id}
        elif memory.good.get(one.site) == newest.id:
            continue  # it was good by what was known before it: what came later does not change what it holds
        update: dict[str, Any] = {"bad": tuple(sorted(bad))}
        if good[one.site]:
            update["good"] = {**memory.good, one.site: newest.id}
        judged[one.repository] = memory.model_copy(update=update)
    return judged


def run_accept(context: Context, sight: Sight, site: str) -> str:
    """Take the newest snapshot of a site for good, though it is far smaller than the one before. Its id; empty when it
    has none. Raises Refused when it has no repository."""
    expected = next(one for one in sight.expected if one.site == site)
    if expected.repository not in sight.memories:
        sentence = f"expected a site that a vault has a repository for, found {site}"
        remedy = "declare a host with the role vault, then run: socle apply"
        raise Refused([Problem("SITE", 0, "", sentence, remedy)])
    memory = sight.memories[expected.repository]
    newest = find_newest(_of_site(memory.snapshots, site))
    if newest is None:
        return ""

    def change(now: Memory) -> Memory:
        return now.model_copy(update={"accepted": {**now.accepted, site: newest.id}})

    run_remember(context.workspace, expected.repository, change)
    return newest.id
