"""One connection to a host for a whole audit: a line of questions, a line of answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from socle.audit.answers import Answer, Ask
from socle.errors import Unreachable
from socle.load.workspace import Workspace
from socle.remote import make_ssh
from socle.runs.process import make_mortal

BATCH_SECONDS = 240.0
_RUNNER = Path(__file__).parent / "host/runner.py"


class Channel:
    """The runner on a host, started at the first question. Not to be shared between threads."""

    def __init__(self, host: str, command: Sequence[str]) -> None:
        self.host = host
        self._command = make_mortal(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._batch = 0

    def run(self, asks: Sequence[Ask]) -> list[Answer]:
        """The answer to each question. Raises Unreachable when the host does not give them in time, or
        says something else: no later answer could be told from an earlier one, so the connection ends."""
        process = self._process = self._process or self._start()
        self._batch += 1
        line = json.dumps([self._batch, [[ask.command, ask.stdin, ask.seconds] for ask in asks]])
        timer = threading.Timer(BATCH_SECONDS, process.kill)
        timer.start()
        try:
            writer, reader = _pipes(process)
            writer.write(line.encode() + b"\n")
            writer.flush()
            answer = reader.readline()
        except OSError:
            answer = b""
        finally:
            timer.cancel()
        if not answer.endswith(b"\n"):
            raise Unreachable(f"cannot ask {self.host}: {self._close()}")
        try:
            return parse_answers(answer, self._batch, len(asks))
        except ValueError as error:
            self._close()
            raise Unreachable(f"cannot ask {self.host}: {error}") from None

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe)

    def _close(self) -> str:
        """End the process; its last words."""
        process, self._process = self._process, None
        if process is None:
            return ""
        process.kill()
        _, errors = process.communicate()
        lines = errors.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"no answer within {BATCH_SECONDS:.0f} s"

    def close(self) -> None:
        """End the connection."""
        self._close()


def parse_answers(line: bytes, batch: int, count: int) -> list[Answer]:
    """The `count` answers to a batch, from a line of the runner: [batch, [[code, output, errors], …]]. Raises
    ValueError, with what is there instead."""
    try:
        number, answers = json.loads(line)
        if number != batch or len(answers) != count:
            raise ValueError("another batch")
        return [_make_answer(*one) for one in answers]
    except (ValueError, TypeError):
        shown = line[:80].decode(errors="replace").strip()
        said = f"something else than answers came from it ({shown!r}): does a file of its shell (.bashrc) write?"
        raise ValueError(said) from None


def _make_answer(code: Any, output: Any, errors: Any) -> Answer:
    if not (isinstance(code, int) and isinstance(output, str) and isinstance(errors, str)):
        raise TypeError("expected a number and two texts")
    return Answer(code, output, errors)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise OSError("no pipes")
    return process.stdin, process.stdout


def open_channel(workspace: Workspace, host: str) -> Channel:
    """To a host, over SSH."""
    return Channel(host, make_ssh(workspace, host, ["python3", "-I", "-c", _RUNNER.read_text()]))


def open_local() -> Channel:
    """To this machine, which looks at sites from outside where no host is made for that."""
    return Channel("this machine", [sys.executable, "-I", "-c", _RUNNER.read_text()])
