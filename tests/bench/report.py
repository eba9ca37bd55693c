"""What is said while the benchmark runs, and the table at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

_START = time.monotonic()


@dataclass(frozen=True)
class Row:
    """A figure: what was measured, what it was to be at most (or at least, with `least`); no aim: for information."""

    what: str
    measured: float
    unit: str = "s"
    aim: float | None = None
    least: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None when there is none."""
        if self.aim is None:
            return None
        return self.measured >= self.aim if self.least else self.measured <= self.aim


def make_row(what: str, seconds: Sequence[float], aim: float | None = None, note: str = "") -> Row:
    """The median of several runs, with the range in the note."""
    spread = f"{len(seconds)} runs, {min(seconds):.2f} to {max(seconds):.2f} s" if len(seconds) > 1 else ""
    return Row(what, median(seconds), aim=aim, note="; ".join(part for part in (note, spread) if part))


def render_table(rows: Sequence[Row]) -> str:
    """Aim, figure and verdict, a line each."""
    lines = [("", "aim", "measured", "", "")]
    lines += [
        (row.what, _render_aim(row), _render(row.measured, row.unit), _render_verdict(row), row.note) for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return "\n".join(
        f"{what:{widths[0]}}  {aim:>{widths[1]}}  {measured:>{widths[2]}}  {verdict:{widths[3]}}  {note}".rstrip()
        for what, aim, measured, verdict, note in lines
    )


def _render(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if unit == "s" else f"{value:.1f} {unit}"


def _render_aim(row: Row) -> str:
    if row.aim is None:
        return "-"
    return f"{'>=' if row.least else '<='} {row.aim:g} {row.unit}"


def _render_verdict(row: Row) -> str:
    return {True: "met", False: "MISSED", None: ""}[row.met]


def say(text: str) -> None:
    """A line of progress on standard error, with the minutes since the start."""
    minutes, seconds = divmod(int(time.monotonic() - _START), 60)
    print(f"[{minutes:2}:{seconds:02}] {text}", file=sys.stderr, flush=True)  # noqa: T201


def noted(*rows: Row) -> list[Row]:
    """The rows, said as soon as they are known."""
    for row in rows:
        say(f"  {row.what}: {_render(row.measured, row.unit)} {_render_verdict(row)}")
    return list(rows)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    say(f"{what} ...")
    start = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - start:.1f} s")
