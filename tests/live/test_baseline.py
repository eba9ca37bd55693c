"""The baseline on a real host, by molecule: converge, idempotence, verify, with a stranger who attacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_SECONDS = 1200


@pytest.mark.late
def test_molecule_scenario(molecule: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, log = molecule
    code = process.wait(timeout=_SECONDS)
    output = log.read_text(errors="replace")
    assert code == 0, output[-6000:]
    assert " passed" in output
