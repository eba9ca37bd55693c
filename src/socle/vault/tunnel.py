"""How this machine reaches a repository: through ssh, because vaults let in only the hosts that save."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from socle.errors import Unreachable
from socle.load.workspace import Workspace
from socle.model.plan import Repository
from socle.planning.repositories import PORT
from socle.remote import CONNECT_TIMEOUT, make_ssh_options
from socle.runs.process import make_mortal

_LOCAL = "127.0.0.1"
_SECONDS = 15.0
_PAUSE = 0.05


@contextmanager
def tunnel(workspace: Workspace, repository: Repository) -> Iterator[str]:
    """The URL of a repository while the tunnel is open, without credential. Raises Unreachable."""
    address = repository.url.removeprefix("rest:https://").partition(":")[0]
    port = _find_free_port()
    forward = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{_LOCAL}:{port}:{address}:{PORT}"]
    command = make_mortal(["ssh", *make_ssh_options(workspace), *forward, repository.host])
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE) as process:
        try:
            _run_wait(port, process, repository.host)
            yield f"rest:https://{_LOCAL}:{port}/{repository.name}/"
        finally:
            process.terminate()
            try:
                process.wait(CONNECT_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOCAL, 0))
        return int(probe.getsockname()[1])


def _run_wait(port: int, process: subprocess.Popen[bytes], host: str) -> None:
    """Wait until the tunnel takes connections."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((_LOCAL, port), timeout=1.0).close()
        except OSError:
            time.sleep(_PAUSE)
        else:
            return
    process.kill()
    why = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    raise Unreachable(f"no tunnel to {host}: {why or f'nothing within {_SECONDS:.0f} s'}")
