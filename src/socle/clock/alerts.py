"""What is told by e-mail, and when: once when a trouble appears, again after some days, once when it is mended.

The difference is pure. What must be sent is written down before it is sent (an outbox in `<state>/clock/alerts.json`)
and struck out after: a mail server that is down delays a mail, a kill may send one twice, nothing loses one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import make_msgid
from functools import partial
from pathlib import Path
from typing import Any

from socle.clock.mail import Letterhead, Mail, render_mended, render_subject, render_troubles
from socle.clock.runs import FOLDER, parse_time
from socle.clock.settings import Alerts
from socle.clock.troubles import Kind, Observed, Trouble
from socle.errors import SocleError
from socle.files import run_write

FILE = f"{FOLDER}/alerts.json"


@dataclass(frozen=True)
class Told:
    """A trouble that was told. `message`: the identifier of the first mail about it."""

    kind: str
    title: str
    since: str
    """ISO 8601, UTC."""
    told: str
    """The last time: ISO 8601, UTC."""
    message: str


@dataclass(frozen=True)
class Alerted:
    """What is remembered: what was told and lasts, by key; and the mails that are not sent yet, oldest first."""

    told: Mapping[str, Told] = field(default_factory=dict)
    outbox: tuple[Mail, ...] = ()


@dataclass(frozen=True)
class News:
    """What is to be told."""

    appeared: tuple[Trouble, ...] = ()
    lasting: tuple[Trouble, ...] = ()
    """Told already, and due for a reminder."""
    mended: Mapping[str, Told] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.appeared or self.lasting or self.mended)


def make_news(told: Mapping[str, Told], observed: Observed, now: datetime, remind_after: timedelta) -> News:
    """What changed since. A trouble whose kind could not be read is not mended by that."""
    troubles = {trouble.key: trouble for trouble in observed.troubles}
    appeared = tuple(trouble for key, trouble in troubles.items() if key not in told)
    lasting = tuple(
        trouble
        for key, trouble in troubles.items()
        if key in told and now - (parse_time(told[key].told) or now) >= remind_after
    )
    mended = {key: one for key, one in told.items() if key not in troubles and one.kind not in observed.unread}
    return News(appeared, lasting, mended)


def make_told(before: Mapping[str, Told], news: News, messages: Mapping[str, str], now: datetime) -> dict[str, Told]:
    """What is told once `news` is. `messages`: the identifier of the mail about each trouble that appeared."""
    told = {key: one for key, one in before.items() if key not in news.mended}
    at = now.isoformat()
    for trouble in news.appeared:
        since = (trouble.since or now).isoformat()
        told[trouble.key] = Told(trouble.kind, trouble.title, since, at, messages[trouble.key])
    for trouble in news.lasting:
        told[trouble.key] = replace(told[trouble.key], told=at, title=trouble.title)
    return told


def make_mails(
    news: News,
    told: Mapping[str, Told],
    head: Letterhead,
    to: tuple[str, ...],
    now: datetime,
    make_id: Callable[[], str],
) -> tuple[list[Mail], dict[str, str]]:
    """The mails that tell it, and which one tells of each trouble that appeared.

    One for each kind and change: a vault that is down is one mail, not one for each site.
    """
    mails: list[Mail] = []
    messages: dict[str, str] = {}

    def add(transition: str, kind: Kind, titles: list[str], body: str, after: Iterable[str] = ()) -> str:
        subject = render_subject(head, transition, kind, titles)
        mails.append(Mail(make_id(), now.isoformat(), to, subject, body, tuple(dict.fromkeys(after))))
        return mails[-1].id

    for kind in Kind:
        appeared = [one for one in news.appeared if one.kind is kind]
        if appeared:
            body = render_troubles([(one, one.since or now) for one in appeared], head, reminder=False)
            sent = add("Problème", kind, [one.title for one in appeared], body)
            messages |= dict.fromkeys((one.key for one in appeared), sent)
        lasting = [(one, parse_time(told[one.key].since) or now) for one in news.lasting if one.kind is kind]
        if lasting:
            body = render_troubles(lasting, head, reminder=True)
            add("Rappel", kind, [one.title for one, _ in lasting], body, (told[one.key].message for one, _ in lasting))
        mended = [one for one in news.mended.values() if one.kind == kind]
        if mended:
            body = render_mended([(one.title, parse_time(one.since) or now) for one in mended], head, now)
            add("Résolu", kind, [one.title for one in mended], body, (one.message for one in mended))
    return mails, messages


def make_alerted(
    before: Alerted,
    observed: Observed,
    settings: Alerts,
    head: Letterhead,
    now: datetime,
    make_id: Callable[[], str] = make_msgid,
) -> tuple[Alerted, bool]:
    """What is remembered once all news is in the outbox, and whether there was any."""
    news = make_news(before.told, observed, now, timedelta(days=settings.remind_after))
    mails, messages = make_mails(news, before.told, head, settings.to, now, make_id)
    return Alerted(make_told(before.told, news, messages, now), (*before.outbox, *mails)), bool(news)


def run_tell(
    state: Path,
    settings: Alerts,
    observed: Observed,
    head: Letterhead,
    now: datetime,
    send: Callable[[Sequence[Mail], Callable[[Mail, tuple[str, ...]], None]], list[str]],
) -> tuple[tuple[Mail, ...], list[str]]:
    """Tell what changed, and send what was not sent before. Returns the mails, and why some could not be sent.

    `send` is `socle.clock.mail.run_send`, told of its server. Raises SocleError.
    """
    domain = settings.sender.rpartition("@")[2]
    make_id = partial(make_msgid, domain=domain)
    alerted, changed = make_alerted(load_alerted(state), observed, settings, head, now, make_id)
    if changed:
        run_remember(state, alerted)
    waiting = {mail.id: mail for mail in alerted.outbox}

    def strike(mail: Mail, refused: tuple[str, ...]) -> None:
        if refused:
            waiting[mail.id] = replace(mail, to=refused)
        else:
            del waiting[mail.id]
        run_remember(state, Alerted(alerted.told, tuple(waiting.values())))

    return alerted.outbox, send(alerted.outbox, strike)


def load_alerted(state: Path) -> Alerted:
    """What is remembered. Raises SocleError when it is there and cannot be read: to forget it would tell all again,
    and lose what was not sent."""
    path = state / FILE
    try:
        data: Any = json.loads(path.read_bytes())
        told = {str(key): Told(**one) for key, one in data["told"].items()}
        outbox = tuple(Mail(**{**one, "to": tuple(one["to"]), "after": tuple(one["after"])}) for one in data["outbox"])
    except FileNotFoundError:
        return Alerted()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SocleError(
            f"{path} cannot be read: {error!r}", "move it away: what is wrong will be told again"
        ) from None
    return Alerted(told, outbox)


def run_remember(state: Path, alerted: Alerted) -> None:
    """Write it down, whole or not at all."""
    data = {
        "told": {key: asdict(one) for key, one in alerted.told.items()},
        "outbox": list(map(asdict, alerted.outbox)),
    }
    run_write(state / FILE, json.dumps(data, ensure_ascii=False, indent=1).encode() + b"\n")
