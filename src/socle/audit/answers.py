"""testinfra over answers that are already known: what is not known yet is noted, to be asked together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult  # type: ignore[import-untyped]
from testinfra.host import Host  # type: ignore[import-untyped]

from socle.audit.check import Failed

COMMAND_SECONDS = 100.0
"""What a command may take. None needs a tenth of it, unless the machine has much else to do."""


class Missing(BaseException):
    """An answer is not there yet. Not an Exception: no `except` of a check or of testinfra may take it."""


@dataclass(frozen=True)
class Ask:
    """A shell command to run on a host as root, and what it reads."""

    command: str
    stdin: str = ""
    seconds: float = COMMAND_SECONDS


@dataclass(frozen=True)
class Answer:
    """How a command ended; 124 when it took too long."""

    code: int
    output: str = ""
    errors: str = ""


class Unanswered(Exception):
    """The host cannot be asked: its words."""


class Answers(BaseBackend):  # type: ignore[misc]
    """testinfra's backend of one host. `known` may be filled while checks run; `wanted` is what to ask next."""

    NAME = "answers"

    def __init__(self, hostname: str, known: Mapping[Ask, Answer] | None = None) -> None:
        super().__init__(hostname)
        self.known: dict[Ask, Answer] = dict(known or {})
        self.wanted: dict[Ask, None] = {}
        self.lost = ""
        """Why the host cannot be asked; empty when it can."""

    def run(self, command: str, *args: str, **options: Any) -> CommandResult:
        seconds = options.get("seconds", COMMAND_SECONDS)
        ask = Ask(self.get_command(command, *args), options.get("stdin", ""), seconds)
        answer = self.known.get(ask)
        if answer is not None:
            return self.result(answer.code, ask.command.encode(), answer.output, answer.errors)
        if self.lost:
            raise Unanswered(self.lost)
        self.wanted[ask] = None
        raise Missing

    def get_encoding(self) -> str:
        """Asked of no host: answers are text already."""
        return "utf-8"


class Remote(Host):  # type: ignore[misc]
    """testinfra's host, whose failures are words for people."""

    def check_output(self, command: str, *args: str, **options: Any) -> str:
        """The output of a command that must succeed. Raises Failed."""
        result = self.run(command, *args, **options)
        if result.rc:
            said = (result.stderr or result.stdout).strip()[-300:]
            raise Failed(f"not checked: `{self.backend.get_command(command, *args)}` ended with {result.rc}: {said}")
        return str(result.stdout).rstrip("\r\n")


def make_host(backend: Answers) -> Remote:
    """testinfra's host over these answers."""
    host = Remote(backend)
    backend.set_host(host)
    return host
