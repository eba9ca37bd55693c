"""One run of changes over all the sites of a payload, kind by kind."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from socle.sites.agent.files import load_mounts, lstat
from socle.sites.agent.identity import make_identity, read_identity
from socle.sites.agent.index import load_indexes, new_index, save_indexes, sync_disk
from socle.sites.agent.making import MAKE, REMOVE, Wire, drop_staging
from socle.sites.agent.programs import Failed, last_lines, must, run
from socle.sites.agent.reading import read_state, read_units
from socle.sites.agent.shared import Item, Shared

ORDER = ("user", "directory", "file", "link", "database", "grant")
UNITS = "/etc/systemd/system/"
RESTORING = "/var/lib/socle/backups/restoring"
"""A file for each site that a restore has closed (stacks/backup): it is not whole, or is being changed right now."""
_RECOGNISED = ("user", "directory", "file", "shared", "link", "database", "grant")


class Apply:
    """One run over the sites of a payload. `errors` says which site failed, and why."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.sites: dict[str, dict[str, Any]] = payload["sites"]
        self.indexes = load_indexes()
        self.errors: dict[str, str] = {}
        self.unsure: dict[str, list[str]] = {}
        self.new: set[str] = set()
        """Units whose file is not there yet."""
        self.outdated = False
        """Whether a file that systemd may have read will change."""

    def fail(self, site: str, where: str, error: object) -> None:
        self.errors.setdefault(site, f"{where}: {error}")

    def attempt(self, site: str, key: str, action: Callable[[], None]) -> None:
        """Do one thing for one site, unless the site has failed."""
        if site in self.errors:
            return
        try:
            action()
        except (Failed, KeyError) as error:
            self.fail(site, key, error)
        except OSError as error:
            self.fail(site, key, error.strerror)

    def wires(self, kind: str) -> Iterator[tuple[str, str, Wire]]:
        """Site, name and wire of each resource of a kind that is to be made."""
        for site, spec in self.sites.items():
            for wire in spec["make"]:
                found, _, name = wire["key"].partition(":")
                if found == kind and site not in self.errors:
                    yield site, name, wire

    def removals(self, kind: str) -> Iterator[tuple[str, str]]:
        """Site and name of each resource of a kind that is to go. What the index names no more, a run that ended
        after this one had read has removed: whatever is there now is not known to be ours."""
        for site, spec in self.sites.items():
            if site in self.errors:
                continue
            ours = set(self.indexes[site]["keys"])
            for key in reversed(spec["remove"]):
                found, _, name = key.partition(":")
                if found == kind and key in ours:
                    yield site, name

    def run(self) -> dict[str, Any]:
        """Check, say what will be ours, remove, make, record."""
        self.check_mounts()
        self.check_restores()
        self.check_foreign()
        self.record_intent()
        self.check_units()
        self.remove()
        for kind in ORDER:
            self.make(kind)
        self.clear()
        self.start_units()
        self.make("step")
        self.write_shared([(site, wire["key"], wire) for site, _, wire in self.wires("shared")])
        self.record_done()
        return {"errors": self.errors}

    def check_mounts(self) -> None:
        """A site whose volume is missing is not touched, and its bare mountpoint lets nobody write."""
        mounts = load_mounts()
        for site, spec in self.sites.items():
            for path in spec["mounts"]:
                if path in mounts:
                    if (found := read_identity(path)) and found["site"] != site:
                        self.fail(site, path, f"this is the volume of {found['site']}")
                    continue
                self.fail(site, path, "the site's volume is not mounted")
                if (info := lstat(path)) and stat.S_ISDIR(info.st_mode):
                    os.chown(path, 0, 0)
                    Path(path).chmod(0)

    def check_restores(self) -> None:
        """What a restore has closed stays closed: made as wanted, half of a site would be served, and the database
        that is being loaded dropped. Sites that are not wanted any more may go."""
        for site, spec in self.sites.items():
            if spec["keys"] and lstat(f"{RESTORING}/{site}") is not None:
                self.fail(site, "restore", "it has not ended well: run socle restore again")

    def check_foreign(self) -> None:
        """What exists and is in no index is not ours. A volume is ours as a whole: it carries the marker."""
        owners = {key: site for site, index in self.indexes.items() for key in index["keys"]}
        unknown = {}
        for site, spec in self.sites.items():
            for wire in spec["make"]:
                key = wire["key"]
                if (owner := owners.setdefault(key, site)) != site:
                    self.fail(site, key, f"belongs to {owner}")
                elif key not in self.indexes.get(site, {}).get("keys", ()) and not in_volume(key, spec["mounts"]):
                    unknown[key] = (site, wire)
        for key, state in read_state(unknown).items():
            site, wire = unknown[key]
            if state is not None and not _adopts(key, state, wire):
                reason = state.get("unreadable") if isinstance(state, dict) else None
                self.fail(site, key, reason or "exists and is not ours")

    def check_units(self) -> None:
        """What systemd will have to be told of: it reads a new unit when it starts."""
        self.new = {name for _, name, _ in self.wires("unit") if lstat(f"{UNITS}{name}") is None}
        files = {name for spec in self.sites.values() for name in _names(spec) if name.startswith(UNITS)}
        self.outdated = not files <= {f"{UNITS}{name}" for name in self.new}

    def record_intent(self) -> None:
        """What will be ours, before any of it exists; units to restart and daemons to reload, before it is due."""
        for site, spec in self.sites.items():
            if site in self.errors:
                continue
            index = self.indexes.setdefault(site, new_index())
            for wire in spec["make"]:
                kind, _, name = wire["key"].partition(":")
                if kind == "unit":
                    index["units"].pop(name, None)
                elif kind == "shared":
                    index["shared"][wire["key"]] = {"reload": wire["reload"], "validate": wire["validate"]}
            changed = [key for key in _touched(spec) if key in index["shared"]]
            self.unsure[site] = list(index["pending"])
            index["pending"] = sorted({*index["pending"], *(index["shared"][key]["reload"] for key in changed)})
            index["keys"] = list(dict.fromkeys([*index["keys"], *spec["keys"]]))
            index["stamp"] = ""
        self.save()

    def make(self, kind: str) -> None:
        for site, name, wire in list(self.wires(kind)):
            self.attempt(site, wire["key"], partial(MAKE[kind], name, wire))

    def clear(self) -> None:
        """Drop what installations that died left: none runs now, since this run alone holds the lock."""
        databases = {key.partition(":")[2]: site for site, key in self.keys() if key.startswith("database:")}
        try:
            if databases:
                drop_staging(set(databases))
        except Failed as error:
            for name, site in databases.items():
                self.fail(site, f"database:{name}", error)

    def keys(self) -> Iterator[tuple[str, str]]:
        """Site and key of all that the sites of this run should have."""
        for site, spec in self.sites.items():
            if site not in self.errors:
                yield from ((site, key) for key in spec["keys"])

    def remove(self) -> None:
        """What leads to a site goes first; what it stands on, last."""
        self.write_shared([(site, f"shared:{name}", None) for site, name in self.removals("shared")])
        self.stop_units()
        for kind in ("grant", "link", "file", "directory"):
            for site, name in list(self.removals(kind)):
                self.attempt(site, f"{kind}:{name}", partial(REMOVE[kind], name))

    def stop_units(self) -> None:
        """Disable and stop units, all by one call."""
        units = list(self.removals("unit"))
        try:
            running = run_stop(sorted({name for _, name in units}))
        except Failed as error:
            running = {name: str(error) for _, name in units}
        for site, name in units:
            if name in running:
                self.fail(site, f"unit:{name}", running[name])

    def start_units(self) -> None:
        """Enable and restart the units that need it, all by one call each."""
        units = list(self.wires("unit"))
        try:
            states = run_units([name for _, name, _ in units], self.new, self.outdated)
        except Failed as error:
            for site, name, _ in units:
                self.fail(site, f"unit:{name}", error)
            return
        for site, name, wire in units:
            if all(states.get(name, {}).get(field) for field in ("enabled", "active")):
                self.indexes[site]["units"][name] = wire["expected"]["digest"]
            else:
                self.fail(site, f"unit:{name}", f"does not run: {read_journal(name)}")

    def write_shared(self, items: list[Item]) -> None:
        """Write or remove files of shared daemons: one reload, which checks, for all of a daemon's."""
        groups: dict[str, list[Item]] = {}
        for item in items:
            groups.setdefault(self.indexes[item[0]]["shared"][item[1]]["reload"], []).append(item)
        for unit, group in groups.items():
            site, key, _ = group[0]
            validate = self.indexes[site]["shared"][key]["validate"]
            unsure = [name for name, units in self.unsure.items() if unit in units]
            Shared(unit, validate, self.attempt, self.fail, unsure).run(group)

    def record_done(self) -> None:
        """Stamps last, once everything is on the disk."""
        for site, spec in self.sites.items():
            # The volume of a site that waits for its restore is known by its number not to be the one it had.
            for path in () if spec["held"] else spec["mounts"]:
                self.attempt(site, path, partial(self.identify, site, path))
        sync_disk()
        for site, spec in self.sites.items():
            if site in self.errors:
                continue
            index, gone = self.indexes[site], set(spec["remove"])
            keys = [key for key in index["keys"] if key not in gone]
            index["keys"] = keys
            index["shared"] = {key: value for key, value in index["shared"].items() if key in keys}
            index["units"] = {name: value for name, value in index["units"].items() if f"unit:{name}" in keys}
            index["pending"], index["stamp"] = [], spec["stamp"]
        self.save()

    def identify(self, site: str, path: str) -> None:
        self.indexes[site]["volumes"][path] = make_identity(path, site)

    def save(self) -> None:
        """Record every site that has not failed."""
        indexes = {site: self.indexes[site] for site in self.sites if site not in self.errors}
        for site, error in save_indexes(indexes).items():
            self.fail(site, "index", error)


def _adopts(key: str, state: Any, wire: Wire) -> bool:
    """A lost index (spoilt, or the host was made anew and its volumes kept) finds again what is exactly as wanted,
    and finished steps; a unit follows its file."""
    kind = key.partition(":")[0]
    return kind in ("unit", "step") or (kind in _RECOGNISED and bool(state == wire["expected"]))


def _touched(spec: dict[str, Any]) -> list[str]:
    return [*(wire["key"] for wire in spec["make"]), *spec["remove"]]


def _names(spec: dict[str, Any]) -> list[str]:
    return [key.partition(":")[2] for key in _touched(spec)]


def in_volume(key: str, mounts: list[str]) -> bool:
    """Whether a key names something on one of the volumes."""
    name = key.partition(":")[2]
    return any(name == mount or name.startswith(f"{mount}/") for mount in mounts)


def run_stop(names: list[str]) -> dict[str, str]:
    """Disable and stop the units there are; why those that still run do."""
    known = sorted(read_units(names)) if names else []
    if not known:
        return {}
    result = run(["systemctl", "disable", "--now", *known], timeout=300)
    run(["systemctl", "reset-failed", *known])
    states = read_units(known)
    return {name: last_lines(result.stderr) or "does not stop" for name in known if states.get(name, {}).get("active")}


def run_units(names: list[str], new: set[str], outdated: bool) -> dict[str, dict[str, Any]]:
    """Enable and restart units, and say how they are then. Those of `new` systemd has not read yet; all others it
    reads again if it must, which costs more the more sites there are."""
    outdated = outdated or is_outdated(sorted(set(names) - new))
    if names:
        run(["systemctl", "reset-failed", *names])
        # By links alone: systemd itself would read all units again, or say of each that it should.
        run(["systemctl", "--root=/", "enable", *names])
    if outdated:
        run(["systemctl", "daemon-reload"])
    if not names:
        return {}
    run(["systemctl", "restart", *names], timeout=300)
    return read_units(names)


def is_outdated(names: list[str]) -> bool:
    """Whether systemd holds another version of a unit than its files, which a killed run has left, or takes one for
    disabled: it would go on saying so."""
    if not names:
        return False
    output = must(["systemctl", "show", "--property=NeedDaemonReload,UnitFileState", *names])
    lines = set(output.split())
    return not lines <= {"NeedDaemonReload=no", "UnitFileState=enabled"}


def read_journal(unit: str) -> str:
    result = run(["journalctl", "--unit", unit, "--lines", "3", "--output", "cat", "--no-pager"])
    return last_lines(result.stdout) or "nothing in its journal"
