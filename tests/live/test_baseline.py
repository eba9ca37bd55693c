"""The baseline on a real host, by molecule: converge, idempotence, verify, with a stranger who attacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from socle.lab.image import make_recipe
from tests.live.environment import REPOSITORY

_SECONDS = 1200


def test_molecule_scenario() -> None:
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SOCLE_IMAGE": make_recipe().alias,
        "ANSIBLE_FORCE_COLOR": "0",
    }
    done = subprocess.run(
        [programs / "molecule", "test", "-s", "baseline"],
        cwd=REPOSITORY / "playbooks",
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-6000:]
    assert " passed" in output
