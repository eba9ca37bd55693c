"""Who must act is told once when a trouble appears, again after days, once when it is mended; nothing is lost."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socle.clock.alerts import Alerted, load_alerted, make_alerted, make_news, run_remember, run_tell
from socle.clock.mail import Letterhead, Mail
from socle.clock.settings import Alerts
from socle.clock.troubles import Kind, Observed, Trouble
from socle.errors import SocleError

NOW = datetime(2026, 11, 27, 5, 30, tzinfo=UTC)
DAY = timedelta(days=1)
SETTINGS = Alerts(smtp="mail.example:25", sender="socle@asso.example", to=("a@asso.example", "b@asso.example"))
HEAD = Letterhead("prod", "SITPI", ZoneInfo("Europe/Paris"), 7)


def trouble(name: str = "wp-a", kind: Kind = Kind.BACKUP, **changes: Any) -> Trouble:
    values = {"key": f"{kind}:{name}", "kind": kind, "title": f"sauvegarde en échec pour {name}", "what": "Vide."}
    return Trouble(**{**values, "todo": "Corriger.", "command": "backup status", **changes})


def observed(*troubles: Trouble, unread: Iterable[Kind] = ()) -> Observed:
    return Observed(troubles, frozenset(unread))


def tell(before: Alerted, seen: Observed, now: datetime) -> tuple[Alerted, list[Mail]]:
    """What is remembered, and the mails of this time."""
    numbers = itertools.count(len(before.outbox))
    after, _ = make_alerted(before, seen, SETTINGS, HEAD, now, lambda: f"<{now:%d%H%M}-{next(numbers)}@asso.example>")
    return after, list(after.outbox[len(before.outbox) :])


def test_one_mail_when_it_appears_none_while_it_lasts_one_when_it_is_mended() -> None:
    state, mails = tell(Alerted(), observed(trouble()), NOW)
    assert [mail.subject for mail in mails] == ["[socle prod] Problème : sauvegarde en échec pour wp-a"]
    first = mails[0]
    for hours in range(1, 7 * 24):
        state, mails = tell(state, observed(trouble(what="Autre raison.")), NOW + timedelta(hours=hours))
        assert mails == []
    state, mails = tell(state, observed(), NOW + 7 * DAY)
    assert [(mail.subject, mail.after) for mail in mails] == [
        ("[socle prod] Résolu : sauvegarde en échec pour wp-a", (first.id,))
    ]
    assert state.told == {}
    _, mails = tell(state, observed(), NOW + 8 * DAY)
    assert mails == []
    _, mails = tell(state, observed(trouble()), NOW + 8 * DAY)
    assert len(mails) == 1


def test_a_reminder_every_so_many_days_that_says_since_when() -> None:
    state, _ = tell(Alerted(), observed(trouble()), NOW)
    days = []
    for day in range(1, 22):
        state, mails = tell(state, observed(trouble()), NOW + day * DAY)
        if mails:
            days.append(day)
            assert mails[0].subject.startswith("[socle prod] Rappel : ")
            assert "vendredi 27 novembre 2026 à 06 h 30" in mails[0].body
    assert days == [7, 14, 21]


def test_what_could_not_be_read_is_not_mended() -> None:
    audit = trouble("web1", Kind.AUDIT)
    state, _ = tell(Alerted(), observed(trouble(), audit), NOW)
    state, mails = tell(state, observed(unread=[Kind.BACKUP]), NOW + DAY)
    assert [mail.subject.partition(" : ")[0] for mail in mails] == ["[socle prod] Résolu"]
    assert list(state.told) == [trouble().key]
    _, mails = tell(state, observed(), NOW + 2 * DAY)
    assert len(mails) == 1


def test_many_of_a_kind_are_one_mail_and_kinds_are_not_mixed() -> None:
    sites = [trouble(f"wp-{number:03}") for number in range(50)]
    state, mails = tell(Alerted(), observed(*sites, trouble("web1", Kind.AUDIT)), NOW)
    assert [mail.subject for mail in mails] == [
        "[socle prod] Problème : 50 sauvegardes en défaut",
        "[socle prod] Problème : sauvegarde en échec pour web1",
    ]
    assert mails[0].body.count("Que faire") == 30
    assert "… et 20 de plus" in mails[0].body
    state, mails = tell(state, observed(*sites[1:], trouble("web1", Kind.AUDIT)), NOW + DAY)
    assert [mail.subject for mail in mails] == ["[socle prod] Résolu : sauvegarde en échec pour wp-000"]
    _, mails = tell(state, observed(), NOW + 2 * DAY)
    assert [mail.subject for mail in mails] == [
        "[socle prod] Résolu : 49 sauvegardes en défaut",
        "[socle prod] Résolu : sauvegarde en échec pour web1",
    ]


keys = st.sampled_from([f"{kind}:{name}" for kind in ("backup", "audit", "run") for name in "abc"])
sets = st.frozensets(keys)
unreads = st.frozensets(st.sampled_from([Kind.BACKUP, Kind.AUDIT]))


@settings(deadline=None)
@given(st.lists(st.tuples(sets, unreads), max_size=12))
def test_what_is_told_is_always_what_was_last_seen(steps: list[tuple[frozenset[str], frozenset[Kind]]]) -> None:
    """Each trouble is told as many times as it appeared, and mended as many times as it was seen to be."""
    state, told, appeared, mended = Alerted(), set[str](), 0, 0
    for number, (wrong, unread) in enumerate(steps):
        # Of what could not be read, nothing wrong is seen either.
        shown = {key for key in wrong if Kind(key.partition(":")[0]) not in unread}
        now = NOW + timedelta(minutes=number)
        seen = observed(
            *(trouble(key.partition(":")[2], Kind(key.partition(":")[0])) for key in sorted(shown)), unread=unread
        )
        news = make_news(state.told, seen, now, 7 * DAY)
        lost = {key for key in told - shown if Kind(key.partition(":")[0]) not in unread}
        assert {one.key for one in news.appeared} == shown - told
        assert set(news.mended) == lost
        appeared, mended = appeared + len(shown - told), mended + len(lost)
        told = (told | shown) - lost
        state, _ = tell(state, seen, now)
        assert set(state.told) == told
    assert appeared - mended == len(told)


class Post:
    """A mail server that may be down."""

    def __init__(self) -> None:
        self.taken: list[Mail] = []
        self.down = False
        self.dies_after = 1000
        self.refused: tuple[str, ...] = ()

    def send(self, mails: Sequence[Mail], strike: Callable[[Mail, tuple[str, ...]], None]) -> list[str]:
        if self.down and mails:
            return ["mail.example:25: connection refused"]
        for number, mail in enumerate(mails):
            if number >= self.dies_after:
                raise KeyboardInterrupt
            self.taken.append(mail)
            strike(mail, self.refused)
        return []


def test_a_server_that_is_down_loses_nothing_and_tells_in_order(tmp_path: Path) -> None:
    post = Post()
    post.down = True
    for number, seen in enumerate(
        [observed(trouble()), observed(trouble(), trouble("wp-b")), observed(trouble("wp-b"))]
    ):
        mails, errors = run_tell(tmp_path, SETTINGS, seen, HEAD, NOW + number * DAY, post.send)
        assert len(mails) == number + 1
        assert errors == ["mail.example:25: connection refused"]
    assert len(load_alerted(tmp_path).outbox) == 3
    post.down = False
    assert run_tell(tmp_path, SETTINGS, observed(trouble("wp-b")), HEAD, NOW + 3 * DAY, post.send)[1] == []
    assert [mail.subject.removeprefix("[socle prod] ") for mail in post.taken] == [
        "Problème : sauvegarde en échec pour wp-a",
        "Problème : sauvegarde en échec pour wp-b",
        "Résolu : sauvegarde en échec pour wp-a",
    ]
    assert load_alerted(tmp_path).outbox == ()
    run_tell(tmp_path, SETTINGS, observed(trouble("wp-b")), HEAD, NOW + 4 * DAY, post.send)
    assert len(post.taken) == 3


def test_a_kill_between_two_mails_sends_the_rest_later(tmp_path: Path) -> None:
    post = Post()
    post.dies_after = 1
    seen = observed(trouble(), trouble("web1", Kind.AUDIT))
    with pytest.raises(KeyboardInterrupt):
        run_tell(tmp_path, SETTINGS, seen, HEAD, NOW, post.send)
    post.dies_after = 1000
    run_tell(tmp_path, SETTINGS, seen, HEAD, NOW + DAY, post.send)
    assert [mail.subject[-4:] for mail in post.taken] == ["wp-a", "web1"]


def test_a_recipient_that_was_refused_is_tried_again_alone(tmp_path: Path) -> None:
    post = Post()
    post.refused = ("b@asso.example",)
    run_tell(tmp_path, SETTINGS, observed(trouble()), HEAD, NOW, post.send)
    assert load_alerted(tmp_path).outbox[0].to == ("b@asso.example",)
    post.refused = ()
    run_tell(tmp_path, SETTINGS, observed(trouble()), HEAD, NOW, post.send)
    assert [mail.to for mail in post.taken] == [SETTINGS.to, ("b@asso.example",)]
    assert load_alerted(tmp_path).outbox == ()


def test_what_is_remembered_is_for_its_owner_only_and_read_back_whole(tmp_path: Path) -> None:
    state, _ = tell(Alerted(), observed(trouble(), trouble("web1", Kind.AUDIT)), NOW)
    run_remember(tmp_path, state)
    assert load_alerted(tmp_path) == state
    assert (tmp_path / "clock/alerts.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", '{"told": {}}', '{"told": {"a": {}}, "outbox": []}'])
def test_a_memory_that_cannot_be_read_is_not_forgotten(tmp_path: Path, content: str) -> None:
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/alerts.json").write_text(content)
    with pytest.raises(SocleError, match="move it away"):
        run_tell(tmp_path, SETTINGS, observed(trouble()), HEAD, NOW, Post().send)
    assert (tmp_path / "clock/alerts.json").read_text() == content


def test_nothing_is_written_when_there_is_no_news(tmp_path: Path) -> None:
    run_tell(tmp_path, SETTINGS, observed(), HEAD, NOW, Post().send)
    assert list(tmp_path.iterdir()) == []
    run_tell(tmp_path, SETTINGS, observed(trouble()), HEAD, NOW, Post().send)
    assert json.loads((tmp_path / "clock/alerts.json").read_text())["outbox"] == []
