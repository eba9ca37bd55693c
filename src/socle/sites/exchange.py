"""One round trip with the agent of each host, through pyinfra: a fact to read, an operation to apply.

The agent and its payload go on standard input together. The object that carries them shows only its size,
because pyinfra prints the arguments of facts and operations.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase, get_fact
from pyinfra.api.operation import operation
from pyinfra.context import ctx_host

from socle.agent import COMMAND, make_agent, pack_payload, unpack_answer
from socle.errors import SocleError
from socle.remote import Remote, working_on

_AGENT = ("programs", "files", "reading", "index", "identity", "making", "shared", "applying", "main")
_PACKAGE = "socle.sites.agent"
_LINE = 8192


class AgentFailed(SocleError):
    """The agent of a host could not do anything."""


class Payload:
    """Text for a program's standard input that never shows itself. pyinfra reads it by `readlines`."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._text = pack_payload(data)

    def readlines(self) -> list[str]:
        """The agent on one line, then its payload."""
        cuts = range(0, len(self._text), _LINE)
        return [f"{make_agent(_PACKAGE, _AGENT)}\n", *(f"{self._text[cut : cut + _LINE]}\n" for cut in cuts)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.readlines())

    def __repr__(self) -> str:
        return f"<{len(self._text)} characters>"


def make_command() -> StringCommand:
    """Python, isolated from its environment, running what comes on standard input."""
    *program, source = COMMAND
    return StringCommand(*program, QuoteString(source))


def parse_answer(host: str, lines: Sequence[str], heard: str = "") -> dict[str, Any]:
    """The agent's answer. Raises AgentFailed when there is none, or it says so."""
    try:
        answer = unpack_answer("".join(lines))
    except ValueError:
        raise AgentFailed(f"{host}: the agent of sites did not answer: {heard or 'no reason given'}") from None
    if "failed" in answer:
        raise AgentFailed(f"{host}: {answer['failed']}")
    return answer


class SitesState(FactBase[list[str]]):
    """The state of all sites of a host, in one round trip."""

    def command(self) -> StringCommand:
        return make_command()

    def process(self, output: list[str]) -> list[str]:
        return output


@operation(is_idempotent=False)
def apply_sites(payload: Payload) -> Generator[StringCommand, None, None]:
    """All changes to the sites of a host, in one round trip."""
    command = make_command()
    command.connector_arguments["_stdin"] = payload
    yield command


def run_read(state: Remote, payloads: Mapping[str, Payload]) -> dict[str, dict[str, Any]]:
    """What each host answers to `read`, all in parallel. Raises AgentFailed."""

    def read(name: str) -> Sequence[str]:
        host = state.inventory.get_host(name)
        with ctx_host.use(host):
            return get_fact(state, host, SitesState, kwargs={"_stdin": payloads[name]}) or []

    answers = _run_parallel(state, payloads, read)
    for answer in answers.values():
        if isinstance(answer, SocleError):
            raise answer
    return {name: answer for name, answer in answers.items() if isinstance(answer, dict)}


def run_apply(state: Remote, payloads: Mapping[str, Payload]) -> dict[str, dict[str, Any] | SocleError]:
    """What each host answers to `apply`, all in parallel; the error of a host that could not do it."""

    def apply(name: str) -> Sequence[str]:
        with working_on(state, name):
            done = apply_sites(payload=payloads[name], name="Sites")
        return done.stdout_lines

    return _run_parallel(state, payloads, apply)


def _run_parallel(
    state: Remote, names: Iterable[str], action: Callable[[str], Sequence[str]]
) -> dict[str, dict[str, Any] | SocleError]:
    # Errors come back as values: gevent would print the traceback of an exception that leaves its pool.
    def attempt(name: str) -> dict[str, Any] | SocleError:
        try:
            return parse_answer(name, action(name), state.heard.errors_of(name))
        except SocleError as error:
            return error

    jobs = {name: state.pool.spawn(attempt, name) for name in names}
    return {name: job.get() for name, job in jobs.items()}
