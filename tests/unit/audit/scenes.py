"""A scene for tests of checks: a plan with two sites on one host, and answers given by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from socle.audit.answers import Answer, Answers, Ask
from socle.audit.check import OUTSIDE, Check
from socle.audit.finding import Finding
from socle.audit.not_checked import Listed, load_listed
from socle.audit.prove import make_items
from socle.audit.rounds import Rounds
from socle.audit.scene import Facts, Scene
from socle.errors import Unreachable
from socle.load.catalogue import load_catalogue
from socle.load.workspace import Workspace
from socle.model.plan import Input, Nic, Plan, Volume
from socle.model.platform import Platform
from tests.catalogue import site_samples
from tests.make import PLATFORM

REPOSITORY = Path(__file__).resolve().parents[3]
OPERATORS = [{"name": "alix", "ssh_keys": ["ssh-ed25519 AAAAalix a"]}]
NOW = 1_800_000_000.0
Reply = Callable[[str], Answer | str]


class Script:
    """A host that answers by a function of the command. Counts batches, remembers what it was asked."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.reply = reply
        self.batches: list[list[Ask]] = []

    def run(self, asks: Sequence[Ask]) -> list[Answer]:
        self.batches.append(list(asks))
        if self.reply is None:
            raise Unreachable("cannot ask it: no route")
        found = [self.reply(ask.command) for ask in asks]
        return [one if isinstance(one, Answer) else Answer(0, one) for one in found]

    def close(self) -> None:
        pass


def make_plan() -> Plan:
    """edge1 with public addresses, web1 with two WordPress sites and a volume."""
    one = site_samples.make_site(redirects=("www.xn--cole-9oa.example",))
    own = {"path": "/srv/sites/wp-amis", "unit": "socle-wp-amis.service", "domain": "amis.example"}
    two = site_samples.make_site(name="wp-amis", association="amis", uid=20001, database="wp_amis", **own)
    plan = site_samples.make_plan(one, two)
    edge, web = plan.hosts
    public = Nic(network="public", device="eth0", ipv4="192.0.2.10/24", ipv6="2001:db8::10/64")  # type: ignore[arg-type]
    anyone = Input(protocol="tcp", ports=(80, 443), sources=(), comment="anyone to edge")
    edges = Input(protocol="tcp", ports=(80,), sources=("10.64.2.10",), comment="edge to nginx")
    hosts = (
        edge.model_copy(update={"nics": (public, *edge.nics), "inputs": (anyone,)}),
        web.model_copy(update={"inputs": (edges,)}),
    )
    volume = Volume(name="wp-ecole", host="web1", path="/srv/sites/wp-ecole", size=1024**3, association="ecole")
    return plan.model_copy(update={"hosts": hosts, "volumes": (volume,)})


def make_scene(facts: Mapping[str, Callable[[], Any]] | None = None, lab: bool = True, state: Path = Path()) -> Scene:
    plan = make_plan()
    return Scene(
        plan=plan,
        platform=Platform.model_validate({**PLATFORM, "lab": lab, "operators": OPERATORS}),
        catalogue=load_catalogue(REPOSITORY / "stacks"),
        workspace=Workspace(REPOSITORY, "test", state),
        now=NOW,
        backends={name: Answers(name) for name in ("edge1", "web1", OUTSIDE)},
        facts=Facts(facts or {}),
    )


def run_checks(
    *checks: Check,
    answers: Mapping[str, Reply | None] | None = None,
    facts: Mapping[str, Callable[[], Any]] | None = None,
    listed: Listed | None = None,
    lab: bool = True,
    state: Path = Path(),
) -> list[Finding]:
    """The findings of these checks, when hosts answer so."""
    scene = make_scene(facts, lab, state)
    lines = {name: Script((answers or {}).get(name, lambda _: "")) for name in scene.backends}
    return Rounds(scene, lines, listed or load_listed()).run(make_items(checks, scene.plan))


def by_name(findings: Sequence[Finding]) -> dict[str, Finding]:
    """Findings by `host check`."""
    return {f"{one.host} {one.check}": one for one in findings}
