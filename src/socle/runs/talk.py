"""Talk to the person at the terminal, on stderr: stdout is for data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class Talk:
    """Steps with their time. A spinner on a terminal, one line per step elsewhere."""

    def __init__(self, verbose: int = 0, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True, markup=False, emoji=False)
        self.verbose = verbose

    def say(self, text: str) -> None:
        """One line, as it is: neither markup nor emoji names are read in it."""
        self.console.print(text)

    def detail(self, text: str) -> None:
        """One line that only -v shows."""
        if self.verbose:
            self.say(text)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A piece of long work: its title while it runs, its time when it is done."""
        start = time.monotonic()
        with self.console.status(Text(title)):
            yield
        self.say(f"  {title}: {time.monotonic() - start:.1f} s")
