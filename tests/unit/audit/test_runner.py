"""The program that runs on hosts, run here: answers in order, bounded in time, nothing left running."""

from __future__ import annotations

import sys
import time

import psutil
import pytest

from socle.audit.answers import Answer, Ask
from socle.audit.channel import _RUNNER, Channel, open_local, parse_answers
from socle.errors import Unreachable


def test_answers_come_in_order_over_one_process() -> None:
    channel = open_local()
    try:
        assert channel.run([Ask("sleep 0.3; echo é"), Ask("cat", "read"), Ask("echo no >&2; exit 3")]) == [
            Answer(0, "é\n", ""),
            Answer(0, "read", ""),
            Answer(3, "", "no\n"),
        ]
        assert channel.run([Ask("printf 'caf\\351'")]) == [Answer(0, "caf�", "")]
    finally:
        channel.close()


def test_a_command_that_does_not_end_is_ended_with_its_children() -> None:
    channel = open_local()
    try:
        start = time.monotonic()
        (answer,) = channel.run([Ask("sleep 97.25 & sleep 97.5", seconds=0.5)])
        assert time.monotonic() - start < 10
        assert (answer.code, "did not end" in answer.errors) == (124, True)
        assert not [one for one in psutil.process_iter(["cmdline"]) if "97.5" in (one.info["cmdline"] or [])]
    finally:
        channel.close()


def test_a_command_that_says_too_much_is_ended() -> None:
    channel = open_local()
    try:
        (answer, other) = channel.run([Ask("yes"), Ask("echo fine")])
        assert (answer.code, answer.output, other.output) == (125, "", "fine\n")
        assert "it said more than" in answer.errors
        assert channel.run([Ask("true", "x" * 300_000), Ask("wc -c", "x" * 300_000)]) == [
            Answer(0),
            Answer(0, "300000\n"),
        ]
    finally:
        channel.close()


def test_what_a_shell_writes_is_no_answer_and_shifts_none() -> None:
    command = ["sh", "-c", 'echo "welcome to web1"; exec "$@"', "sh", sys.executable, "-I", "-c", _RUNNER.read_text()]
    channel = Channel("web1", command)
    try:
        for _ in range(2):
            with pytest.raises(Unreachable, match=r"cannot ask web1: something else .*'welcome to web1'"):
                channel.run([Ask("echo first"), Ask("echo second")])
    finally:
        channel.close()


@pytest.mark.parametrize(
    "line",
    [
        *(b"[]", b"7", b"null", b"\xff", b'{"a": 1, "b": 2}', b'[[0, "x", ""]]', b"[3, 4]"),
        b'[2, [[0, "of another batch", ""]]]',
        b'[3, [[0, "x", ""], [0, "one too many", ""]]]',
        b'[3, [[0, "x"]]]',
        b'[3, [[0, "x", "", ""]]]',
        b'[3, [["0", "x", ""]]]',
        b'[3, [[0, null, ""]]]',
    ],
)
def test_only_the_answers_to_this_batch_are_answers(line: bytes) -> None:
    assert parse_answers(b'[3, [[0, "x", ""]]]\n', 3, 1) == [Answer(0, "x")]
    with pytest.raises(ValueError, match="something else than answers"):
        parse_answers(line, 3, 1)


def test_a_host_out_of_reach_says_why() -> None:
    channel = Channel("web1", ["sh", "-c", "echo 'no route to host' >&2; exit 255"])
    with pytest.raises(Unreachable, match="cannot ask web1: no route to host"):
        channel.run([Ask("true")])
