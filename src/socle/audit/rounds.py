"""Runs checks: judges all with the answers there are, asks together what they lacked, and begins again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from socle.audit.answers import Answer, Ask, Missing, Unanswered
from socle.audit.check import Check, Failed, Found, NotChecked, Subject
from socle.audit.finding import Finding, Status
from socle.audit.not_checked import Listed
from socle.audit.scene import Scene
from socle.errors import SocleError

_LONGEST = 1000
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class Line(Protocol):
    """How a host is asked."""

    def run(self, asks: Sequence[Ask]) -> list[Answer]: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Item:
    """A check of one subject."""

    check: Check
    subject: Subject

    @property
    def name(self) -> str:
        return f"{self.check.kind}:{self.subject.label}" if self.subject.label else self.check.kind


def judge(item: Item, scene: Scene, listed: Listed) -> list[Finding]:
    """The findings of one check. Raises Missing when an answer is not there yet."""

    def make(status: Status, evidence: str) -> list[Finding]:
        remedy = "" if status is Status.PASSED else item.check.remedy
        return [_make(item.subject.host, item.name, status, evidence, remedy)]

    try:
        return make(Status.PASSED, item.check.judge(scene, item.subject.thing))
    except NotChecked as error:
        why = listed.find(item.check.kind, error.capability, scene.platform)
        if why:
            return make(Status.NOT_CHECKED, f"{error}; {why}")
        return make(Status.FAILED, f"not checked: {error} (missing: {error.capability}, which is not on the list)")
    except Found as error:
        kind, remedy = item.check.kind, item.check.remedy
        return [_make(host, f"{kind}:{label}", Status.FAILED, text, remedy) for host, label, text in error.things]
    except Unanswered as error:
        return make(Status.FAILED, f"not checked: {error}")
    except (Failed, AssertionError, SocleError) as error:
        return make(Status.FAILED, str(error))
    except Exception as error:
        # What cannot be understood proves nothing.
        return make(Status.FAILED, f"not checked: {type(error).__name__}: {error}")


def _make(host: str, name: str, status: Status, evidence: str, remedy: str) -> Finding:
    # What comes from a host may be an attacker's: no control character reaches a terminal.
    text = _CONTROL.sub("\ufffd", evidence.strip())
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return Finding(host=host, check=name, status=status, evidence=shown, remedy=remedy)


class Rounds:
    """The rounds of one audit. `lines`: how each host is asked."""

    def __init__(self, scene: Scene, lines: Mapping[str, Line], listed: Listed) -> None:
        self._scene, self._lines, self._listed = scene, lines, listed
        self._flying: dict[Future[Any], str] = {}

    def run(self, items: Iterable[Item]) -> list[Finding]:
        """The findings of all checks."""
        left, found = list(items), list[Finding]()
        with ThreadPoolExecutor(len(self._lines) + len(self._scene.facts.loaders) + 1) as pool:
            try:
                while True:
                    left = list(self._judge_all(left, found))
                    self._send(pool)
                    if not left:
                        return found
                    self._receive()
            finally:
                for line in self._lines.values():
                    line.close()

    def _judge_all(self, items: Sequence[Item], found: list[Finding]) -> Iterator[Item]:
        for item in items:
            try:
                found += judge(item, self._scene, self._listed)
            except Missing:
                yield item

    def _send(self, pool: ThreadPoolExecutor) -> None:
        """Ask each host that is not answering something already, and begin to read what else is wanted."""
        busy = set(self._flying.values())
        for name, backend in self._scene.backends.items():
            if name in busy or backend.lost:
                continue  # What it is answering is wanted again meanwhile; what is lost is not asked again.
            asks = [ask for ask in backend.wanted if ask not in backend.known]
            backend.wanted.clear()
            if asks:
                self._flying[pool.submit(self._ask, name, asks)] = name
        facts = self._scene.facts
        for fact in facts.wanted:
            if fact not in facts.futures:
                facts.futures[fact] = pool.submit(facts.loaders[fact])
                self._flying[facts.futures[fact]] = f"fact {fact}"
        facts.wanted.clear()

    def _ask(self, host: str, asks: Sequence[Ask]) -> None:
        backend = self._scene.backends[host]
        try:
            backend.known.update(zip(asks, self._lines[host].run(asks), strict=True))
        except SocleError as error:
            backend.lost = str(error)
        except Exception as error:
            # Nobody reads this future: what stayed in it would be asked again without end.
            backend.lost = f"its answers are not understood: {type(error).__name__}: {error}"

    def _receive(self) -> None:
        """Wait for something that was asked."""
        if not self._flying:
            raise RuntimeError("a check waits for an answer that nobody was asked for")
        done, _ = wait(self._flying, return_when=FIRST_COMPLETED)
        for future in done:
            del self._flying[future]
