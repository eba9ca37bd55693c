"""What the vault and restic say, and what it means."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.catalogue.backup_samples import CREDENTIAL, KEY, load_part

vault = load_part("vault")
Failed = load_part("programs").Failed
CONFIG: dict[str, Any] = {
    "site": "wp-a",
    "association": "asso",
    "url": "rest:https://10.64.2.12:8443/asso/",
    "user": "asso",
    "credential": CREDENTIAL,
    "key": KEY,
    "folder": "/srv/sites/wp-a",
}
STAGING = "/var/lib/socle/backups/staging/wp-a"


def test_the_command_is_as_expected() -> None:
    assert vault.make_backup(CONFIG, "web1", STAGING, [".socle", "cache"]) == [
        *("restic", "backup", "--json", "--quiet", "--no-scan", "--cleanup-cache"),
        *("--cacert", "/etc/socle/vault.pem", "--retry-lock", "2m", "--host", "web1"),
        *("--tag", "site=wp-a", "--tag", "association=asso", "--tag", "format=1"),
        *("--exclude", "/srv/sites/wp-a/.socle", "--exclude", "/srv/sites/wp-a/cache"),
        *("--", "/srv/sites/wp-a", STAGING),
    ]


def test_restic_can_open_the_site_and_what_was_prepared_and_no_other_site() -> None:
    command = vault.make_confined(["restic"], CONFIG, STAGING)
    rules = [part.split(":", 2) for part in command if part.startswith("path-beneath:")]
    paths = {path for _, _, path in rules}
    assert {"/srv/sites/wp-a", STAGING, "/usr", str(vault.CACHE)} <= paths
    assert not paths & {"/", "/etc", "/srv", "/srv/sites", "/var", "/var/lib/socle", "/root", "/proc"}
    assert {path for _, access, path in rules if "write" in access} == {str(vault.CACHE)}
    assert command[-2:] == ["--", "restic"]


def test_the_environment_holds_the_secrets_as_they_are() -> None:
    found = vault.make_secrets(CONFIG)
    assert (found["RESTIC_PASSWORD"], found["RESTIC_REST_PASSWORD"]) == (KEY, CREDENTIAL)
    assert found["RESTIC_REPOSITORY"] == CONFIG["url"]


_LOCK = (
    '{"message_type":"exit_error","code":11,"message":"Fatal: unable to create lock in backend: repository is already '
    "locked exclusively by PID 4711 on vault1 by root (UID 0, GID 0)\\nlock was created at 2026-11-27 01:00:00 "
    '(%s ago)\\nstorage ID abcdef\\nthe `unlock` command can be used to remove stale locks"}\n'
)


@pytest.mark.parametrize(
    ("age", "dead"), [("1h2m3.5s", True), ("31m0s", True), ("25h0m1s", True), ("29m59s", False), ("5.2s", False)]
)
def test_a_lock_is_named_and_a_dead_client_told_from_one_at_work(age: str, dead: bool) -> None:
    report = vault.Report("/srv/sites/wp-a")
    report.add((_LOCK % age).encode())
    problem = report.make_outcome(11, b"").problem
    assert problem.startswith(f"the repository is locked by PID 4711 on vault1 for {age}: ")
    assert ("dead client" in problem) is dead


@pytest.mark.parametrize(
    ("line", "code", "problem"),
    [
        (b"Fatal: server response unexpected: 401 Unauthorized (401)", 1, "does not accept this host's credential"),
        (b"Fatal: unable to save snapshot: server response unexpected: 507 Insufficient Storage", 1, "no room left"),
        (b'{"message_type":"exit_error","code":12,"message":"Fatal: wrong password"}', 12, "does not accept this site"),
        (b'{"message_type":"exit_error","code":10,"message":"Fatal: no"}', 10, "no repository there: Fatal: no"),
        (b"[]", 1, "restic ended with 1"),
        (b'{"message_type":"error","error":null}', 1, "restic ended with 1"),
        (b"\xff\xfe", 1, "restic ended with 1"),
    ],
)
def test_reasons(line: bytes, code: int, problem: str) -> None:
    report = vault.Report("/srv/sites/wp-a")
    report.add(line)
    assert problem in report.make_outcome(code, b"").problem


def test_a_snapshot_is_what_the_summary_names() -> None:
    assert vault.find_snapshot(b'junk\n[]\n{"message_type":"summary","snapshot_id":"ab"}\n') == "ab"
    assert vault.find_snapshot(b'{"message_type":"status"}\n') == ""


def test_a_million_errors_are_counted_and_fit_in_memory() -> None:
    report = vault.Report("/nowhere")
    for number in range(3000):
        report.add(b'{"message_type":"error","error":{"message":"open: denied"},"item":"/nowhere/%d"}' % number)
    outcome = report.make_outcome(3, b'{"message_type":"summary","snapshot_id":"ab"}')
    assert (outcome.unread.count, len(outcome.unread.first)) == (3000, 20)
    assert len(report._lines.text) < 10_000


# Asking before any work is done.


class _Vault(BaseHTTPRequestHandler):
    status = 200
    asked: tuple[str, str] = ("", "")

    def do_HEAD(self) -> None:
        type(self).asked = (self.path, self.headers["Authorization"])
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Vault) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"rest:http://127.0.0.1:{found.server_port}/asso/"
        found.shutdown()
        thread.join()


def test_the_vault_is_asked_with_the_credential_as_it_is(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Vault, "status", 200)
    vault.run_probe(server, "asso", CREDENTIAL)
    path, authorization = _Vault.asked
    assert path == "/asso/config"
    assert base64.b64decode(authorization.removeprefix("Basic ")).decode() == f"asso:{CREDENTIAL}"


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "credential"), (403, "does not let this host"), (404, "no repository"), (500, "in trouble")],
)
def test_what_the_vault_refuses_is_named(
    server: str, status: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Vault, "status", status)
    with pytest.raises(Failed, match=reason) as error:
        vault.run_probe(server, "asso", CREDENTIAL)
    assert CREDENTIAL not in str(error.value)


def test_a_vault_that_is_down_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"rest:http://127.0.0.1:{taken.getsockname()[1]}/asso/"
        with pytest.raises(Failed, match="does not answer"):
            vault.run_probe(url, "asso", "x")


def test_a_vault_without_our_certificate_is_not_trusted(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "CERTIFICATE", None)
    with pytest.raises(Failed, match="is not the one we trust"):
        vault.run_probe(server.replace("http:", "https:"), "asso", "x")
