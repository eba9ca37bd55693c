"""Checks run again on what is known, until nothing is missing; what cannot be known is never green."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from socle.audit.answers import Answer, Ask
from socle.audit.check import Found, NotChecked, check, expect, hosts, platform
from socle.audit.finding import Status
from socle.audit.not_checked import Entry, Listed
from socle.audit.prove import make_items
from socle.audit.rounds import Rounds
from socle.audit.scene import Scene
from socle.errors import Unreachable
from tests.unit.audit.scenes import Script, by_name, make_scene, run_checks


@check("chain", each=hosts, remedy="mend it")
def chain(scene: Scene, host: Any) -> str:
    """One answer leads to the next question."""
    first = scene.on(host.name).check_output("first")
    return f"{first} {scene.on(host.name).check_output('second %s', first)}"


@check("twin", each=hosts, remedy="mend it")
def twin(scene: Scene, host: Any) -> str:
    """Asks what another asks too."""
    return str(scene.on(host.name).check_output("first"))


def test_questions_go_together_and_each_is_asked_once() -> None:
    scene = make_scene()
    lines = {name: Script(lambda command: f"<{command}>") for name in scene.backends}
    found = Rounds(scene, lines, Listed(())).run(make_items([chain, twin], scene.plan))
    assert by_name(found)["web1 chain"].evidence == "<first> <second '<first>'>"
    for name in ("edge1", "web1"):
        assert [[ask.command for ask in batch] for batch in lines[name].batches] == [["first"], ["second '<first>'"]]
    assert lines["outside"].batches == []


def test_a_host_that_does_not_answer_is_failed_and_stops_no_other() -> None:
    found = by_name(run_checks(chain, answers={"web1": None, "edge1": lambda command: command}))
    assert found["edge1 chain"].status is Status.PASSED
    assert found["web1 chain"].status is Status.FAILED
    assert "not checked: cannot ask it: no route" in found["web1 chain"].evidence


class Garbled(Script):
    """A host whose answers are not answers. Whoever asks without end is told in the end."""

    def __init__(self, answers: Callable[[], list[Answer]]) -> None:
        super().__init__()
        self.answers = answers

    def run(self, asks: Sequence[Ask]) -> list[Answer]:
        self.batches.append(list(asks))
        if len(self.batches) > 9:
            raise Unreachable("asked without end")
        return self.answers()


def _raise() -> list[Answer]:
    raise TypeError("Answer.__init__() takes from 2 to 4 positional arguments")


@pytest.mark.parametrize(
    ("answers", "words"), [(list, "ValueError: zip() argument 2 is shorter"), (_raise, "TypeError: Answer")]
)
def test_a_host_that_gives_no_answers_is_lost_and_the_audit_ends(
    answers: Callable[[], list[Answer]], words: str
) -> None:
    scene = make_scene()
    lines = {"edge1": Script(lambda command: command), "web1": Garbled(answers), "outside": Script()}
    found = by_name(Rounds(scene, lines, Listed(())).run(make_items([chain, twin], scene.plan)))
    assert found["edge1 chain"].status is Status.PASSED
    for name in ("web1 chain", "web1 twin"):
        assert found[name].status is Status.FAILED
        assert found[name].evidence.startswith(f"not checked: its answers are not understood: {words}")
    assert len(lines["web1"].batches) == 1


def test_a_failing_command_fails_its_check_with_its_words() -> None:
    found = run_checks(twin, answers=dict.fromkeys(("edge1", "web1"), lambda _: Answer(3, "", "broken pipe")))
    assert {one.status for one in found} == {Status.FAILED}
    assert "broken pipe" in found[0].evidence
    assert found[0].remedy == "mend it"


@check("clock", each=platform, remedy="mend it")
def clock(_scene: Scene, _plan: Any) -> str:
    """Cannot be checked."""
    raise NotChecked("own-clock", "seen so far")


@pytest.mark.parametrize(
    ("entry", "lab", "status"),
    [
        (Entry(check="clock", capability="own-clock", because="why"), False, Status.NOT_CHECKED),
        (Entry(check="clock", capability="own-clock", where="lab", because="why"), True, Status.NOT_CHECKED),
        (Entry(check="clock", capability="own-clock", where="lab", because="why"), False, Status.FAILED),
        (Entry(check="clock", capability="another", because="why"), True, Status.FAILED),
        (Entry(check="updates", capability="own-clock", because="why"), True, Status.FAILED),
    ],
)
def test_only_what_the_list_names_may_stay_unchecked(entry: Entry, lab: bool, status: Status) -> None:
    (found,) = run_checks(clock, listed=Listed((entry,)), lab=lab)
    assert found.status is status
    assert "seen so far" in found.evidence
    assert ("why" in found.evidence) == (status is Status.NOT_CHECKED)


@check("broken", each=platform, remedy="mend it")
def broken(_scene: Scene, _plan: Any) -> str:
    """A defect of the check itself, or an answer nobody foresaw."""
    return str({}["key"])


def test_what_is_not_understood_is_not_green() -> None:
    (found,) = run_checks(broken)
    assert found.status is Status.FAILED
    assert found.evidence == "not checked: KeyError: 'key'"


@check("things", each=platform, remedy="mend it")
def things(_scene: Scene, _plan: Any) -> str:
    """Finds what no plan names."""
    raise Found([("web1", "one", "seen 1"), ("edge1", "two", "seen 2")])


def test_each_thing_found_is_a_finding_of_its_own() -> None:
    found = run_checks(things)
    assert [(one.host, one.check, one.status) for one in found] == [
        ("web1", "things:one", Status.FAILED),
        ("edge1", "things:two", Status.FAILED),
    ]


@check("fact", each=platform, remedy="mend it")
def fact(scene: Scene, _plan: Any) -> str:
    """Reads what the controller knows."""
    expect(scene.fact("number") == 7, "not 7")
    return "7"


def test_facts_are_read_once_and_their_failures_are_findings() -> None:
    read: list[int] = []

    def load() -> int:
        read.append(1)
        return 7

    def fail() -> int:
        raise Unreachable("Incus does not answer")

    assert [one.status for one in run_checks(fact, fact, facts={"number": load})] == [Status.PASSED] * 2
    assert read == [1]
    (found,) = run_checks(fact, facts={"number": fail})
    assert (found.status, found.evidence) == (Status.FAILED, "Incus does not answer")


def test_a_host_writes_nothing_to_the_terminal() -> None:
    found = run_checks(twin, answers=dict.fromkeys(("edge1", "web1"), lambda _: "a\x1b[2Jb\nc"))
    assert found[0].evidence == "a\ufffd[2Jb\nc"


def test_evidence_has_an_end() -> None:
    found = run_checks(twin, answers=dict.fromkeys(("edge1", "web1"), lambda _: "x" * 5000))
    assert len(found[0].evidence) == 1001
