"""Mails: in French, right on the wire, without secrets; sent over SMTP, encrypted when asked."""

from __future__ import annotations

import email
import email.policy
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import settings as settings_of_test
from hypothesis import strategies as st
from pydantic import ValidationError

from socle.clock import mail as module
from socle.clock.certificates import make_trust
from socle.clock.mail import (
    Letterhead,
    Mail,
    hide,
    load_place,
    make_message,
    render_mended,
    render_subject,
    render_time,
    render_troubles,
    run_send,
)
from socle.clock.settings import Alerts
from socle.clock.troubles import Kind, Trouble
from tests.unit.clock.mail_server import MailServer, serving

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 27, 5, 30, tzinfo=UTC)
HEAD = Letterhead("prod", "SITPI", PARIS, 7)
TROUBLE = Trouble(
    key="backup:wp-a",
    kind=Kind.BACKUP,
    title="sauvegarde en échec pour wp-a",
    what="La sauvegarde du site wp-a (amis-du-lac) est en échec.\nDétail : the dump is empty",
    todo="Lire le détail, corriger, puis relancer la sauvegarde.",
    command="backup status",
)
MAIL = Mail(
    id="<1@asso.example>",
    date="2026-11-27T05:30:00+00:00",
    to=("a@asso.example", "b@asso.example"),
    subject="[socle prod] Problème : sauvegarde en échec pour wp-a",
    body="Bonjour,\n\n.\nÉté à l’école 🎉\n" + "long " * 60 + "\n-- \nsocle\n",
)


def test_the_mail_about_a_trouble() -> None:
    assert (
        render_troubles([(TROUBLE, NOW)], HEAD, reminder=False)
        == """\
Bonjour,

Ce qui suit demande votre intervention.

* La sauvegarde du site wp-a (amis-du-lac) est en échec.
  Détail : the dump is empty
  Depuis : vendredi 27 novembre 2026 à 06 h 30
  Que faire : Lire le détail, corriger, puis relancer la sauvegarde.
  Commande : socle backup status --env prod

Vous recevrez un rappel tous les 7 jours, et un message quand ce sera résolu.

--\x20
Message\x20automatique de socle, environnement prod (SITPI)
"""
    )


def test_the_mail_about_what_is_mended() -> None:
    assert (
        render_mended([("sauvegarde en échec pour wp-a", NOW)], HEAD, datetime(2026, 12, 1, 7, tzinfo=UTC))
        == """\
Bonjour,

Ce qui suit est résolu.

* sauvegarde en échec pour wp-a
  Durait depuis : vendredi 27 novembre 2026 à 06 h 30

Constaté le mardi 1er décembre 2026 à 08 h 00. Il n’y a rien à faire.

--\x20
Message\x20automatique de socle, environnement prod (SITPI)
"""
    )


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2027-03-28T00:59:00+00:00", "dimanche 28 mars 2027 à 01 h 59"),
        ("2027-03-28T01:00:00+00:00", "dimanche 28 mars 2027 à 03 h 00"),
        ("2026-07-31T23:30:00+00:00", "samedi 1er août 2026 à 01 h 30"),
    ],
)
def test_times_are_local_and_in_french(at: str, expected: str) -> None:
    assert render_time(datetime.fromisoformat(at), PARIS) == expected


def parse(content: bytes) -> Any:
    return email.message_from_bytes(content, policy=email.policy.default)


def read(content: bytes) -> str:
    return str(parse(content).get_content()).replace("\r\n", "\n")


def test_the_message_on_the_wire() -> None:
    content = make_message(Mail(**{**vars(MAIL), "after": ("<0@asso.example>",)}), "socle@asso.example").as_bytes()
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    message = parse(content)
    assert message["Subject"] == MAIL.subject
    assert message["From"].addresses[0].addr_spec == "socle@asso.example"
    assert [one.addr_spec for one in message["To"].addresses] == list(MAIL.to)
    assert message["Date"].datetime == NOW
    assert (message["Message-ID"], message["In-Reply-To"]) == ("<1@asso.example>", "<0@asso.example>")
    assert (message["References"], message["Auto-Submitted"]) == ("<0@asso.example>", "auto-generated")
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"
    assert read(content) == MAIL.body


@settings_of_test(deadline=None)
@example(["0¡¡¡¡¡¡¡𐀀 ¡"], "")
@given(st.lists(st.text(), min_size=1, max_size=3), st.text(st.characters(exclude_categories=("Cs",)), max_size=300))
def test_whatever_the_words_the_message_reads_back(titles: list[str], body: str) -> None:
    subject = render_subject(HEAD, "Problème", Kind.RUN, titles)
    clean = "".join(c for c in body if c.isprintable())
    content = make_message(Mail("<1@x>", MAIL.date, MAIL.to, subject, clean + "\n"), "a@x.example").as_bytes()
    message = parse(content)
    # Runs of blanks may be folded into one in a header; nothing else may change, nor a header be added.
    assert str(message["Subject"]).split() == subject.split()
    assert read(content) == clean + "\n"
    assert len(message.keys()) == 11 - 2  # no References, no In-Reply-To


@pytest.mark.parametrize(
    "secret",
    ["rest:https://amis:S3cr3t-CANARY@10.1.2.3:8443/amis/", "AGE-SECRET-KEY-1CANARY", "smtp://u:CANARY@host"],
)
def test_no_credential_is_told(secret: str) -> None:
    told = Trouble(**{**vars(TROUBLE), "what": f"repository {secret} is locked", "title": f"x {secret}"})
    body = render_troubles([(told, NOW)], HEAD, reminder=False) + render_mended([(told.title, NOW)], HEAD, NOW)
    assert "CANARY" not in body + render_subject(HEAD, "Problème", Kind.BACKUP, [told.title])
    assert "is locked" in body
    assert hide("https://a.example/x@y a@b.example") == "https://a.example/x@y a@b.example"


def settings(server: MailServer, **changes: Any) -> Alerts:
    values = {"smtp": f"127.0.0.1:{server.port}", "sender": "socle@asso.example", "to": MAIL.to, "starttls": False}
    return Alerts.model_validate({**values, **changes})


def send(server: MailServer, *mails: Mail, **changes: Any) -> tuple[list[str], list[tuple[str, tuple[str, ...]]]]:
    struck: list[tuple[str, tuple[str, ...]]] = []
    strike: Callable[[Mail, tuple[str, ...]], None] = lambda mail, refused: struck.append((mail.id, refused))  # noqa: E731
    chosen = settings(server, **changes)
    trust = changes.pop("trust", ssl.create_default_context())
    return run_send(mails, strike, settings=chosen, place=chosen.server, trust=trust), struck


def test_it_arrives_as_it_was_written() -> None:
    with serving() as server:
        assert send(server, MAIL) == ([], [(MAIL.id, ())])
    ((to, content),) = server.mails
    assert to == list(MAIL.to)
    assert read(content) == MAIL.body
    assert parse(content)["Subject"] == MAIL.subject


def test_a_mail_that_is_refused_holds_up_no_other() -> None:
    other = Mail(**{**vars(MAIL), "id": "<2@x>", "to": ("c@asso.example",)})
    with serving() as server:
        server.refused = {"a@asso.example", "b@asso.example"}
        errors, struck = send(server, MAIL, other)
    assert struck == [("<2@x>", ())]
    assert "all recipients were refused" in errors[0]
    assert len(server.mails) == 1


def test_a_recipient_that_is_refused_is_said() -> None:
    with serving() as server:
        server.refused = {"b@asso.example"}
        errors, struck = send(server, MAIL)
    assert struck == [(MAIL.id, ("b@asso.example",))]
    assert "b@asso.example was refused" in errors[0]


def test_a_server_that_is_full_or_hangs_up_keeps_the_rest() -> None:
    second = Mail(**{**vars(MAIL), "id": "<2@x>"})
    with serving() as server:
        server.full = True
        errors, struck = send(server, MAIL)
        assert struck == []
        assert "452 the disk is full" in errors[0]
        server.full, server.breaks_after = False, 1
        errors, struck = send(server, MAIL, second)
        assert struck == [(MAIL.id, ())]
        assert len(errors) == 1


def test_a_server_that_is_not_there_or_silent_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = MailServer(port=silent.getsockname()[1])
        start = time.monotonic()
        errors, struck = send(server, MAIL)
        assert time.monotonic() - start < 8
        assert errors
        assert struck == []
    errors, struck = send(server, MAIL)
    assert "refused" in errors[0]
    assert struck == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of an authority, as a lab's state folder has it, and one of a server."""
    folder = tmp_path_factory.mktemp("authority")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    leaf = ["-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    for command in (
        [*new, "-subj", "/CN=root", "-keyout", "root.key", "-out", "acme-root.pem"],
        [*new, *leaf, "-CA", "acme-root.pem", "-CAkey", "root.key", "-keyout", "server.key", "-out", "server.crt"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "server.pem").write_bytes((folder / "server.key").read_bytes() + (folder / "server.crt").read_bytes())
    return folder


def test_starttls_encrypts_and_trusts_the_labs_authority_only(authority: Path) -> None:
    with serving(authority / "server.pem") as server:
        errors, struck = send(server, MAIL, starttls=True)
        assert "CERTIFICATE_VERIFY_FAILED" in errors[0]
        assert struck == []
        chosen = settings(server, starttls=True)
        trust = make_trust(authority)
        assert run_send([MAIL], lambda *_: None, settings=chosen, place=chosen.server, trust=trust) == []
    assert server.encrypted == [True]


def test_starttls_is_never_given_up() -> None:
    with serving() as server:
        errors, struck = send(server, MAIL, starttls=True)
    assert "STARTTLS" in errors[0]
    assert (struck, server.mails) == ([], [])


def test_nobody_is_called_when_there_is_nothing_to_send() -> None:
    assert send(MailServer(port=1)) == ([], [])


def test_a_host_of_the_lab_is_found_by_the_note_it_left(tmp_path: Path) -> None:
    chosen = Alerts(smtp="outside:25", sender="a@x.example", to=("b@x.example",))
    assert load_place(chosen, tmp_path) == ("outside", 25)
    (tmp_path / "outside.json").write_text('{"ipv4": "10.64.1.2", "ipv6": ""}')
    assert load_place(chosen, tmp_path) == ("10.64.1.2", 25)


@pytest.mark.parametrize(
    ("smtp", "server"),
    [
        ("mail.asso.example:25", ("mail.asso.example", 25)),
        ("10.0.0.1:587", ("10.0.0.1", 587)),
        ("[fd00::1]:25", ("fd00::1", 25)),
    ],
)
def test_the_server_is_a_host_and_a_port(smtp: str, server: tuple[str, int]) -> None:
    assert Alerts(smtp=smtp, sender="a@x.example", to=("b@x.example",)).server == server


@pytest.mark.parametrize(
    "smtp", ["mail", "mail:", ":25", "mail:0", "mail:65536", "mail:٢٥", "fd00::1:25", "a b:25", ""]
)
def test_another_server_is_refused(smtp: str) -> None:
    with pytest.raises(ValidationError, match="expected host:port"):
        Alerts(smtp=smtp, sender="a@x.example", to=("b@x.example",))


@pytest.mark.parametrize(
    "address",
    ["", "a", "@x", "a@", "a@.", "a@b@c", "a b@x", "a@x\nBcc: b@y", "<a@x>", "a@x,b@y", "é@x"],
)
def test_another_address_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="expected an e-mail address"):
        Alerts(smtp="m:25", sender="a@x.example", to=(address,))
