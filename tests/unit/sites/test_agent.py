"""The agent's verbs on a folder of this machine, with programs that only remember how they were called."""

from __future__ import annotations

import getpass
import grp
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from socle.sites.agent import applying, files, index, main, making, reading, shared
from socle.sites.agent.programs import Failed
from socle.sites.desired import Wanted, make_wanted
from socle.sites.difference import make_difference, parse_seen
from socle.sites.resources import Directory, File, Link, Mount, Step, Unit

OWNER, GROUP = getpass.getuser(), grp.getgrgid(os.getegid()).gr_name


class Programs:
    """Stands for systemctl, nginx and installers: answers by what is on the disk, and notes each call."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.refused: Callable[[], bool] = lambda: False
        self.active: set[str] = set()
        self.broken: set[str] = set()
        self.changed: set[str] = set()
        self.enabled: set[str] = set()
        self.stopped = False
        self.read: Callable[[], object] = dict
        self.served: object = None
        self.steps: Callable[[str], object] = str

    def run(self, arguments: list[str], stdin: str = "", **_options: float) -> CompletedProcess[str]:
        self.calls.append(arguments)
        match arguments:
            case ["systemctl", "reload-or-restart", _] if self.stopped:
                return CompletedProcess(arguments, 1, "", "no answer")
            case ["nginx", *_] | ["systemctl", "reload-or-restart", _]:
                if self.refused():
                    return CompletedProcess(arguments, 1, "", "unexpected }")
                self.served = self.served if arguments[0] == "nginx" else self.read()
            case ["systemctl", "daemon-reload"]:
                self.changed.clear()
            case ["systemctl", "show", "--property=NeedDaemonReload,UnitFileState", *units]:
                return CompletedProcess(arguments, 0, "\n".join(self._show_loaded(unit) for unit in units), "")
            case ["systemctl", "--root=/", "enable", *units]:
                self.enabled |= set(units)
            case ["systemctl", "restart", *units]:
                self.active |= set(units) - self.broken
            case ["systemctl", "disable", "--now", *units]:
                self.active -= set(units)
            case ["systemctl", "show", _, *units]:
                return CompletedProcess(arguments, 0, "\n".join(self._show(unit) for unit in units), "")
            case ["installer", *_]:
                self.steps(stdin)
                return CompletedProcess(arguments, 1, "", f"cannot use {stdin}")
        return CompletedProcess(arguments, 0, "", "")

    def _show(self, unit: str) -> str:
        active = unit in self.active
        load, state = ("loaded", "enabled") if active else ("not-found", "")
        return f"Id={unit}\nLoadState={load}\nActiveState={'active' if active else 'failed'}\nUnitFileState={state}\n"

    def _show_loaded(self, unit: str) -> str:
        state = "enabled" if unit in self.enabled else "disabled"
        return f"UnitFileState={state}\nNeedDaemonReload={'yes' if unit in self.changed else 'no'}\n"

    def must(self, arguments: list[str], stdin: str = "") -> str:
        return str(self.run(arguments, stdin).stdout)

    def count(self, *start: str) -> int:
        return sum(call[: len(start)] == list(start) for call in self.calls)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Programs:
    fake = Programs()
    for module in (applying, making, shared):
        monkeypatch.setattr(module, "run", fake.run)
    for module in (applying, making, reading):
        monkeypatch.setattr(module, "must", fake.must)
    monkeypatch.setattr(index, "INDEX", str(tmp_path / "index"))
    return fake


def make_file(path: Path, content: bytes, mode: int = 0o644) -> File:
    return File(str(path), content, mode, OWNER, GROUP)


def make_shared(path: Path, content: bytes) -> File:
    return File(str(path), content, 0o644, OWNER, GROUP, "nginx.service", ("nginx", "-t"))


def read(*wanted: Wanted, full: bool = False) -> dict[str, Any]:
    sites = {site.site: {"stamp": site.stamp, "keys": site.keys} for site in wanted}
    return main.read(json.loads(json.dumps({"full": full, "sites": sites})))


def run(*wanted: Wanted, full: bool = False) -> tuple[int, dict[str, str]]:
    """One run of the stage: how many changes, and the errors by site."""
    found = make_difference({site.site: site for site in wanted}, parse_seen(read(*wanted, full=full)), {})
    payload = json.loads(json.dumps({"sites": {site.site: site.payload() for site in found}}))
    errors = main.apply(payload)["errors"] if found else {}
    return sum(len(site.changes) for site in found), errors


def test_a_site_is_made_then_left_alone(programs: Programs, tmp_path: Path) -> None:
    site = make_wanted(
        "a",
        "a",
        (
            Directory(str(tmp_path / "d"), 0o750, OWNER, GROUP),
            make_file(tmp_path / "d/f", b"\x00x", 0o640),
            Link(str(tmp_path / "d/l"), "/usr/share/x"),
            Unit("u.service", (f"file:{tmp_path}/d/f",)),
            make_shared(tmp_path / "vhost", b"server {}"),
        ),
    )
    assert run(site) == (5, {})
    assert (tmp_path / "d/f").read_bytes() == b"\x00x"
    assert (tmp_path / "d/f").stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "d/l").readlink() == Path("/usr/share/x")
    assert programs.active == {"u.service"}
    assert programs.count("systemctl", "reload-or-restart", "nginx.service") == 1
    calls = len(programs.calls)
    assert run(site) == (0, {})
    assert run(site, full=True) == (0, {})
    assert programs.count("systemctl", "restart") == 1
    assert len(programs.calls) == calls + 1  # the full run asks for the units' state


def test_a_file_changed_by_hand_is_found_by_full_only(programs: Programs, tmp_path: Path) -> None:
    site = make_wanted("a", "a", (make_file(tmp_path / "f", b"right"), Unit("u.service", (f"file:{tmp_path}/f",))))
    run(site)
    (tmp_path / "f").write_bytes(b"wrong")
    assert run(site) == (0, {})
    assert run(site, full=True) == (2, {})
    assert (tmp_path / "f").read_bytes() == b"right"
    assert programs.count("systemctl", "restart", "u.service") == 2


def test_what_is_not_ours_is_refused_and_left(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"somebody's")
    errors = run(make_wanted("a", "a", (make_file(tmp_path / "f", b"ours"), make_file(tmp_path / "g", b"ours"))))[1]
    assert "exists and is not ours" in errors["a"]
    assert (tmp_path / "f").read_bytes() == b"somebody's"
    assert not (tmp_path / "g").exists()
    again = run(make_wanted("a", "a", (make_file(tmp_path / "f", b"ours"),)))[1]
    assert "exists and is not ours" in again["a"], "a failed run must not make it ours"


def test_a_site_cannot_take_what_another_has(programs: Programs, tmp_path: Path) -> None:
    run(make_wanted("a", "a", (make_file(tmp_path / "f", b"a"),)))
    first = make_wanted("a", "a", (make_file(tmp_path / "f", b"a"),))
    errors = run(first, make_wanted("b", "b", (make_file(tmp_path / "f", b"b"),)))[1]
    assert errors == {"b": f"file:{tmp_path}/f: belongs to a"}
    assert (tmp_path / "f").read_bytes() == b"a"


def test_one_sites_failure_does_not_stop_the_others(programs: Programs, tmp_path: Path) -> None:
    programs.broken = {"bad.service"}
    bad = make_wanted("a", "a", (Unit("bad.service"), make_shared(tmp_path / "bad", b"x")))
    good = make_wanted("b", "b", (Unit("good.service"), make_shared(tmp_path / "good", b"x")))
    errors = run(bad, good)[1]
    assert list(errors) == ["a"]
    assert "bad.service" in errors["a"]
    assert not (tmp_path / "bad").exists(), "what leads to a site that does not run is not made"
    assert (tmp_path / "good").exists()
    programs.broken = set()
    assert run(bad, good) == (2, {})
    assert run(bad, good) == (0, {})


def test_a_refused_shared_file_is_rolled_back_alone(programs: Programs, tmp_path: Path) -> None:
    programs.read = lambda: {path.name: path.read_bytes() for path in tmp_path.glob("*.conf")}
    programs.refused = lambda: any(path.read_bytes() == b"}" for path in tmp_path.glob("*.conf"))
    run(make_wanted("a", "a", (make_shared(tmp_path / "a.conf", b"old"),)))
    new = [make_wanted(name, name, (make_shared(tmp_path / f"{name}.conf", b"new"),)) for name in ("b", "c")]
    errors = run(make_wanted("a", "a", (make_shared(tmp_path / "a.conf", b"}"),)), *new)[1]
    assert list(errors) == ["a"]
    assert "refused by nginx.service" in errors["a"]
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.conf")} == {
        "a.conf": b"old",
        "b.conf": b"new",
        "c.conf": b"new",
    }
    assert programs.count("systemctl", "reload-or-restart", "nginx.service") == 3
    assert programs.served == {"a.conf": b"old", "b.conf": b"new", "c.conf": b"new"}


def test_a_daemon_that_refuses_what_was_there_is_not_blamed_on_a_site(programs: Programs, tmp_path: Path) -> None:
    programs.refused = lambda: True
    errors = run(make_wanted("a", "a", (make_shared(tmp_path / "a.conf", b"x"),)))[1]
    assert "refuses what was there before" in errors["a"]
    assert programs.count("systemctl", "reload-or-restart") == 1


def test_a_daemon_that_takes_what_it_reads_is_asked_once(programs: Programs, tmp_path: Path) -> None:
    sites = [make_wanted(name, name, (make_shared(tmp_path / f"{name}.conf", b"x"),)) for name in ("a", "b")]
    assert run(*sites) == (2, {})
    assert programs.count("systemctl", "reload-or-restart", "nginx.service") == 1
    assert programs.count("nginx") == 0, "what the reload has taken needs no other check"


def test_a_daemon_is_reloaded_after_a_run_that_was_killed_before(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.read = (tmp_path / "a.conf").read_bytes
    run(make_wanted("a", "a", (make_shared(tmp_path / "a.conf", b"old"),)))

    def die(*_: object) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(shared, "run", die)
        with suppress(_Killed):
            run(make_wanted("a", "a", (make_shared(tmp_path / "a.conf", b"new"),)))
    assert (tmp_path / "a.conf").read_bytes() == b"new"
    assert programs.served == b"old"
    assert run(make_wanted("a", "a", (make_shared(tmp_path / "a.conf", b"new"),)))[1] == {}
    assert programs.served == b"new"


def test_a_reload_that_fails_for_no_fault_of_a_file_is_said(programs: Programs, tmp_path: Path) -> None:
    site = make_wanted("a", "a", (make_shared(tmp_path / "a.conf", b"x"),))
    programs.stopped = True
    assert run(site)[1] == {"a": f"shared:{tmp_path}/a.conf: nginx.service cannot reload: no answer"}
    programs.stopped = False
    assert run(site) == (1, {})


def make_unit_site(folder: Path, content: bytes, *others: File) -> Wanted:
    """A site with a unit whose file is in `folder`."""
    file = make_file(folder / "u.service", content)
    return make_wanted("a", "a", (file, *others, Unit("u.service", (file.key, *(other.key for other in others)))))


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of systemd's units."""
    (tmp_path / "units").mkdir()
    monkeypatch.setattr(applying, "UNITS", f"{tmp_path}/units/")
    return tmp_path / "units"


def test_systemd_reads_its_units_again_only_when_one_it_knows_has_changed(
    programs: Programs, tmp_path: Path, units: Path
) -> None:
    reloads = lambda: programs.count("systemctl", "daemon-reload")  # noqa: E731
    run(make_unit_site(units, b"1", make_file(tmp_path / "f", b"1")))
    assert reloads() == 0, "a new unit is read when it starts"
    run(make_unit_site(units, b"1", make_file(tmp_path / "f", b"2")))
    assert (reloads(), programs.count("systemctl", "restart")) == (0, 2)
    run(make_unit_site(units, b"2", make_file(tmp_path / "f", b"2")))
    assert (reloads(), programs.count("systemctl", "restart")) == (1, 3)
    assert _last(programs.calls, ["systemctl", "daemon-reload"]) < _last(programs.calls, ["systemctl", "restart"])
    run()
    assert reloads() == 2, "nor does it go on with a file that is gone"


def test_a_file_that_adds_to_a_unit_is_read(programs: Programs, units: Path) -> None:
    (units / "u.service.d").mkdir()
    run(make_unit_site(units, b"1", make_file(units / "u.service.d/more.conf", b"1")))
    assert programs.count("systemctl", "daemon-reload") == 1


def test_a_unit_that_systemd_takes_for_disabled_is_read_once_it_is_not(programs: Programs, units: Path) -> None:
    run(make_unit_site(units, b"1"))
    programs.enabled, programs.active = set(), set()
    run(make_unit_site(units, b"1"), full=True)
    assert programs.count("systemctl", "daemon-reload") == 1
    assert _last(programs.calls, ["systemctl", "daemon-reload"]) > _last(programs.calls, ["systemctl", "--root=/"])


def test_a_unit_file_that_a_killed_run_has_changed_is_read(
    programs: Programs, units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(make_unit_site(units, b"1"))

    def die(*_: object) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(applying, "run_units", die)
        with suppress(_Killed):
            run(make_unit_site(units, b"2"))
    programs.changed = {"u.service"}
    assert run(make_unit_site(units, b"2"))[1] == {}
    assert programs.count("systemctl", "daemon-reload") == 1


def test_a_missing_volume_fails_its_site_untouched(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    inside = Directory(str(tmp_path / "volume/data"), 0o755, OWNER, GROUP)
    errors = run(make_wanted("a", "a", (Mount(str(tmp_path / "volume")), inside)))[1]
    assert "not mounted" in errors["a"]
    assert not (tmp_path / "volume/data").exists()
    assert (tmp_path / "volume").stat().st_mode & 0o777 == 0
    assert not (tmp_path / "index/a.json").exists()


def test_removal_keeps_data_and_forgets_the_rest(programs: Programs, tmp_path: Path) -> None:
    site = make_wanted(
        "a", "a", (make_file(tmp_path / "f", b"x"), Unit("u.service"), make_shared(tmp_path / "v", b"x"))
    )
    run(site)
    data = json.loads((tmp_path / "index/a.json").read_text())
    data["keys"] += ["database:wp_a", "user:a"]
    (tmp_path / "index/a.json").write_text(json.dumps(data))
    assert run()[1] == {}
    assert not (tmp_path / "f").exists()
    assert not (tmp_path / "v").exists()
    assert programs.active == set()
    assert json.loads((tmp_path / "index/a.json").read_text())["keys"] == ["database:wp_a", "user:a"]
    assert run() == (0, {})


def test_what_another_run_has_removed_since_is_left(programs: Programs, tmp_path: Path) -> None:
    """An agent whose controller went away ends its run; the next controller had read before that."""
    paths = [tmp_path / "own.conf", tmp_path / "wp-a.conf"]
    run(make_wanted("wp-a", "a", [make_file(paths[0], b"1"), make_shared(paths[1], b"server {}")]))
    seen = parse_seen(read(full=False))
    assert run() == (2, {})
    for path in paths:
        path.write_text("another's")
    (gone,) = make_difference({}, seen, {})
    assert gone.remove
    answer = main.apply({"sites": {"wp-a": gone.payload()}})
    assert answer == {"errors": {}}
    assert [path.read_text() for path in paths] == ["another's", "another's"]
    assert read()["sites"] == {}


def test_a_folder_that_is_not_empty_stays(programs: Programs, tmp_path: Path) -> None:
    run(make_wanted("a", "a", (Directory(str(tmp_path / "d"), 0o755, OWNER, GROUP),)))
    (tmp_path / "d/theirs").write_text("x")
    run()
    assert (tmp_path / "d/theirs").exists()


def test_a_step_runs_once_and_its_failure_hides_secrets(programs: Programs, tmp_path: Path) -> None:
    done = tmp_path / "done"
    stdin = json.dumps({"password": "CANARY-7f3a"}).encode()
    site = make_wanted("a", "a", (Step("install", f"file:{done}", ("installer",), stdin),))
    errors = run(site)[1]
    assert "CANARY-7f3a" not in errors["a"]
    assert "cannot use" in errors["a"]
    programs.steps = done.write_text
    assert run(site)[1] == {}
    assert json.loads(done.read_text()) == {"password": "CANARY-7f3a"}
    assert run(site, full=True) == (0, {})
    assert programs.count("installer") == 2


def test_no_path_is_followed_through_a_link(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "d").symlink_to(tmp_path / "elsewhere")
    errors = run(make_wanted("a", "a", (make_file(tmp_path / "d/f", b"x"),)))[1]
    assert "a" in errors
    assert list((tmp_path / "elsewhere").iterdir()) == []


class _Killed(BaseException):
    """Stands for SIGKILL: nothing can catch it."""


@pytest.mark.parametrize("moment", range(1, 420, 11))
def test_killed_anywhere_the_next_run_completes(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    def wanted(content: bytes) -> list[Wanted]:
        return [
            make_wanted(
                name,
                name,
                (
                    Directory(str(tmp_path / name), 0o750, OWNER, GROUP),
                    make_file(tmp_path / name / "f", content),
                    Unit(f"{name}.service", (f"file:{tmp_path}/{name}/f",)),
                    make_shared(tmp_path / f"{name}.conf", content),
                ),
            )
            for name in ("a", "b")
        ]

    programs.read = lambda: {path.name: path.read_bytes() for path in tmp_path.glob("*.conf")}
    run(*wanted(b"1"))
    left = moment

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise _Killed
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "rename", "fchmod"):
            patch.setattr(files.os, name, counted(getattr(os, name)))
        for module in (applying, shared):
            patch.setattr(module, "run", counted(programs.run))
        with suppress(_Killed):
            run(*wanted(b"2"))
    assert run(*wanted(b"2"))[1] == {}
    assert run(*wanted(b"2"), full=True) == (0, {})
    for name in ("a", "b"):
        assert (tmp_path / name / "f").read_bytes() == b"2"
        assert (tmp_path / f"{name}.conf").read_bytes() == b"2"
        assert _last(programs.calls, ["systemctl", "restart"]) >= 0
    assert programs.served == {"a.conf": b"2", "b.conf": b"2"}, "the daemon has read what is there"
    assert not list(tmp_path.rglob(".f.socle-new"))


def _last(calls: Sequence[list[str]], start: list[str]) -> int:
    return max((number for number, call in enumerate(calls) if call[: len(start)] == start), default=-1)


def test_two_runs_never_meet(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LOCK_SECONDS", 0)
    with index.locked(exclusive=True), pytest.raises(Failed, match="another run"), index.locked(exclusive=False):
        pass
