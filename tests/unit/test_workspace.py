"""A state folder belongs to one clone."""

from __future__ import annotations

from pathlib import Path

import pytest

from socle.errors import Refused
from socle.load.workspace import Workspace


def make_workspace(root: Path, state: Path) -> Workspace:
    root.mkdir(exist_ok=True)
    return Workspace(root=root, environment="lab", state=state)


def test_two_clones_with_one_mark_do_not_meet(tmp_path: Path) -> None:
    first = make_workspace(tmp_path / "first", tmp_path / "state")
    first.run_prepare()
    first.run_prepare()
    with pytest.raises(Refused, match=r"first has the same mark.*move one of the two clones"):
        make_workspace(tmp_path / "second", tmp_path / "state").run_prepare()
    assert (tmp_path / "state/clone").read_text() == f"{tmp_path / 'first'}\n"


def test_the_state_of_a_clone_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    first = make_workspace(tmp_path / "first", tmp_path / "state")
    first.run_prepare()
    first.root.rmdir()
    make_workspace(tmp_path / "second", tmp_path / "state").run_prepare()
    assert (tmp_path / "state/clone").read_text() == f"{tmp_path / 'second'}\n"
