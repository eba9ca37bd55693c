"""What all verbs share: common options, help with exit codes and an example, errors, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from socle.errors import Exit
from socle.load.inputs import Inputs, load_inputs
from socle.load.workspace import Workspace, load_workspace
from socle.planning.make_plan import make_plan
from socle.planning.rules import find_problems
from socle.runs.journal import Entry, recorded
from socle.runs.lock import locked
from socle.runs.talk import Talk
from socle.secrets import SecretStore
from socle.stages.base import Change, Context

_MEANINGS = {
    Exit.DONE: "done",
    Exit.UNEXPECTED: "unexpected error",
    Exit.INVALID: "input invalid",
    Exit.PARTIAL: "partly done: run again",
    Exit.REFUSED: "refused by a rule",
    Exit.UNREACHABLE: "a host or remote is out of reach",
    Exit.PENDING: "changes pending",
}


_PIPE_WIDTH = 1000


@dataclass(frozen=True)
class Session:
    """One call of the command line."""

    workspace: Workspace
    talk: Talk
    json: bool

    def inputs(self) -> Inputs:
        """Everything people wrote, valid. Raises InvalidInput."""
        return load_inputs(self.workspace, find_problems)

    def context(self, full: bool = False) -> Context:
        """What stages need, with the plan made. Raises InvalidInput or Refused."""
        inputs = self.inputs()
        return Context(
            workspace=self.workspace,
            platform=inputs.platform,
            plan=make_plan(inputs),
            catalogue=inputs.catalogue,
            secrets=SecretStore(self.workspace.secrets),
            talk=self.talk,
            full=full,
        )

    def show(self, data: Any, render: Callable[[], Any]) -> None:
        """Data on stdout: JSON when asked, else what `render` makes for a person."""
        if self.json:
            click.echo(json.dumps(data, ensure_ascii=False, indent=2))
        else:
            # A pipe has no width: nothing is cut for it.
            width = None if sys.stdout.isatty() else _PIPE_WIDTH
            Console(highlight=False, soft_wrap=True, width=width, markup=False, emoji=False).print(render())

    def show_changes(self, changes: Sequence[Change]) -> None:
        """Changes on stdout: all of them as JSON or with -v, else a row per site."""
        self.show(make_changes_data(changes), lambda: render_changes(changes, every=self.talk.verbose > 0))

    def next(self, *commands: str) -> None:
        """Name the next useful commands, with this program as it was called."""
        program = make_program(sys.argv[0], Path.cwd())
        shown = (
            f"{program}{command.removeprefix('socle')}" if command.startswith("socle ") else command
            for command in commands
        )
        self.talk.say("Next: " + "   or   ".join(shown))

    @contextmanager
    def locked(self, command: str, patience: float = 0) -> Iterator[int]:
        """Hold the environment's lock, waiting `patience` seconds for it; yields it, to be lent to a child.

        What a run changes is read once it is held, not before.
        """
        self.workspace.run_prepare()
        with locked(self.workspace.state, command, self.talk.say, patience) as handle:
            yield handle

    @contextmanager
    def recorded(self, command: str, plan_digest: str = "") -> Iterator[Entry]:
        """Record a run in the journal: its start and its end."""
        self.workspace.run_prepare()
        with recorded(self.workspace.state, self.workspace.root, command, plan_digest) as entry:
            yield entry


def verb(group: click.Group, name: str, *, example: str, codes: Sequence[Exit] = ()) -> Callable[[Any], click.Command]:
    """Declare a verb on `group`: common options, and a help that ends with exit codes and an example."""
    shown = sorted({Exit.DONE, Exit.UNEXPECTED, Exit.INVALID, *codes})
    ending = "; ".join(f"{code.value} {_MEANINGS[code]}" for code in shown)
    options = (
        click.option("--env", "environment", default="lab", envvar="SOCLE_ENV", show_default=True, help="Environment."),
        click.option("--root", type=click.Path(path_type=Path), envvar="SOCLE_ROOT", help="Control repository."),
        click.option("--json", "as_json", is_flag=True, help="Data as JSON on stdout."),
        click.option("-v", "--verbose", count=True, help="Say more."),
    )

    def declare(function: Callable[..., Any]) -> click.Command:
        def call(environment: str, root: Path | None, as_json: bool, verbose: int, **arguments: Any) -> Any:
            talk = Talk(verbose=verbose)
            return function(Session(load_workspace(environment, root), talk, as_json), **arguments)

        call.__doc__ = function.__doc__
        call.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        for option in reversed(options):
            call = option(call)
        epilog = f"\b\nExit codes: {ending}.\nExample: {example}"
        return group.command(name, epilog=epilog)(call)

    return declare


def render_changes(changes: Sequence[Change], every: bool = False) -> Table | Text:
    """Changes as a table, or a sentence when there are none. What one site is made of is one row, unless `every`."""
    if not changes:
        return Text("Nothing to change.")
    table = Table("stage", "action", "kind", "name", "association", box=None, pad_edge=False)
    for row in map(_make_row, changes) if every else _make_rows(changes):
        table.add_row(*map(Text, row))
    return table


def _make_row(change: Change) -> tuple[str, ...]:
    return (change.stage, change.action, change.kind, change.name, change.association)


def _make_rows(changes: Sequence[Change]) -> Iterator[tuple[str, ...]]:
    def group(change: Change) -> tuple[str, ...]:
        alone = change.stage != "sites" or not change.association
        return _make_row(change) if alone else (change.stage, change.action, "", "", change.association)

    for (stage, action, kind, name, association), found in groupby(changes, group):
        same = list(found)
        if kind:
            yield (stage, action, kind, name, association)
        else:
            shown = _make_row(same[0]) if len(same) == 1 else ("", "", "site", f"{len(same)} resources (-v)", "")
            yield (stage, action, shown[2], shown[3], association)


def make_changes_data(changes: Sequence[Change]) -> dict[str, Any]:
    """The JSON form: the changes, and how many there are of each action."""
    summary: dict[str, int] = {}
    for change in changes:
        summary[change.action] = summary.get(change.action, 0) + 1
    return {"changes": [change.model_dump() for change in changes], "summary": {"total": len(changes), **summary}}


def make_program(called: str, folder: Path) -> str:
    """How a person at `folder` calls this program: by its path when it is below, else by its name."""
    path = Path(called)
    if path.name == "socle" and path.is_absolute() and path.is_relative_to(folder):
        return str(path.relative_to(folder))
    return called if path.name == "socle" and "/" in called and not path.is_absolute() else "socle"


def is_interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()
