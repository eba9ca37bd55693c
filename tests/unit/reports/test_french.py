"""French for people: dates, ages, sizes, counts, and text that breaks nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from socle.reports.french import clean, fine, make_zone, render_age, render_bytes, render_count, render_date

NOW = datetime(2026, 11, 27, 6, 45, tzinfo=UTC)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("time", "zone", "said"),
    [
        (NOW, "Europe/Paris", "vendredi 27 novembre 2026 à 7 h 45 (heure de Paris, UTC+1)"),
        (datetime(2026, 7, 31, 22, 5, tzinfo=UTC), "Europe/Paris", "samedi 1er août 2026 à 0 h 05"),
        (datetime(2026, 7, 31, 22, 5, tzinfo=UTC), "Europe/Paris", "(heure de Paris, UTC+2)"),
        (NOW, "America/Martinique", "à 2 h 45 (heure de Martinique, UTC−4)"),
        (NOW, "Asia/Kolkata", "à 12 h 15 (heure de Kolkata, UTC+5 h 30)"),
        (NOW, "Nowhere/Land", "à 6 h 45 (temps universel, UTC)"),
    ],
)
def test_dates_are_local_and_say_their_zone(time: datetime, zone: str, said: str) -> None:
    assert said in plain(render_date(time, zone))


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(minutes=59), "il y a moins d’une heure"),
        (timedelta(hours=1), "il y a 1 heure"),
        (timedelta(hours=47), "il y a 47 heures"),
        (timedelta(days=9, hours=23), "il y a 9 jours"),
        (timedelta(days=100), "il y a 3 mois"),
        (-timedelta(minutes=4), "il y a moins d’une heure"),
        (-timedelta(hours=1), "dans le futur"),
    ],
)
def test_ages_in_words(age: timedelta, said: str) -> None:
    assert plain(render_age(NOW - age, NOW)) == said


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 octet"),
        (2, "2 octets"),
        (1536, "1,5 Kio"),
        (512 * 1024**2, "512 Mio"),
        (2 * 1024**3, "2 Gio"),
        (3000 * 1024**4, "3000 Tio"),
    ],
)
def test_sizes_in_the_units_that_requests_use(size: int, said: str) -> None:
    assert plain(render_bytes(size)) == said


def test_counts_agree_with_their_noun() -> None:
    assert [plain(render_count(n, "jour")) for n in (0, 1, 2, 12345)] == ["0 jour", "1 jour", "2 jours", "12 345 jours"]


def test_what_no_page_can_hold_is_shown_and_the_rest_stays() -> None:
    assert clean("caf\udce9\x00\x1b[31m\u202etxt.exe L’Été 🏊\n") == "caf���[31m�txt.exe L’Été 🏊\n"


def test_signs_do_not_begin_a_line() -> None:
    assert fine("« Oui » : non ; vrai ?") == "«\u00a0Oui\u00a0»\u00a0: non\u00a0; vrai\u00a0?"


def test_unknown_zones_are_utc() -> None:
    assert make_zone("../../etc/passwd")[1] == "temps universel"
