"""Certificates as a visitor is shown them: read from TLS connections, also the wrong ones."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from socle.clock.certificates import (
    Certificate,
    find_reason,
    make_names,
    make_trust,
    parse_certificates,
    run_read,
    run_write_certificates,
)
from socle.planning.allocate import make_site_allocations
from socle.planning.make_plan import make_plan
from tests.make import make_inputs, make_request_text

NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("edge")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"]
    leaf = ["-subj", "/CN=a", "-addext", "subjectAltName=DNS:a.example", "-addext", "basicConstraints=CA:FALSE"]
    for command in (
        [*new, "-subj", "/CN=root", "-keyout", "root.key", "-out", "acme-root.pem"],
        [*new, *leaf, "-CA", "acme-root.pem", "-CAkey", "root.key", "-keyout", "a.key", "-out", "a.crt"],
    ):
        subprocess.run(command, cwd=made, check=True, capture_output=True)
    return made


@contextmanager
def edge(folder: Path) -> Iterator[int]:
    """A TLS server with the certificate of a.example; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "a.crt", folder / "a.key")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listening.getsockname()[1]


def test_what_a_visitor_is_shown(folder: Path) -> None:
    names = [("wp-a", "a.example", "127.0.0.1"), ("wp-b", "b.example", "127.0.0.1")]
    with edge(folder) as port:
        good, wrong = run_read(names, make_trust(folder), port)
        (distrusted,) = run_read(names[:1], ssl.create_default_context(), port)
    assert (good.site, good.domain, good.error) == ("wp-a", "a.example", "")
    begins, expires = map(datetime.fromisoformat, (good.begins, good.expires))
    assert expires - begins == timedelta(days=9)
    assert begins.tzinfo
    assert "not trusted" in wrong.error
    assert "b.example" in wrong.error
    assert "not trusted" in distrusted.error


def test_nobody_there_is_an_error_and_no_names_is_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (found,) = run_read([("wp-a", "a.example", "127.0.0.1")], ssl.create_default_context(), port)
    assert found.error.startswith("no TLS connection")
    assert run_read([], ssl.create_default_context(), port) == []


@pytest.mark.parametrize(
    ("left", "life", "said"),
    [
        (timedelta(days=30), timedelta(days=90), ""),
        (timedelta(days=18), timedelta(days=90), ""),
        (timedelta(days=17), timedelta(days=90), "n’a pas été renouvelé"),
        (timedelta(hours=3), timedelta(hours=12), ""),
        (timedelta(hours=2), timedelta(hours=12), "n’a pas été renouvelé"),
        (timedelta(0), timedelta(hours=12), "a expiré"),
    ],
)
def test_a_certificate_is_renewed_long_before_its_end(left: timedelta, life: timedelta, said: str) -> None:
    expires = NOW + left
    one = Certificate("wp-a", "a.example", (expires - life).isoformat(), expires.isoformat())
    assert bool(find_reason(one, NOW)) == bool(said)
    assert said in find_reason(one, NOW)


def test_what_has_no_dates_is_wrong() -> None:
    assert find_reason(Certificate("wp-a", "a.example"), NOW) == "ses dates ne se lisent pas"


def test_what_was_read_is_kept(tmp_path: Path) -> None:
    found = [Certificate("wp-a", "école.example", NOW.isoformat(), NOW.isoformat()), Certificate("b", "c", error="d")]
    run_write_certificates(tmp_path, found)
    assert parse_certificates((tmp_path / "certificates.json").read_bytes()) == found
    for content in (b"[]", b"{}", b'{"certificates": [1]}', b'{"certificates": [{"odd": 1}]}'):
        with pytest.raises(ValueError):  # noqa: PT011
            parse_certificates(content)


def test_the_names_are_those_that_are_ours_to_serve() -> None:
    services = {"page": {"domain": "amis.example", "redirects": ["www.amis.example", "elsewhere.test"]}}
    inputs = make_inputs({"amis": make_request_text(services=services)})
    plan = make_plan(replace(inputs, allocations=make_site_allocations(inputs, ["amis"])))
    assert make_names(plan) == [
        ("pg-amis", "amis.example", "10.64.1.10"),
        ("pg-amis", "www.amis.example", "10.64.1.10"),
    ]
    assert make_names(plan.model_copy(update={"hosts": ()})) == []
