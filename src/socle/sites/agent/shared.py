"""Files of daemons that all sites share: checked together, rolled back alone, one reload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from socle.sites.agent.files import read_bytes, remove_path, write_file
from socle.sites.agent.making import Wire, make_file
from socle.sites.agent.programs import Failed, last_lines, run
from socle.sites.agent.reading import read_file

Item = tuple[str, str, Wire | None]
"""A site, a key, and what to write; None to remove."""


class Shared:
    """The changed files of one daemon. What it refuses is rolled back, so that only its site fails.

    `attempt(site, key, action)` acts for a site unless it has failed, `fail(site, key, error)` says that
    it has; `unsure` holds the sites whose files a killed run may have left unchecked.
    """

    def __init__(
        self,
        unit: str,
        validate: Sequence[str],
        attempt: Callable[[str, str, Callable[[], None]], None],
        fail: Callable[[str, str, object], None],
        unsure: Iterable[str] = (),
    ) -> None:
        self.unit, self.validate = unit, list(validate)
        self.attempt, self.fail, self.unsure = attempt, fail, set(unsure)
        self.before: dict[str, tuple[bytes, dict[str, Any]] | None] = {}

    def run(self, items: Sequence[Item]) -> None:
        """Write or remove, and reload, which checks. Reading the configuration of all sites costs more the more
        there are: it is validated on its own only to find whose file was refused."""
        for site, key, _ in items:
            self.attempt(site, key, partial(self._remember, site, key))
        self._write(items)
        try:
            if not self._reload():
                return
            if self._refusal():
                self._restore(items)
                if reason := self._refusal():
                    self._fail_all(items, f"{self.unit} refuses what was there before: {reason}")
                    return
                self._write_one_by_one(items)
            if reason := self._reload():
                self._fail_all(items, f"{self.unit} cannot reload: {reason}")
        except Failed as error:
            self._fail_all(items, str(error))

    def _reload(self) -> str:
        """Why the daemon does not take its configuration; empty when it does. Raises Failed."""
        result = run(["systemctl", "reload-or-restart", self.unit])
        return (last_lines(result.stderr) or "no reason given") if result.returncode else ""

    def _fail_all(self, items: Sequence[Item], error: str) -> None:
        for site, key, _ in items:
            self.fail(site, key, error)

    def _remember(self, site: str, key: str) -> None:
        """What was there; nothing to go back to when a killed run left it unchecked."""
        path = key.partition(":")[2]
        state = read_file(path)
        known = state is not None and "digest" in state and site not in self.unsure
        self.before[key] = (read_bytes(path), state) if known and state else None

    def _write(self, items: Sequence[Item]) -> None:
        for site, key, wire in items:
            path = key.partition(":")[2]
            action = partial(remove_path, path) if wire is None else partial(make_file, path, wire)
            self.attempt(site, key, action)

    def _restore(self, items: Sequence[Item]) -> None:
        for site, key, _ in reversed(items):
            self.attempt(site, key, partial(self._restore_one, key))

    def _restore_one(self, key: str) -> None:
        path, before = key.partition(":")[2], self.before.get(key)
        if before is None:
            remove_path(path)
        else:
            content, state = before
            write_file(path, content, state["mode"], state["owner"], state["group"])

    def _refusal(self) -> str:
        """Why the daemon refuses its configuration; empty when it does not."""
        if not self.validate:
            return ""
        try:
            result = run(self.validate)
        except Failed as error:
            return str(error)
        if not result.returncode:
            return ""
        return last_lines(result.stderr or result.stdout) or "no reason given"

    def _write_one_by_one(self, items: Sequence[Item]) -> None:
        for site in dict.fromkeys(site for site, _, _ in items):
            own = [item for item in items if item[0] == site]
            self._write(own)
            if reason := self._refusal():
                self._restore(own)
                self.fail(site, own[0][1], f"refused by {self.unit}: {reason}")
