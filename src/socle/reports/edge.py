"""The certificates that the edge shows, read over TLS as a visitor would."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import Any

from socle.errors import Unreachable
from socle.model.plan import Plan
from socle.reports.status_model import Shown

PORT = 443


def find_edge(plan: Plan) -> str:
    """The address at which visitors reach the edge; empty when the plan has none."""
    nics = (nic for host in plan.role("edge") for nic in host.nics if nic.network == "public")
    return next((str(nic.ipv4.ip) for nic in nics), "")


def load_shown(name: str, address: str, trust: ssl.SSLContext, seconds: float, port: int = PORT) -> Shown:
    """What the edge shows for `name`. Raises Unreachable when it does not answer at all."""
    try:
        plain = socket.create_connection((address, port), timeout=seconds)
    except OSError as error:
        raise Unreachable(f"the edge ({address}) does not answer: {error}") from error
    with plain:
        try:
            with trust.wrap_socket(plain, server_hostname=name) as connection:
                shown: Any = connection.getpeercert() or {}
        except ssl.SSLCertVerificationError as error:
            return Shown(problem=f"not trusted: {error.verify_message}")
        except TimeoutError as error:
            raise Unreachable(f"the edge ({address}) does not answer: {error}") from error
        except OSError as error:
            return Shown(problem=f"no certificate: {getattr(error, 'reason', None) or error}")
    return Shown(begins=_parse_time(shown["notBefore"]), end=_parse_time(shown["notAfter"]))


def _parse_time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
