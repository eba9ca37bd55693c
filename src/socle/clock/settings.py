"""`alerts:` of platform.yml: whom to write to when a human must act, and through which mail server."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from socle.model.base import Model

_LAST_PORT = 65535


def check_place(value: str) -> str:
    """`host:port`, or ValueError. An IPv6 address is written between brackets."""
    host, _, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    in_brackets = bare != host
    if not bare or any(c.isspace() for c in bare) or (":" in bare) != in_brackets:
        raise ValueError("expected host:port, such as mail.asso.example:25")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT):
        raise ValueError("expected host:port, such as mail.asso.example:25")
    return value


def check_address(value: str) -> str:
    """An address such as `informatique@asso.example`, or ValueError. ASCII only: not every
    server takes more."""
    name, _, domain = value.rpartition("@")
    wrong = any(not "!" <= c <= "~" or c in '<>,;:"()[]\\' for c in value)
    if wrong or not name or "@" in name or not domain.strip("."):
        raise ValueError("expected an e-mail address, such as informatique@asso.example")
    return value


Address = Annotated[str, AfterValidator(check_address)]


class Alerts(Model):
    """E-mail to those who must act. Nothing of it is secret: the server is one that takes mail from this machine."""

    smtp: Annotated[str, AfterValidator(check_place)] = Field(
        description="Mail server, host:port. In a lab the host may be `outside`.", examples=["mail.asso.example:25"]
    )
    sender: Address = Field(description="From whom.", examples=["socle@asso.example"])
    to: tuple[Address, ...] = Field(min_length=1, description="To whom.", examples=[["informatique@asso.example"]])
    starttls: bool = Field(default=True, description="Encrypt, and check the server's certificate.")
    remind_after: int = Field(default=7, ge=1, le=90, description="Days after which what is not mended is told again.")

    @property
    def server(self) -> tuple[str, int]:
        """Host (an IPv6 address without its brackets) and port of the mail server."""
        host, _, port = self.smtp.rpartition(":")
        return host.strip("[]"), int(port)
