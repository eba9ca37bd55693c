"""What there is, against what is wanted: differences and refusals, before Pulumi is started."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from socle.errors import Problem
from socle.incus import kinds, marker, records, registry
from socle.incus.client import IncusClient
from socle.incus.listing import Cache
from socle.stages.hosts_resources import Wanted


class Survey:
    """The live state of everything wanted, by one list call per kind (and one transfer per zone)."""

    def __init__(self, client: IncusClient, environment: str, server: records.DnsServer | None) -> None:
        self.cache = Cache(client)
        self._environment = environment
        self._has_dns = server is not None
        self._kinds = registry.make_kinds(client, self.cache, environment, server)

    def _observe(self, wanted: Wanted) -> kinds.State | None:
        if wanted.type == "RecordSet" and not self._has_dns:
            return None
        kind = self._kinds[wanted.type]
        observed = kind.observe(kind.identify(wanted.inputs))
        return kinds.restrict_config(observed, wanted.inputs) if observed else None

    def has_drifted(self, stack: Iterable[Wanted]) -> bool:
        """Whether something of the stack is missing, or is not as wanted."""
        for wanted in stack:
            observed = self._observe(wanted)
            if observed is None:
                return True
            if kinds.find_differences(observed, wanted.inputs, self._kinds[wanted.type].compared):
                return True
        return False

    def find_refusals(self, stack: Iterable[Wanted]) -> Iterator[Problem]:
        """What must not be done: taking a namesake that is not ours, making a volume smaller."""
        for wanted in stack:
            observed = self._observe(wanted)
            if observed is not None:
                yield from _find_namesake(wanted, observed, self._environment)
                yield from _find_shrink(wanted, observed)

    def find_orphans(self, hosts: Iterable[str], running: bool = True) -> list[str]:
        """Hosts of ours that the plan no longer has: those that run, or those that do not."""
        kept = {f"host:{name}" for name in hosts}
        return sorted(
            name
            for name, found in self.cache.instances().items()
            if marker.is_ours(found, self._environment)
            and found["config"].get(marker.OWNER, "").startswith("host:")
            and found["config"][marker.OWNER] not in kept
            and (found["status"] == "Running") == running
        )


def _find_namesake(wanted: Wanted, observed: kinds.State, environment: str) -> Iterator[Problem]:
    if wanted.type == "RecordSet":
        if observed["environment"] != environment:
            yield records.make_namesake_problem(f"{observed['zone']}/{observed['name']}/{observed['type']}")
    elif wanted.type != "Attachment" and not marker.is_ours(observed, environment):
        yield marker.make_namesake_problem(registry.NOUNS[wanted.type], observed["name"])


def _find_shrink(wanted: Wanted, observed: kinds.State) -> Iterator[Problem]:
    have, want = observed.get("size"), wanted.inputs.get("size")
    if wanted.type == "Volume" and have and want and int(want) < int(have):
        yield kinds.make_shrink_problem(wanted.name, int(have), int(want))


@cache
def load_code_digest(platform: Path) -> str:
    """Digest of the programs that make resources: another version of socle trusts no stamp of this one."""
    here = Path(__file__).resolve().parent
    files = [*here.glob("hosts*.py"), *(here.parent / "incus").glob("*.py"), *platform.glob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()
