"""A mail server for tests: it takes what it is told to take, on a port of this machine."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class MailServer:
    """`mails`: recipients and bytes of each mail taken. `refused`: recipients it does not take. `full`: takes none.
    `breaks_after`: hangs up after so many mails."""

    port: int = 0
    mails: list[tuple[list[str], bytes]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    full: bool = False
    breaks_after: int = 1000
    tls: ssl.SSLContext | None = None
    encrypted: list[bool] = field(default_factory=list)


class _Handler(socketserver.StreamRequestHandler):
    server: Any
    timeout = 10

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self) -> None:
        state: MailServer = self.server.state
        encrypted, to = False, list[str]()
        self.say("220 test ESMTP")
        while line := self.rfile.readline().decode().strip():
            verb = line.upper()
            if verb.startswith("EHLO"):
                self.say("250-test" if state.tls and not encrypted else "250 test")
                if state.tls and not encrypted:
                    self.say("250 STARTTLS")
            elif verb == "STARTTLS":
                self.say("220 go on")
                assert state.tls
                self.request = state.tls.wrap_socket(self.request, server_side=True)
                self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
                encrypted = True
            elif verb.startswith("RCPT TO:"):
                address = line[9:].partition(">")[0]
                if address in state.refused:
                    self.say("550 nobody")
                else:
                    to.append(address)
                    self.say("250 fine")
            elif verb == "DATA":
                if state.full:
                    self.say("452 the disk is full")
                    continue
                self.say("354 go on")
                content = b""
                while (data := self.rfile.readline()) != b".\r\n":
                    content += data.removeprefix(b".") if data.startswith(b"..") else data
                state.mails.append((to, content))
                state.encrypted.append(encrypted)
                to = []
                self.say("250 taken")
                if len(state.mails) >= state.breaks_after:
                    return
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                if verb in ("RSET",) or verb.startswith("MAIL"):
                    to = []
                self.say("250 fine")


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[MailServer]:
    """The server, while it runs; with STARTTLS when there is a certificate (one file with its key)."""
    state = MailServer()
    if certificate:
        state.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        state.tls.load_cert_chain(certificate)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.state = state  # type: ignore[attr-defined]
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
