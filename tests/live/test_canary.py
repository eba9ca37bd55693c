"""Case F3: no secret in output, logs, state, arguments, environments or the process list, whatever happens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyrage
from pyrage import x25519

from tests.live.environment import Lab

_KEY_FILES = ("operator.key", "tsig.key", "pulumi-passphrase")


def load_secrets(lab: Lab) -> dict[str, str]:
    """Every secret of the environment, by where it is kept."""
    state = lab.workspace.state
    identity = x25519.Identity.from_str((state / "secrets/operator.key").read_text().strip())
    found = {}
    for path in (state / "secrets").glob("*.age"):
        for site, values in json.loads(pyrage.decrypt(path.read_bytes(), [identity])).items():
            found |= {f"{site}.{name}": value for name, value in values.items()}
    found["operator.key"] = (state / "secrets/operator.key").read_text().strip()
    found["tsig.key"] = (state / "tsig.key").read_text().strip().rpartition(":")[2]
    found["pulumi-passphrase"] = (state / "pulumi-passphrase").read_text().strip()
    return found


@contextmanager
def watched_processes(secrets: dict[str, str]) -> Iterator[set[str]]:
    """Look at the arguments and environment of all processes of the machine, hosts' included, all the time."""
    seen: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):  # Looking without a pause would starve what is watched.
            for process in psutil.process_iter():
                try:
                    text = "\0".join([*process.cmdline(), *process.environ().values()])
                except (psutil.Error, OSError):
                    continue
                seen.update(f"{name} in {process.name()}" for name, value in secrets.items() if value in text)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def find_in_files(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Files below `folder` that hold a secret, but for the files that are there to keep it."""
    kept = {path for name in _KEY_FILES for path in folder.rglob(name)}
    return [
        f"{name} in {path}"
        for path in folder.rglob("*")
        if path.is_file() and path not in kept
        for name, value in secrets.items()
        if value.encode() in path.read_bytes()
    ]


def test_secrets_are_nowhere(scratch: Lab) -> None:
    scratch.write_request("canari")
    scratch.socle("request", "accept", "canari")
    secrets = load_secrets(scratch)
    assert any(name.startswith("wp-canari.") for name in secrets)
    runs = []
    with watched_processes(secrets) as seen:
        runs.append(scratch.socle("plan", "-v", "--full", check=False))
        runs.append(scratch.socle("apply", "-vv", check=False))
        # A failing apply: there is no database server (a full run would start it), and the site's error is shown.
        scratch.ssh("web1", ["systemctl", "stop", "mariadb"])
        scratch.write_request("canari-deux")
        scratch.socle("request", "accept", "canari-deux")
        runs.append(scratch.socle("apply", "-v", check=False))
        scratch.ssh("web1", ["systemctl", "start", "mariadb"])
        runs.append(scratch.socle("apply", "-v", "--json", check=False))
    assert [run.returncode for run in runs] == [10, 0, 3, 0], [run.stderr[-500:] for run in runs]
    assert seen == set()
    secrets = load_secrets(scratch)
    for run in runs:
        assert [name for name, value in secrets.items() if value in run.stdout + run.stderr] == []
    assert find_in_files(scratch.workspace.state, secrets) == []
    assert find_in_files(scratch.root / "inventories", secrets) == []
    for host in ("edge1", "web1"):
        journal = scratch.ssh(host, ["journalctl", "--no-pager", "-o", "cat"])
        units = scratch.ssh(host, ["systemctl", "cat", "socle-*", "--no-pager"], check=False)
        assert [name for name, value in secrets.items() if value in journal + units] == []


def test_the_watch_sees_a_secret_in_arguments(tmp_path: Path) -> None:
    """The check can fail: a program with the secret as argument is seen, a file that holds it is found."""
    secrets = {"canary": "CANARY-7f3a-CANARY"}
    with watched_processes(secrets) as seen:
        process = psutil.Popen(["sh", "-c", "sleep 3; :", secrets["canary"]], env={"PATH": "/usr/bin:/bin"})
        process.wait()
    assert seen == {"canary in sh"}
    (tmp_path / "log").write_text(f"password={secrets['canary']}")
    assert find_in_files(tmp_path, secrets) == [f"canary in {tmp_path / 'log'}"]
