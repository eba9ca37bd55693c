"""Stamps: on each host, the digest of what a stage was last given when it succeeded there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from socle.errors import SocleError
from socle.load.workspace import Workspace
from socle.remote import run_ssh

_FOLDER = "/var/lib/socle/stamps"
_PARALLEL = 16
# Written beside, then renamed: a stamp cut by a kill would never match, but would be there.
_WRITE = 'install -d -m 0700 "$1" && cat > "$1/$2.new" && mv "$1/$2.new" "$1/$2"'


def load_stamps(workspace: Workspace, stage: str, hosts: Sequence[str]) -> dict[str, str]:
    """The stamp of a stage on each of `hosts`, read in parallel; "" where there is none. Raises Unreachable."""

    def load(host: str) -> str:
        return run_ssh(workspace, host, ["cat", f"{_FOLDER}/{stage}"]).stdout.decode()

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip(hosts, pool.map(load, hosts), strict=True))


def run_stamps(workspace: Workspace, stage: str, digests: Mapping[str, str]) -> None:
    """Write the stamp of a stage on each host."""

    def write(host: str) -> None:
        command = ["sh", "-c", _WRITE, "sh", _FOLDER, stage]
        result = run_ssh(workspace, host, command, stdin=digests[host].encode())
        if result.returncode:
            raise SocleError(f"{host}: cannot write the stamp of {stage}: {result.stderr.decode(errors='replace')}")

    with ThreadPoolExecutor(_PARALLEL) as pool:
        list(pool.map(write, digests))
