"""One site brought back: checks before any change, safety, content, comparison, and the way back.

Order: the dump is loaded beside and counted before a file is touched, so that a dump that is not accepted changes
nothing; the swap of the tables comes last.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backup_host.files import opened
from backup_host.host import load_mounts, load_versions
from backup_host.patterns import make_matcher
from backup_host.programs import Failed
from backup_host.results import make_time

from restore_host import content, loading, pages
from restore_host.closing import Gate, Mark, load_mark, make_work_path
from restore_host.manifest import (
    Manifest,
    check_digest,
    find_newer,
    find_problems,
    load_manifest,
    make_version_notes,
)
from restore_host.request import Request
from restore_host.source import LISTING, MANIFEST, Source, make_work

SERVER = "mariadb-server"
Save = Callable[[], str]
"""Saves the site as it is; the snapshot. Raises Failed."""


class Refused(Failed):
    """A check before any change: the site is as before."""


@dataclass
class Outcome:
    """What came of it. `result`: restored; refused (nothing was changed); returned (it failed, and the site is what it
    was before); stuck (it failed, and the site stays closed). `checks`: name, status, evidence."""

    site: str
    snapshot: str
    result: str = "stuck"
    reason: str = ""
    safety: str = ""
    checks: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def passed(self, name: str, evidence: str) -> None:
        """Note a check that was passed."""
        self.checks.append({"name": name, "status": "passed", "evidence": evidence})

    def failed(self, name: str, evidence: str) -> None:
        """Note one that was not."""
        self.checks.append({"name": name, "status": "failed", "evidence": evidence})


class Restore:
    """One restore of one site. `open_source(snapshot)`: where a snapshot's content comes from; `save`: makes the safety
    snapshot; None to go without."""

    def __init__(
        self,
        request: Request,
        open_source: Callable[[str], Source],
        save: Save | None,
        say: Callable[[str], None],
    ) -> None:
        self.request, self._open, self._save, self._say = request, open_source, save, say
        self.outcome = Outcome(request.site, request.snapshot)
        self._gate = Gate(request.site, request.unit, request.folder)
        self._touched = False
        self._work = make_work_path(request.site)
        self._loader = loading.Loader(request.database, request.password, request.uid) if request.database else None

    def check(self) -> tuple[Source, Manifest]:
        """All that can be known before any change. Raises Refused."""
        try:
            return self._check()
        except Refused:
            raise
        except Failed as error:
            raise Refused(str(error)) from None

    def _check(self) -> tuple[Source, Manifest]:
        request = self.request
        if request.folder not in load_mounts():
            raise Refused(f"the site's volume is not mounted at {request.folder}")
        source = self._open(request.snapshot)
        manifest = self._take_notes(source)
        problems = list(find_problems(manifest, request.config, request.room))
        if manifest.database and not problems:
            # The dump itself is asked again as it is loaded.
            server = loading.load_server()
            made = manifest.versions.get(SERVER, "")
            if made and (problem := find_newer(made, server)):
                problems.append(problem)
            else:
                self.outcome.passed("version of the database server", f"{made or 'unknown'} then, {server} here")
        if problems:
            raise Refused("; ".join(problems))
        self.outcome.passed("manifest", f"of {manifest.site}: {manifest.files['count']} files")
        self.outcome.notes += make_version_notes(manifest.versions, load_versions(manifest.versions))
        return source, manifest

    def _take_notes(self, source: Source) -> Manifest:
        source.take_notes(make_work(self._work))
        manifest = load_manifest(self._work / MANIFEST)
        check_digest(self._work / LISTING, manifest.files["sha256"], "the list of files")
        return manifest

    def run(self) -> Outcome:
        """Do it. Never raises Failed: the outcome says how it went."""
        outcome = self.outcome
        try:
            source, manifest = self.check()
            mark = self._prepare()
        except Refused as error:
            outcome.result, outcome.reason = "refused", str(error)
            self.clear()
            return outcome
        outcome.safety = mark.safety
        try:
            self._gate.close(mark)
            self._put(source, manifest)
            self._open_and_read(mark)
        except (Failed, OSError) as error:
            outcome.reason = str(error)
            outcome.failed("restore", outcome.reason)
            self._go_back(mark)
            return outcome
        self._gate.forget()
        outcome.result = "restored"
        return outcome

    def _prepare(self) -> Mark:
        """The safety snapshot, and the mark to close the site with. What a killed restore left is no state to save:
        then the safety snapshot is the one from before that restore."""
        now = make_time(time.time())
        if left := load_mark(self.request.site):
            self._say("a restore of this site was cut: going on from there")
            self._touched = True
            return Mark(**{**vars(left), "snapshot": self.request.snapshot})
        safety = ""
        if self._save is not None and self._has_content():
            self._say("stopping the site, and saving it as it is")
            try:
                self._gate.stop()
                safety = self._save()
            except Failed as error:
                raise Refused(f"no safety snapshot, so nothing was changed: {error}{self._restart()}") from None
        return self._gate.make_mark(self.request.snapshot, safety, now)

    def _restart(self) -> str:
        """Let the site go on; why it does not, to be said after why it was stopped."""
        try:
            self._gate.start()
        except Failed as error:
            return f"; and it does not start again: {error}"
        return ""

    def _has_content(self) -> bool:
        if self._loader and loading.load_content(self._loader.database).tables:
            return True
        with opened(self.request.folder) as folder:
            return content.has_content(folder, make_matcher(self.request.make_patterns()))

    def _put(self, source: Source, manifest: Manifest) -> None:
        """Bring everything back, and compare it. The database is loaded first, swapped last."""
        request = self.request
        rows = 0
        if self._loader and manifest.database:
            self._say("loading the database")
            with source.dump() as lines:
                rows = self._loader.load(lines, manifest.database)
        self._say("bringing files back")
        self._touched = True
        patterns = request.make_patterns(manifest.sqlite)
        source.put_files(request.folder, patterns)
        with opened(request.folder) as folder:
            content.run_empty(folder, request.config["exclude"])
            content.run_databases(folder, self._work / "sqlite", manifest.sqlite)
        self._say("comparing files")
        found = content.compare(request.folder, make_matcher(patterns), self._work / LISTING, source.precision)
        if found.problem:
            raise Failed(found.problem)
        with opened(request.folder) as folder:
            content.run_directories(folder, request.directories)
        changed = f"; {found.changed} changed while they were saved" if found.changed else ""
        self.outcome.passed("files", f"{found.files} files, {found.bytes} bytes as listed{changed}")
        for path, line in manifest.sqlite.items():
            self.outcome.passed(f"database {path}", f"{line['bytes']} bytes, SHA-256 as listed")
        if self._loader and manifest.database:
            self._loader.swap()
            tables = len(manifest.tables)
            self.outcome.passed("database", f"{tables} tables, {rows} rows as counted when they were saved")

    def _open_and_read(self, mark: Mark) -> None:
        """Start the site, and read it."""
        self._say("starting the site, and reading it")
        self._gate.open(mark)
        request, outcome = self.request, self.outcome
        for path in request.pages:
            page = pages.read_page(request.address, request.domain, path)
            if page.status != 200:
                raise Failed(f"the site does not answer as it should: {page.evidence}")
            outcome.passed(f"page {path}", page.evidence)
            if path == "/" and len(request.pages) > 1 and (linked := self._read_linked(page)):
                if linked.status != pages.OK:
                    raise Failed(f"the site does not answer as it should: {linked.evidence}")
                outcome.passed(f"page {linked.path}", linked.evidence)

    def _read_linked(self, page: pages.Page) -> pages.Page | None:
        return pages.read_linked(self.request.address, self.request.domain, page)

    def _go_back(self, mark: Mark) -> None:
        """To what was there before; the reason of the failure stays the first thing that is said."""
        outcome = self.outcome
        if not self._touched:
            self._reopen(mark)
            return
        if not mark.safety:
            outcome.result = "stuck"
            outcome.reason += "; there was nothing before to go back to: the site stays closed, run it again"
            return
        self._say(f"it failed: going back to {mark.safety[:8]}")
        try:
            self._gate.close(mark)
            source = self._open(mark.safety)
            self._put(source, self._take_notes(source))
            self._open_and_read(mark)
        except (Failed, OSError) as error:
            outcome.result = "stuck"
            outcome.reason += f"; going back to {mark.safety[:8]} failed too: {error}"
            outcome.reason += "; the site stays closed, run it again"
            return
        self._gate.forget()
        outcome.result = "returned"
        outcome.reason += f"; the site is again what it was before (snapshot {mark.safety[:8]})"

    def _reopen(self, mark: Mark) -> None:
        """Nothing of the site was changed: let it go on."""
        outcome = self.outcome
        try:
            if self._loader:
                self._loader.clear()
            self._gate.open(mark)
        except (Failed, OSError) as error:
            outcome.reason += f"; nothing of the site was changed, but it does not start: {error}"
            return
        self._gate.forget()
        outcome.result = "returned"
        outcome.reason += "; nothing of the site was changed"

    def clear(self) -> None:
        """Remove what was read of the snapshot."""
        shutil.rmtree(self._work, ignore_errors=True)


def make_record(outcome: Outcome, began: float) -> Mapping[str, Any]:
    """As JSON."""
    return {**vars(outcome), "seconds": round(time.time() - began, 2)}
