"""The page: self-contained, accessible, and nothing that comes from data is ever markup."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from socle.reports.make_report import make_report
from socle.reports.model import Report, State
from socle.reports.page import STATES, STATUSES, VERDICTS, render_command, render_page, render_result
from socle.reports.sources import Sources, make_runs
from tests.unit.reports.made import DAY, NOW, PLAN, RUNS, finding, make_audit, make_backups, make_sources
from tests.unit.reports.reading import Page

CSS = (Path(__file__).parents[3] / "src/socle/reports/page.css").read_text()
EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=y>"


def make_bad() -> Report:
    """A report in which everything is shown at once, with hostile texts."""
    audit = make_audit(
        finding("page:x", "failed", evidence=EVIL, host=EVIL),
        finding(EVIL, "failed", evidence="caf\udce9 \x00 \u202e"),
        finding("clock", "not_checked"),
        time=NOW - 9 * DAY,
    )
    events = [*RUNS, {"run": "9", "event": "started", "who": EVIL, "command": EVIL, "at": NOW.isoformat()}]
    backups = make_backups("late", "failed", reason=EVIL)
    return make_report(PLAN, make_sources(audit=audit, backups=backups, runs=make_runs(events), notes=(EVIL,)), NOW)


REPORTS = {
    "good": make_report(PLAN, make_sources(), NOW),
    "bad": make_bad(),
    "empty": make_report(PLAN, Sources(), NOW),
    "nobody": make_report(PLAN.model_copy(update={"sites": (), "repositories": ()}), Sources(), NOW),
}
PAGES = {name: Page(render_page(report)) for name, report in REPORTS.items()}


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> Page:
    return PAGES[request.param]


def test_it_is_french_html_with_a_title(page: Page) -> None:
    assert page.declared == "DOCTYPE html"
    assert page.one("html").attributes["lang"] == "fr"
    assert page.one("title").text.startswith("Rapport d’audit de l’hébergement des associations – SITPI")
    assert page.all("meta")[0].attributes == {"charset": "utf-8"}
    assert "width=device-width" in str([tag.attributes for tag in page.all("meta")])


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(page: Page) -> None:
    for name in ("script", "link", "img", "iframe", "object", "svg", "form", "base"):
        assert page.all(name) == []
    for tag in page.tags:
        assert not [key for key in tag.attributes if key.startswith("on") or key in ("src", "style", "srcset")]
        assert (tag.attributes.get("href") or "#").startswith("#")
    assert "http" not in CSS
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_landmarks_and_the_skip_link(page: Page) -> None:
    for name in ("header", "main", "footer", "nav"):
        page.one(name)
    assert page.one("header").path == page.one("main").path == page.one("footer").path == ("html", "body")
    assert page.one("nav").attributes["aria-label"] == "Sommaire"
    first = page.all("a")[0]
    assert (first.text, first.attributes["href"]) == ("Aller au contenu", f"#{page.one('main').attributes['id']}")


def test_headings_are_in_order(page: Page) -> None:
    levels = [int(tag.name[1]) for tag in page.tags if re.fullmatch("h[1-6]", tag.name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_anchors_lead_somewhere_and_ids_are_unique(page: Page) -> None:
    ids = [tag.attributes["id"] for tag in page.tags if "id" in tag.attributes]
    assert len(ids) == len(set(ids))
    wanted = {str(tag.attributes["href"])[1:] for tag in page.all("a")}
    wanted |= {str(tag.attributes["aria-labelledby"]) for tag in page.all("section")}
    assert wanted <= set(ids)


def test_tables_have_captions_and_headers_with_scope(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table"))
    for header in page.all("th"):
        assert header.attributes["scope"] == ("col" if "thead" in header.path else "row")
    labels = {str(tag.text) for tag in page.all("th") if tag.attributes["scope"] == "col"}
    assert {str(cell.attributes["data-label"]) for cell in page.all("td")} <= labels


def test_status_is_never_by_colour_alone(page: Page) -> None:
    words = {word for pairs in (STATES, STATUSES, VERDICTS) for _, word in pairs.values()}
    for tag in page.tags:
        if "state" in str(tag.attributes.get("class", "")).split() and tag.name == "span":
            assert tag.text[2:] in words, tag.text
    for pairs in (STATES, STATUSES):
        signs = [sign for sign, _ in pairs.values()]
        assert len(signs) == len(set(signs))


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.1."""
    digits = colour.removeprefix("#")
    digits = "".join(2 * one for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_every_colour_of_text_has_contrast_and_lines_too() -> None:
    assert set(re.findall(r"background: (#\w+)", CSS)) == {"#fff"}
    names = dict(re.findall(r"--(\w+): (#\w+)", CSS))
    texts = re.findall(r"(?<![-\w])color: (#\w+)", CSS) + [names[name] for name in ("ink", "soft", "deep")]
    assert len(texts) > 6
    for colour in texts:
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5, colour
    for colour in (names["line"], *re.findall(r"border(?:-left)?-color: (#\w+)", CSS)):
        assert 1.05 / (luminance(colour) + 0.05) >= 3, colour


def test_focus_is_seen_and_paper_has_its_own_style() -> None:
    assert re.search(r"a:focus-visible.*outline: 3px solid", CSS)
    assert "@media print" in CSS
    assert "outline: none" not in CSS.replace("main:focus { outline: none; }", "")


def test_data_is_never_markup() -> None:
    page = PAGES["bad"]
    assert page.all("script") == page.all("img") == []
    # In the finding's host, its evidence, its check, the verdict's reason, the journal, and a note.
    assert page.one("body").text.count(EVIL) >= 8
    assert "L’École <b>& Cœur</b>" in page.text
    assert page.all("b") == []
    assert "caf� � �" in page.text
    page.source.encode()


def test_a_name_that_turns_the_order_round_does_not() -> None:
    site = PLAN.sites[0].model_copy(update={"association_name": "Amis \u202egro.live\x07"})
    page = render_page(make_report(PLAN.model_copy(update={"sites": (site,)}), make_sources(), NOW))
    assert "Amis �gro.live�" in page
    assert "\u202e" not in page


def test_each_association_and_site_is_named() -> None:
    for site in PLAN.sites:
        assert PAGES["good"].text.count(site.name) >= 2
        assert site.association_name in PAGES["good"].text
    assert "www.amis-du-lac.example" in PAGES["good"].text
    assert "école-du-bourg.example" in PAGES["good"].text


def test_the_summary_comes_first_in_plain_words() -> None:
    for name, said in (
        ("good", "Tout ce qui a été vérifié est en ordre"),
        ("bad", "5 points demandent une action"),
        ("empty", "Rien n’a pu être vérifié"),
    ):
        page = PAGES[name]
        headline = next(tag for tag in page.tags if "headline" in str(tag.attributes.get("class")))
        assert headline.text[2:].replace("\u00a0", " ") == said
        assert page.source.index("headline ") < page.source.index('id="actions"') < page.source.index('id="promesses"')


def test_old_proof_is_told_with_its_age() -> None:
    text = PAGES["bad"].text
    assert (
        "Le dernier audit date du mercredi 18 novembre 2026 à 7 h 45 (heure de Paris, UTC+1), il y a 9 jours." in text
    )
    assert text.count("Preuve ancienne") == len(REPORTS["bad"].having(State.OLD)) + 1


def test_without_inputs_no_word_is_good() -> None:
    text = PAGES["empty"].text
    assert "Prouvé" not in text
    assert "Vérifié" not in text
    assert "Complète" not in text
    assert text.count("Non vérifié") >= len(REPORTS["empty"].promises)


def test_english_is_marked_as_english() -> None:
    marked = [tag.text for tag in PAGES["bad"].tags if tag.attributes.get("lang") == "en"]
    assert any("run: socle apply" in text for text in marked)
    assert any(EVIL in text for text in marked)


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render_page(REPORTS["bad"]) == render_page(make_bad())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("apply", "Mise en conformité"),
        ("lab up", "Mise en route"),
        ("restore amis-du-lac --into scratch", "Restauration (amis-du-lac --into scratch)"),
        ("frobnicate x", "frobnicate x"),
    ],
)
def test_runs_are_told_in_french(command: str, said: str) -> None:
    assert render_command(command) == said


def test_how_a_run_ended() -> None:
    results = {
        "": "interrompu, ou en cours",
        "done": "terminé",
        "failed: Refused": "échec (Refused)",
        "failed": "échec",
    }
    (run,) = make_runs([{"run": "1", "event": "started"}])
    for result, said in results.items():
        assert render_result(run.model_copy(update={"result": result})) == said
    assert render_result(run.model_copy(update={"result": "done", "exit": 3})) == "terminé en partie"
