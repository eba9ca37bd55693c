"""What is said is shown as it is: names of associations hold brackets and colons."""

from __future__ import annotations

from pathlib import Path

import pytest

from socle.cli.common import Session, make_program
from socle.load.workspace import Workspace
from socle.runs.talk import Talk

TEXT = "[bold]Les Amis[/bold] :smile: [/nothing]"


def test_talk_is_literal(capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk()
    talk.say(TEXT)
    with talk.step(TEXT):
        pass
    said = capsys.readouterr().err.splitlines()
    assert said[0] == TEXT
    assert said[1].startswith(f"  {TEXT}: ")


def test_the_title_of_a_step_is_literal_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    talk = Talk()
    real = talk.console.status
    monkeypatch.setattr(talk.console, "status", lambda title: (shown.append(title), real(title))[1])
    with talk.step(TEXT):
        pass
    assert [getattr(title, "plain", None) for title in shown] == [TEXT]


def test_data_is_literal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    session = Session(Workspace(tmp_path, "lab", tmp_path), Talk(), json=False)
    session.show({}, lambda: TEXT)
    assert capsys.readouterr().out == f"{TEXT}\n"


@pytest.mark.parametrize(
    ("called", "shown"),
    [
        ("/root/clone/.venv/bin/socle", ".venv/bin/socle"),
        (".venv/bin/socle", ".venv/bin/socle"),
        ("/usr/local/bin/socle", "socle"),
        ("/root/clone/src/socle/__main__.py", "socle"),
        ("socle", "socle"),
    ],
)
def test_next_names_the_program_as_it_is_reached(called: str, shown: str) -> None:
    assert make_program(called, Path("/root/clone")) == shown


def test_next_says_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(tmp_path / ".venv/bin/socle")])
    Session(Workspace(tmp_path, "lab", tmp_path), Talk(), json=False).next("socle plan", "$EDITOR a.yml")
    assert capsys.readouterr().err == "Next: .venv/bin/socle plan   or   $EDITOR a.yml\n"
