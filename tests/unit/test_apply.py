"""What a run does with what fails: the rest goes on, what was done is said, the error comes at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from socle.cli import apply
from socle.errors import Exit, PartlyDone, Problem, Refused, SocleError, Unreachable
from socle.load.workspace import Workspace
from socle.planning.make_plan import make_plan
from socle.runs.journal import load_journal
from socle.runs.talk import Talk
from socle.secrets import SecretStore
from socle.stages.base import Change, Context
from tests.make import CATALOGUE, make_inputs

Name = Literal["hosts", "baseline", "services", "sites"]


def change(stage: Name, name: str) -> Change:
    return Change(stage=stage, action="update", kind="thing", name=name)


class Step:
    """A stage that changes each host it is given, unless it is told to fail."""

    def __init__(self, name: Name, error: Exception | None = None) -> None:
        self.name: Name = name
        self.error = error
        self.seen: list[str] | None = None

    def preview(self, context: Context) -> Sequence[Change]:
        raise AssertionError(context)

    def apply(self, context: Context) -> Sequence[Change]:
        self.seen = [host.name for host in context.hosts]
        if self.error:
            raise self.error
        return [change(self.name, name) for name in self.seen]


Run = Callable[..., tuple[SocleError | None, dict[str, list[str] | None]]]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    inputs = make_inputs()
    workspace = Workspace(tmp_path, "test", tmp_path / "state")
    workspace.run_prepare()
    store = SecretStore(workspace.secrets)
    return Context(workspace, inputs.platform, make_plan(inputs), CATALOGUE, store, Talk(quiet=True))


@pytest.fixture
def run(context: Context, monkeypatch: pytest.MonkeyPatch) -> Run:
    def start(lost: Sequence[str] = (), **errors: Exception) -> Any:
        names: tuple[Name, ...] = ("hosts", "baseline", "services", "sites")
        steps = [Step(name, errors.get(name)) for name in names]
        monkeypatch.setattr(apply, "STAGES", steps)
        monkeypatch.setattr(
            apply, "load_lost", lambda _, asked: {name: f"cannot reach {name}" for name in asked if name in lost}
        )
        caught = None
        try:
            apply.run_apply(context)
        except SocleError as error:
            caught = error
        return caught, {step.name: step.seen for step in steps}

    return start


BOTH = ["edge1", "web1"]


def test_nothing_failed(run: Run) -> None:
    assert run() == (None, {"hosts": BOTH, "baseline": BOTH, "services": BOTH, "sites": BOTH})


def test_a_host_out_of_reach_does_not_hold_up_the_others(run: Run) -> None:
    error, seen = run(lost=["web1"])
    assert seen == {"hosts": BOTH, "baseline": ["edge1"], "services": ["edge1"], "sites": ["edge1"]}
    assert isinstance(error, PartlyDone)
    assert error.exit is Exit.PARTIAL
    assert str(error).count("cannot reach web1") == 1


def test_when_no_host_answers_the_run_ends_as_out_of_reach(run: Run) -> None:
    error, seen = run(lost=BOTH, hosts=PartlyDone("nothing", exit_code=Exit.UNREACHABLE))
    assert seen["baseline"] is None
    assert error
    assert error.exit is Exit.UNREACHABLE


def test_failing_records_do_not_stop_later_stages(run: Run) -> None:
    error, seen = run(hosts=PartlyDone("records: no answer", exit_code=Exit.UNREACHABLE))
    assert seen["sites"] == BOTH
    assert isinstance(error, PartlyDone)
    assert "records: no answer" in str(error)


def test_a_host_whose_baseline_failed_is_left_alone_afterwards(run: Run) -> None:
    _, seen = run(baseline=PartlyDone("the baseline failed on web1", hosts=["web1"]))
    assert (seen["services"], seen["sites"]) == (["edge1"], ["edge1"])


def test_what_was_done_is_said_and_recorded(run: Run, context: Context) -> None:
    error, _ = run(sites=PartlyDone("a site failed", changes=[change("sites", "good")]))
    assert isinstance(error, PartlyDone)
    assert [(done.stage, done.name) for done in error.changes][-2:] == [("services", "web1"), ("sites", "good")]
    assert len(error.changes) == 7
    *_, last = load_journal(context.workspace.state)
    assert (last["result"], last["changes"]) == ("failed: PartlyDone", 7)


def test_an_error_of_another_kind_ends_the_run_but_not_what_is_said(run: Run) -> None:
    error, seen = run(services=SocleError("broken"))
    assert seen["sites"] is None
    assert isinstance(error, PartlyDone)
    assert len(error.changes) == 4


def test_a_refusal_before_any_change_stays_one(run: Run) -> None:
    error, seen = run(hosts=Refused([Problem("x", 0, "", "expected y")]))
    assert isinstance(error, Refused)
    assert seen["baseline"] is None


def test_incus_out_of_reach_stays_exit_5(run: Run) -> None:
    error, _ = run(hosts=Unreachable("Incus does not answer"))
    assert error
    assert error.exit is Exit.UNREACHABLE
