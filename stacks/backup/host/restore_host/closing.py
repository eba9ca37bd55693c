"""Keeping a site closed until it is whole: its unit cannot start, its folder lets nobody in, and a mark says so to
nightly saves. Killed at any moment, all three stay, over a restart of the host too, until a restore ends well."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backup_host.host import STATE
from backup_host.programs import Failed, last_lines, run_program
from backup_host.results import load_json, run_write

MARKS = STATE / "restoring"
UNITS = Path("/etc/systemd/system")
DROP_IN = "socle-restoring.conf"
UNIT_SECONDS = 300.0


@dataclass(frozen=True)
class Mark:
    """A restore that has begun to change a site. `safety`: the snapshot of what was there before, or nothing; `mode`,
    `uid`, `gid`: of the site's folder."""

    site: str
    snapshot: str
    safety: str
    mode: int
    uid: int
    gid: int
    began: str


def load_mark(site: str) -> Mark | None:
    """The mark that a restore left which did not end well."""
    data = load_json(MARKS / site)
    try:
        return Mark(**{name: data[name] for name in Mark.__dataclass_fields__}) if data else None
    except KeyError:
        raise Failed(f"{MARKS / site} cannot be read: look at it, and delete it when the site is whole") from None


def render_drop_in(site: str) -> str:
    """systemd.unit(5): the unit does not start while the mark is there."""
    return (
        "# Written by /usr/lib/socle/restore: this site is being restored, and is not whole.\n"
        f"[Unit]\nAssertPathExists=!{MARKS / site}\n"
    )


class Gate:
    """The way in to a site."""

    def __init__(self, site: str, unit: str, folder: str) -> None:
        self._site, self._unit, self._folder = site, unit, Path(folder)
        self._drop_in = UNITS / f"{unit}.d" / DROP_IN

    def make_mark(self, snapshot: str, safety: str, began: str) -> Mark:
        """What to come back to, as the folder is now."""
        info = os.lstat(self._folder)
        return Mark(self._site, snapshot, safety, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, began)

    def close(self, mark: Mark) -> None:
        """Let nobody in: the mark first, so that what comes after it is never taken for whole."""
        MARKS.mkdir(mode=0o700, parents=True, exist_ok=True)
        run_write(MARKS / self._site, json.dumps(asdict(mark), sort_keys=True).encode())
        self._drop_in.parent.mkdir(mode=0o755, exist_ok=True)
        run_write(self._drop_in, render_drop_in(self._site).encode(), 0o644)
        _systemctl("daemon-reload")
        _systemctl("stop", self._unit)
        self.close_folder()

    def close_folder(self) -> None:
        """Of the web server too."""
        os.chown(self._folder, 0, 0)
        self._folder.chmod(0o700)

    def open(self, mark: Mark) -> None:
        """Let the site start again. The mark stays until `forget`: nothing is saved before it was seen to work."""
        os.chown(self._folder, mark.uid, mark.gid)
        self._folder.chmod(mark.mode)
        with contextlib.suppress(FileNotFoundError):
            self._drop_in.unlink()
            self._drop_in.parent.rmdir()
        _systemctl("daemon-reload")
        self.start()

    def start(self) -> None:
        """Start the unit. Raises Failed when it does not run."""
        run_program(["systemctl", "reset-failed", self._unit], timeout=UNIT_SECONDS)
        _systemctl("start", self._unit)

    def stop(self) -> None:
        """Stop the unit: what it was about to write is written then."""
        _systemctl("stop", self._unit)

    def forget(self) -> None:
        """The site is whole."""
        with contextlib.suppress(FileNotFoundError):
            (MARKS / self._site).unlink()
        shutil.rmtree(make_work_path(self._site), ignore_errors=True)


def make_work_path(site: str) -> Path:
    """Where a restore keeps what goes with the files. No site's name begins with a full stop."""
    return MARKS / f".{site}"


def _systemctl(*arguments: str) -> None:
    result = run_program(["systemctl", *arguments], timeout=UNIT_SECONDS)
    if result.returncode:
        said: Any = last_lines(result.stderr) or f"status {result.returncode}"
        raise Failed(f"systemctl {' '.join(arguments)}: {said}")
