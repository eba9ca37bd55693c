"""E-mails about troubles: written in French for those who must act, and sent."""

from __future__ import annotations

import json
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from pathlib import Path

from socle.clock.settings import Alerts
from socle.clock.troubles import Kind, Trouble

TIMEOUT = 20
"""Seconds for each exchange with the mail server."""
SHOWN = 30
"""Troubles shown in one mail; the others are counted."""
_DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
_MONTHS = (
    *("janvier", "février", "mars", "avril", "mai", "juin"),
    *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
)
_MANY = {
    Kind.BACKUP: "sauvegardes en défaut",
    Kind.AUDIT: "contrôles non conformes",
    Kind.CERTIFICATE: "certificats à surveiller",
    Kind.RUN: "travaux programmés en échec",
    Kind.MISSED: "travaux programmés manqués",
}
_CREDENTIAL = re.compile(r"(?<=://)[^\s/@]*:[^\s/]*@|AGE-SECRET-KEY-\w+", re.IGNORECASE)


@dataclass(frozen=True)
class Mail:
    """A mail to send. `id`: its Message-ID; `after`: those of the mails that it follows; `date`: ISO 8601."""

    id: str
    date: str
    to: tuple[str, ...]
    subject: str
    body: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Letterhead:
    """What all mails of an environment say of it."""

    environment: str
    """Its name, without the clone's mark: what --env is given."""
    syndicate: str
    timezone: tzinfo
    remind_after: int
    """Days."""


def render_time(at: datetime, timezone: tzinfo) -> str:
    """`vendredi 27 novembre 2026 à 06 h 30`, in local time."""
    local = at.astimezone(timezone)
    day = "1er" if local.day == 1 else str(local.day)
    return f"{_DAYS[local.weekday()]} {day} {_MONTHS[local.month - 1]} {local.year} à {local:%H h %M}"


def render_subject(head: Letterhead, transition: str, kind: Kind, titles: Sequence[str]) -> str:
    """One line: which environment, what happened, of what."""
    told = titles[0] if len(titles) == 1 else f"{len(titles)} {_MANY[kind]}"
    plain = "".join(c if c.isprintable() else " " for c in f"[socle {head.environment}] {transition} : {told}")
    return hide(" ".join(plain.split()))


def render_trouble(trouble: Trouble, since: datetime, head: Letterhead) -> str:
    """What, since when, what to do, with which command."""
    what = trouble.what.replace("\n", "\n  ")
    return (
        f"* {what}\n"
        f"  Depuis : {render_time(since, head.timezone)}\n"
        f"  Que faire : {trouble.todo}\n"
        f"  Commande : socle {trouble.command} --env {head.environment}\n"
    )


def render_troubles(troubles: Sequence[tuple[Trouble, datetime]], head: Letterhead, reminder: bool) -> str:
    """The body of a mail about what is wrong."""
    first = (
        "Ce qui suit n’est toujours pas résolu et demande votre intervention."
        if reminder
        else "Ce qui suit demande votre intervention."
    )
    shown = [render_trouble(trouble, since, head) for trouble, since in troubles[:SHOWN]]
    rest = len(troubles) - len(shown)
    more = [f"… et {rest} de plus : la commande les montre tous.\n"] if rest else []
    note = (
        f"Vous recevrez un rappel tous les {head.remind_after} jours, et un message quand ce sera résolu.\n"
        if head.remind_after > 1
        else "Vous recevrez un rappel chaque jour, et un message quand ce sera résolu.\n"
    )
    return hide("\n".join(["Bonjour,\n", first + "\n", *shown, *more, note, render_signature(head)]))


def render_mended(mended: Sequence[tuple[str, datetime]], head: Letterhead, now: datetime) -> str:
    """The body of a mail about what is no longer wrong: titles, and since when it was."""
    lines = [f"* {title}\n  Durait depuis : {render_time(since, head.timezone)}\n" for title, since in mended[:SHOWN]]
    more = [f"… et {len(mended) - SHOWN} de plus.\n"] if len(mended) > SHOWN else []
    seen = f"Constaté le {render_time(now, head.timezone)}. Il n’y a rien à faire.\n"
    return hide("\n".join(["Bonjour,\n", "Ce qui suit est résolu.\n", *lines, *more, seen, render_signature(head)]))


def render_signature(head: Letterhead) -> str:
    """The end of each mail, by the custom of a line with two hyphens and a space."""
    return f"-- \nMessage automatique de socle, environnement {head.environment} ({head.syndicate})\n"


def hide(text: str) -> str:
    """The text without what could be a credential: a reason quotes what programs said."""
    return _CREDENTIAL.sub("…", text)


class _MailPolicy(EmailPolicy):
    """Subjects are folded by the older code of the library: the newer one loses blanks between encoded words (seen
    with Python 3.11 on `0¡¡¡¡¡¡¡𐀀 ¡` after a few words)."""

    def fold(self, name: str, value: str) -> str:
        if name.lower() != "subject":
            return str(super().fold(name, value))
        charset = "us-ascii" if value.isascii() else "utf-8"
        return f"{name}: {Header(str(value), charset, header_name=name).encode(linesep=self.linesep)}{self.linesep}"

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("ascii")


_POLICY = _MailPolicy(linesep="\r\n")


def make_message(mail: Mail, sender: str) -> EmailMessage:
    """The message as it travels: UTF-8 text, encoded headers where they need it."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address("socle", addr_spec=sender)
    message["To"] = tuple(Address(addr_spec=one) for one in mail.to)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(datetime.fromisoformat(mail.date))
    message["Message-ID"] = mail.id
    if mail.after:
        message["In-Reply-To"] = mail.after[0]
        message["References"] = " ".join(mail.after)
    # Nobody's notice of absence answers it. Source: RFC 3834
    message["Auto-Submitted"] = "auto-generated"
    message["Content-Language"] = "fr"
    message.set_content(mail.body, charset="utf-8", cte="quoted-printable")
    return message


def load_place(settings: Alerts, state: Path) -> tuple[str, int]:
    """Where the mail server is: a host of the lab by the note that it left in the state folder, else its name."""
    host, port = settings.server
    note = state / f"{host}.json"
    return (str(json.loads(note.read_text())["ipv4"]) if note.is_file() else host), port


def run_send(
    mails: Sequence[Mail],
    strike: Callable[[Mail, tuple[str, ...]], None],
    *,
    settings: Alerts,
    place: tuple[str, int],
    trust: ssl.SSLContext,
) -> list[str]:
    """Send mails through the server at `place`, one after the other; what went wrong, a line each.

    `strike` is called after each that was taken, with those of its recipients that the server refused.
    """
    errors: list[str] = []
    if not mails:
        return errors
    try:
        # Its own name as it is: to ask for a full one can take as long as a DNS server that is down.
        with smtplib.SMTP(*place, local_hostname=socket.gethostname(), timeout=TIMEOUT) as server:
            if settings.starttls:
                server.starttls(context=trust)
            for mail in mails:
                try:
                    refused = server.send_message(make_message(mail, settings.sender), settings.sender, mail.to)
                except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
                    errors.append(f"{mail.subject}: {_describe(error)}")
                    continue
                errors += [f"{mail.subject}: {to} was refused" for to in refused]
                strike(mail, tuple(refused))
    except (OSError, smtplib.SMTPException) as error:
        errors.append(f"{settings.smtp}: {_describe(error)}")
    return errors


def _describe(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"all recipients were refused: {', '.join(error.recipients)}"
    if isinstance(error, smtplib.SMTPResponseException):
        answer = error.smtp_error
        said = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
        return f"{error.smtp_code} {said}"
    return str(error) or type(error).__name__
