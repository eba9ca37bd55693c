"""The same sites by three tools. Each makes them, passes the same check, then finds nothing to change."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from socle.files import run_write
from socle.runs.process import make_mortal
from socle.stages.baseline import parse_recap
from tests.bench.check import PRIVILEGES, FakeSite
from tests.bench.environment import HOST, Failed
from tests.live.environment import Lab

SECONDS = 600
_FOLDER = Path(__file__).parent
_PROGRAMS = Path(sys.executable).parent
_TOTAL = re.compile(r"^.*Grand total\s+\S+\s+(\S+)\s+(\S+)\s+\S+", re.MULTILINE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Contender:
    """A tool that is not ours: `run` makes the sites, and tells how many changes it reports."""

    name: str
    tag: str
    run: Callable[[Lab, Path], int]


def run_pyinfra(lab: Lab, catalogue: Path) -> int:
    """The deploy by pyinfra's own command line."""
    data = {
        "catalogue": str(catalogue),
        "ssh_config_file": str(lab.workspace.ssh / "config"),
        "ssh_strict_host_key_checking": "yes",
    }
    given = [part for key, value in data.items() for part in ("--data", f"{key}={value}")]
    folder = _FOLDER / "by_pyinfra"
    output = _run(lab, ["pyinfra", "-y", *given, str(folder / "inventory.py"), str(folder / "deploy.py")])
    return parse_pyinfra(output)


def parse_pyinfra(output: str) -> int:
    """Operations that changed something, in the total of pyinfra's results. Raises Failed when one failed."""
    found = _TOTAL.search(_COLOURS.sub("", output))
    if not found:
        raise Failed(f"pyinfra printed no total:\n{output[-2000:]}")
    changed, errors = (0 if text == "-" else int(text) for text in found.groups()[:2])
    if errors:
        raise Failed(f"pyinfra: {errors} operations failed:\n{output[-2000:]}")
    return changed


def run_ansible(lab: Lab, catalogue: Path) -> int:
    """The playbook by Ansible's own command line."""
    inventory = str(lab.workspace.inventory / "hosts.yml")
    shared = f"--ssh-common-args=-F {lab.workspace.ssh / 'config'}"
    playbook = str(_FOLDER / "by_ansible/site.yml")
    output = _run(
        lab,
        ["ansible-playbook", "-i", inventory, "-e", f"@{catalogue}", shared, playbook],
        {
            "ANSIBLE_CONFIG": str(_FOLDER / "by_ansible/ansible.cfg"),
            "ANSIBLE_HOME": str(lab.workspace.state / "ansible"),
        },
    )
    recap = parse_recap(output).get(HOST)
    if not recap or recap["failed"] or recap["unreachable"]:
        raise Failed(f"ansible:\n{output[-2000:]}")
    return recap["changed"]


CONTENDERS = (
    Contender("pyinfra", "pi", run_pyinfra),
    Contender("Ansible", "an", run_ansible),
)


def _run(lab: Lab, arguments: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What a tool printed. Raises Failed when it fails or does not end in time."""
    command = make_mortal([str(_PROGRAMS / arguments[0]), *arguments[1:]])
    try:
        result = subprocess.run(
            command,
            cwd=lab.workspace.state,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{arguments[0]} did not end within {SECONDS} s") from None
    run_write(lab.workspace.logs / f"bench-{arguments[0]}.log", result.stdout.encode())
    if result.returncode:
        raise Failed(f"{arguments[0]} ended with {result.returncode}:\n{result.stdout[-2000:]}")
    return result.stdout


def run_contender(lab: Lab, contender: Contender, sites: Sequence[FakeSite]) -> tuple[float, int]:
    """Seconds of one run, from the start of its program to its end, and how many changes it reports."""
    catalogue = lab.workspace.state / f"bench-{contender.tag}.json"
    data = {"sites": [asdict(site) for site in sites], "privileges": list(PRIVILEGES)}
    run_write(catalogue, json.dumps(data).encode(), mode=0o600)
    start = time.monotonic()
    changed = contender.run(lab, catalogue)
    return time.monotonic() - start, changed
