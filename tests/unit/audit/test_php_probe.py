"""The program that has a site's own PHP look around, against a pool that is played."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from socle.audit.host import php_probe

SITE = {"name": "wp-a", "unit": "a.service", "script": "/x/version.php", "login": "return ['u', 'p'];", "pid": 0}
OTHER = {**SITE, "name": "wp-b", "unit": "b.service", "socket": "/run/b"}
GIVEN: dict[str, Any] = {"code": "echo 1;", "elsewhere": ["/root"], "sites": []}


class Pool:
    """A FastCGI server that answers one request with `text`, and keeps what it was sent."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text, self.received = path, text, b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while not self.received.endswith(php_probe.record(php_probe.STDIN, b"")):
                self.received += connection.recv(65536)
            answer = f"Content-type: text/html\r\n\r\n{self.text}".encode()
            with suppress(BrokenPipeError):  # who has read enough hangs up
                connection.sendall(php_probe.stream(php_probe.STDOUT, answer))
                connection.sendall(php_probe.record(php_probe.END, struct.pack("!IB3x", 0, 0)))

    def content(self, kind: int) -> bytes:
        """What came in the records of a kind."""
        data, found = self.received, b""
        while data:
            _, got, _, length, padding = struct.unpack("!BBHHBx", data[:8])
            found += data[8 : 8 + length] if got == kind else b""
            data = data[8 + length + padding :]
        return found


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path / "php.sock", json.dumps({"tmp": "1:2"}))


def test_the_worker_is_doomed_before_anything_else_runs(pool: Pool) -> None:
    site = {**SITE, "socket": str(pool.path)}
    answer = php_probe.look({**GIVEN, "sites": [site, OTHER]}, site, {"a.service": 1, "b.service": 77})
    assert answer["php"] == {"tmp": "1:2"}
    body = pool.content(php_probe.STDIN).decode()
    assert body.startswith("<?php\nposix_kill(getmypid(), 3);\n")
    assert body.endswith("$login = (static function () { return ['u', 'p']; })();\necho 1;")
    data = json.loads(body.split("<<<'SOCLE'\n")[1].split("\nSOCLE")[0])
    assert (data["own"]["pid"], data["others"]["wp-b"]["pid"], data["elsewhere"]) == (1, 77, ["/root"])
    parameters = pool.content(php_probe.PARAMS)
    assert b"PHP_ADMIN_VALUEopen_basedir=/\nallow_url_include=1" in parameters
    assert b"SCRIPT_FILENAME/x/version.php" in parameters


def test_a_pool_that_is_not_there_or_says_nonsense_is_an_error(tmp_path: Path) -> None:
    site = {**SITE, "socket": str(tmp_path / "gone")}
    assert "No such file" in php_probe.look({**GIVEN, "sites": [site]}, site, {"a.service": 1})["error"]
    assert php_probe.look({**GIVEN, "sites": [site]}, site, {})["error"] == "a.service does not run"
    odd = {**SITE, "socket": str(Pool(tmp_path / "odd", "Fatal error").path)}
    assert php_probe.look({**GIVEN, "sites": [odd]}, odd, {"a.service": 1})["error"] == "PHP said: Fatal error"


def test_a_pool_that_never_stops_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(php_probe, "LONGEST", 1000)
    site = {**SITE, "socket": str(Pool(tmp_path / "php.sock", "x" * 5000).path)}
    assert "does not stop" in php_probe.look({**GIVEN, "sites": [site]}, site, {"a.service": 1})["error"]


def test_long_bodies_go_in_several_records() -> None:
    text = php_probe.stream(php_probe.STDIN, b"x" * 70000)
    assert struct.unpack("!BBHHBx", text[:8])[3] == 65535
    assert text.endswith(php_probe.record(php_probe.STDIN, b""))


def test_what_the_kernel_says_of_a_process() -> None:
    found = php_probe.load_kernel(os.getpid())
    assert found["uid"] == [str(os.getuid())]
    assert isinstance(found["filters"], int)
    assert set(found["shared_namespaces"]) <= {"mnt", "ipc"}
    assert found["tmp"].count(":") == 1
