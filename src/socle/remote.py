"""Reaching hosts over SSH: pyinfra for many at once, the ssh client for a single command.

pyinfra is meant to run after gevent has patched the whole standard library, which its own command line
does and which the process of socle cannot afford: Pulumi's gRPC and asyncio live in it too. Unpatched,
pyinfra's greenlets would wait for each other's sockets. So its pool is replaced by gevent's pool of native
threads, which has the same interface: hosts really run in parallel, and nothing is patched.
"""

from __future__ import annotations

import functools
import logging
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from gevent.threadpool import ThreadPool  # type: ignore[import-untyped]
from paramiko import SSHException
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import BaseStateCallback, State
from pyinfra.connectors.sshuserclient import client as pyinfra_ssh
from pyinfra.context import ctx_host, ctx_state

from socle.errors import SocleError, Unreachable
from socle.load.workspace import Workspace
from socle.runs.process import SaidTooMuch, TimedOut, run_bounded
from socle.runs.talk import Talk

CONNECT_TIMEOUT = 10
SILENCE_TIMEOUT = 600.0  # dpkg can be silent for minutes while it triggers; a dead peer is silent for ever.
ANSWER_BYTES = 256 * 1024**2
"""More than any answer of a host has: one that says more is not to be listened to until memory is full."""
_MAX_PARALLEL = 32
_HANDSHAKE = {"banner_timeout": 30, "auth_timeout": 30, "channel_timeout": 30}
_logger = logging.getLogger("pyinfra")


class _Failures(BaseStateCallback):
    """Remembers why a host could not be reached."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def host_connect_error(self, state: State, host: Host, error: Exception) -> None:  # type: ignore[override]  # noqa: ARG002
        self.errors[host.name] = str(error)


class Chatter(logging.Handler):
    """What pyinfra says: kept per host for error messages, and shown by -v only.

    Its debug records hold whole commands, which could hold a secret: they are never taken.
    """

    def __init__(self, talk: Talk | None) -> None:
        super().__init__(logging.INFO)
        self.talk = talk
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno >= logging.ERROR:
            self.errors.append(message.strip())
        elif self.talk:
            self.talk.detail(message.strip())

    def errors_of(self, host: str, count: int = 8) -> str:
        """The last `count` lines of errors about a host."""
        prefix = f"[{host}]"
        lines = [line.removeprefix(prefix).strip() for line in self.errors if line.startswith(prefix)]
        return "\n".join(lines[-count:])


@contextmanager
def chatter(talk: Talk | None = None) -> Iterator[Chatter]:
    """Takes pyinfra's log away from the terminal while it runs."""
    handler = Chatter(talk)
    level, propagate = _logger.level, _logger.propagate
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    _logger.propagate = False
    try:
        yield handler
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)
        _logger.propagate = propagate


def make_inventory(workspace: Workspace, names: Sequence[str]) -> Inventory:
    """The hosts as pyinfra knows them: by socle's ssh_config, and no key that is not in known_hosts."""
    data = {
        "ssh_config_file": str(workspace.ssh / "config"),
        "ssh_strict_host_key_checking": "yes",
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
        "ssh_paramiko_connect_kwargs": _HANDSHAKE,
    }
    return Inventory((list(dict.fromkeys(names)), data))  # type: ignore[no-untyped-call]


class Remote(State):
    """pyinfra's State, and what pyinfra said while it was used."""

    heard: Chatter


@contextmanager
def connected(workspace: Workspace, names: Sequence[str], talk: Talk | None = None) -> Iterator[Remote]:
    """A pyinfra State connected to `names`, in parallel. Facts and operations then run on all of them.

    Raises Unreachable naming every host that did not answer; nothing has run on the others then.
    """
    # pyinfra reads these files once per process, but hosts made since then have changed them.
    pyinfra_ssh.get_ssh_config.cache.clear()
    pyinfra_ssh.get_host_keys.cache.clear()
    config = Config(CONNECT_TIMEOUT=CONNECT_TIMEOUT)  # type: ignore[no-untyped-call]
    state = Remote(make_inventory(workspace, names), config)
    state.pool = ThreadPool(min(_MAX_PARALLEL, max(1, len(state.inventory))))
    with chatter(talk) as state.heard, ctx_state.use(state):
        try:
            _run_connect(state)
            yield state
        finally:
            _run_disconnect(state)
            # pyinfra's `use` forgets to put back the former state when an exception passes through it.
            ctx_state.reset()
            ctx_host.reset()


def _run_connect(state: State) -> None:
    if not len(state.inventory):
        return
    failures = _Failures()
    state.add_callback_handler(failures)  # type: ignore[no-untyped-call]
    with suppress(PyinfraError):  # "No hosts remaining!": the callback knows why
        connect_all(state)
    lost = sorted(host.name for host in state.inventory if not host.connected)
    if lost:
        reasons = "; ".join(f"{name}: {failures.errors.get(name, 'no answer')}" for name in lost)
        raise Unreachable(f"cannot reach over SSH: {reasons}", "is the host running? see: socle lab status")
    for host in state.inventory:
        client: Any = host.connector.client  # type: ignore[attr-defined]
        # pyinfra's own time-outs need the patching that we do without.
        client.exec_command = functools.partial(client.exec_command, timeout=SILENCE_TIMEOUT)


def _run_disconnect(state: State) -> None:
    for host in state.inventory:
        if client := getattr(host.connector, "client", None):
            client.close()
        host.connector.disconnect()
        host.connected = False
    state.pool.kill()


def make_ssh_options(workspace: Workspace) -> list[str]:
    """Options of ssh for any host: by socle's own configuration, and no key that is not in known_hosts."""
    config = str(workspace.ssh / "config")
    settings = ("BatchMode=yes", f"ConnectTimeout={CONNECT_TIMEOUT}", "StrictHostKeyChecking=yes")
    return ["-F", config, *(word for setting in settings for word in ("-o", setting))]


def make_ssh(workspace: Workspace, host: str, arguments: Sequence[str]) -> list[str]:
    """The ssh command that runs `arguments` on `host`. sshd hands one string to a shell, so each argument
    is quoted here, and nowhere else."""
    return ["ssh", *make_ssh_options(workspace), "-T", host, "--", shlex.join(arguments)]


def run_ssh(
    workspace: Workspace,
    host: str,
    arguments: Sequence[str],
    stdin: bytes = b"",
    timeout: float = 60,
    limit: int = ANSWER_BYTES,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command on `host` within `timeout` seconds; its status is not judged here. Of errors the end is kept.

    Raises Unreachable when ssh cannot connect, the command does not end in time, or the host answers more than
    `limit` bytes.
    """
    try:
        result = run_bounded(make_ssh(workspace, host, arguments), stdin=stdin, timeout=timeout, limit=limit)
    except TimedOut:
        raise Unreachable(f"{host} did not answer within {timeout:.0f} s: {arguments[0]}") from None
    except SaidTooMuch:
        raise Unreachable(f"{host} answered more than {limit} bytes: {arguments[0]}") from None
    if result.returncode == 255:  # ssh(1): its own errors
        raise Unreachable(f"cannot reach {host} over SSH: {result.stderr.decode(errors='replace').strip()}")
    return result


def load_lost(workspace: Workspace, names: Sequence[str]) -> dict[str, str]:
    """Why each host that does not answer does not, all asked at once."""

    def ask(name: str) -> str:
        try:
            run_ssh(workspace, name, ["true"], timeout=2 * CONNECT_TIMEOUT)
        except Unreachable as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(_MAX_PARALLEL) as pool:
        answers = zip(names, pool.map(ask, names), strict=True)
        return {name: why for name, why in answers if why}


class OperationFailed(SocleError):
    """An operation failed on a host. The message says which, and what the host answered."""


@contextmanager
def working_on(state: Remote, name: str) -> Iterator[Host]:
    """Operations called inside run at once on the host `name`, in the order in which they are called.

    So they may loop and branch on facts: there is no second phase in which pyinfra would order them by line
    number, and mix hosts whose loops differ. Raises OperationFailed.
    """
    host: Host = state.inventory.get_host(name)
    state.is_executing = True
    state.check_for_changes = False
    # Hosts do not share operations: each has a first position of its own.
    host.loop_position = [sorted(state.inventory.hosts).index(name)]
    ctx_host.set(host)  # type: ignore[no-untyped-call]
    try:
        yield host
    except (PyinfraError, OSError, SSHException) as error:
        raise OperationFailed(f"{name}: {state.heard.errors_of(name) or error}") from None
    finally:
        ctx_host.reset()
