"""Who is at work, for the lock and the journal."""

from __future__ import annotations

import getpass
import os


def load_who() -> str:
    """The person behind sudo, else the login name; the number of a user without a name."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
