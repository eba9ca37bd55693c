"""Writing files so that a kill at any moment leaves the old content or the new, never half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import yaml


def run_write(path: Path, content: bytes, mode: int = 0o600) -> bool:
    """Write `content` to `path` in one rename, with its mode from the first byte. False: it was there already."""
    if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o7777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def render_yaml(data: Any, header: str) -> bytes:
    """YAML in the order given, accents readable, under a header of comment lines."""
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return (comment + yaml.safe_dump(data, sort_keys=False, allow_unicode=True)).encode()
