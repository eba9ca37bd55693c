"""What `socle report audit` writes, and the command lines of both verbs."""

from __future__ import annotations

import json
import re
import sys
import zlib
from pathlib import Path

import pytest

from socle.cli import common
from socle.cli import status as status_verb
from socle.cli.main import main
from socle.errors import PartlyDone
from socle.load.workspace import Workspace
from socle.reports import run as report_run
from socle.reports.page import render_page
from socle.reports.pdf import render_pdf
from socle.reports.run import run_report
from socle.reports.status_model import Unknown
from socle.runs.talk import Talk
from socle.secrets import SecretStore
from socle.stages.base import Context
from tests.make import CATALOGUE, make_inputs
from tests.unit.reports.made import GOOD, NOW, PLAN
from tests.unit.reports.test_page import REPORTS
from tests.unit.reports.test_status import observe


def inflate(pdf: bytes) -> bytes:
    """Everything in a PDF, its compressed parts readable."""
    parts = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    plain = [zlib.decompressobj().decompress(part) if part[:1] == b"x" else part for part in parts]
    return pdf + b"\n".join(plain)


def test_the_pdf_is_tagged_french_and_the_same_twice() -> None:
    pdf = render_pdf(render_page(REPORTS["nobody"]))
    assert pdf.startswith(b"%PDF-")
    content = inflate(pdf)
    assert b"/StructTreeRoot" in content
    assert b"pdfuaid" in content
    assert re.search(rb"/Lang \(fr\)", content)
    small = '<html lang="fr"><title>Été</title><h1>Été ✔</h1></html>'
    assert render_pdf(small) == render_pdf(small)


def test_the_pdf_fetches_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = tmp_path / "x.svg"
    picture.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    )
    page = f'<html lang="fr"><title>x</title><img alt="x" src="{picture.as_uri()}"></html>'
    render_pdf(page)
    assert "disallowed protocol" in caplog.text


def test_without_its_library_the_page_is_still_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(PartlyDone, match="make setup"):
        render_pdf("<p>x</p>")
    made = run_report(Workspace(tmp_path, "lab", tmp_path), PLAN, tmp_path / "out", NOW)
    assert made.pdf is None
    assert "make setup" in made.missing
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["audit-2026-11-27T064500Z.html"]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A control repository whose plan is the tests' own, with an audit in its state folder."""
    for folder in ("associations", "inventories/lab"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    (tmp_path / "root/inventories/lab/platform.yml").touch()
    monkeypatch.setenv("SOCLE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(report_run, "render_pdf", lambda page: b"%PDF " + page.encode())
    made = Workspace(tmp_path / "root", "lab", tmp_path / "state")
    store = SecretStore(made.secrets)
    context = Context(made, make_inputs().platform, PLAN, CATALOGUE, store, Talk(quiet=True))
    monkeypatch.setattr(common.Session, "context", lambda *_: context)
    return made


def socle(workspace: Workspace, *arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--root", str(workspace.root)])
    return int(end.value.code or 0)


def test_report_audit_writes_a_page_and_its_pdf(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = next(iter((tmp_path / "state").glob("lab-*")), None)
    assert folder is None
    assert socle(workspace, "report", "audit", "--output", str(tmp_path / "out"), "--json") == 0
    output = capsys.readouterr()
    data = json.loads(output.out)
    html, pdf = Path(data["html"]), Path(data["pdf"])
    assert pdf == html.with_suffix(".pdf")
    assert pdf.read_bytes() == b"%PDF " + html.read_bytes()
    assert html.stat().st_mode & 0o777 == 0o600
    assert data["report"]["headline"] in html.read_text()
    assert "Rien n’a pu être vérifié" in output.err


def test_report_audit_reads_the_state_folder(workspace: Workspace, tmp_path: Path) -> None:
    audit = tmp_path / "audit" / "2026-11-27T000000Z.json"
    audit.parent.mkdir()
    audit.write_text(json.dumps({"findings": GOOD}))
    made = run_report(Workspace(tmp_path, "lab", tmp_path), PLAN, tmp_path / "out", NOW)
    assert made.report.provenance.audit == audit.name
    assert audit.name in made.html.read_text()
    assert made.pdf is not None


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({}, 0, "Nothing needs a human."),
        ({"escrow": False}, 3, "Needs a human (1):"),
        ({"unknown": (Unknown(source="edge", reason="silent"),)}, 3, "Nothing that could be read needs a human."),
    ],
)
def test_status_says_by_its_exit_code_whether_somebody_is_needed(
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    code: int,
    said: str,
) -> None:
    class Clock:
        @staticmethod
        def now(_: object) -> object:
            return NOW

    monkeypatch.setattr(status_verb, "datetime", Clock)
    monkeypatch.setattr(status_verb, "load_observed", lambda *_: observe(**changes))
    assert socle(workspace, "status", "--json") == code
    data = json.loads(capsys.readouterr().out)
    assert len(data["needs"]) == (1 if "escrow" in changes else 0)
    assert socle(workspace, "status") == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["report audit", "status"])
def test_help_has_exit_codes_and_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*verb.split(), "--help"])
    assert not end.value.code
    shown = capsys.readouterr().out
    for needed in ("Exit codes: 0 done;", "3 partly done", f"Example: socle {verb}", "--env", "--json"):
        assert needed in shown
