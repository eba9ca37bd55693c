"""Names that do not lead to the edge: no certificate can be had for them, and visitors go elsewhere (case B5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.resolver

from socle.model.plan import Plan, Site
from socle.runs.talk import Talk

Lookup = Callable[[str, str], Sequence[str] | None]
"""From a name and a type (A, AAAA) to addresses; None when no answer could be had."""
_SECONDS = 3.0
_PARALLEL = 16


def load_addresses(name: str, kind: str) -> Sequence[str] | None:
    """What this machine's resolver says."""
    try:
        return [record.to_text() for record in dns.resolver.resolve(f"{name}.", kind, lifetime=_SECONDS)]
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException:
        return None


def find_foreign_names(plan: Plan) -> Iterator[tuple[Site, str]]:
    """Names whose records are not the plan's own: their owner makes them, and may be late or mistaken."""
    own = {record.name for record in plan.records}
    for site in plan.sites:
        for name in (site.domain, *site.redirects):
            if name not in own:
                yield site, name


def find_warnings(plan: Plan, lookup: Lookup = load_addresses) -> list[str]:
    """One line per name that does not lead to the edge, with the record to mend."""
    names = list(find_foreign_names(plan))
    nics = [nic for host in plan.role("edge") for nic in host.nics if nic.network == "public"]
    right = {
        "A": {str(nic.ipv4.ip) for nic in nics},
        "AAAA": {str(nic.ipv6.ip) for nic in nics if nic.ipv6},
    }
    with ThreadPoolExecutor(_PARALLEL) as pool:
        answers = pool.map(lambda one: {kind: lookup(one[1], kind) for kind in right}, names)
        return [
            f"{site.name}: {name}: {problem}"
            for (site, name), found in zip(names, answers, strict=True)
            for problem in make_problems(found, right)
        ]


def make_problems(found: dict[str, Sequence[str] | None], right: dict[str, set[str]]) -> Iterator[str]:
    """What is wrong with a name's records. An answer that could not be had says nothing."""
    if None in found.values():
        yield "its DNS does not answer: not checked"
        return
    if not any(found.values()):
        yield f"expected a record A {', '.join(sorted(right['A']))}: it has no address, hence no certificate"
    for kind, values in found.items():
        if foreign := sorted(set(values or ()) - right[kind]):
            expected = ", ".join(sorted(right[kind])) or "none"
            yield f"{kind} leads to {', '.join(foreign)}, expected {expected}"


def run_check(plan: Plan, talk: Talk) -> None:
    """Tell about each of them."""
    for warning in find_warnings(plan):
        talk.say(f"  {warning}")
