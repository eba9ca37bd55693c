"""The difference between what a host has and what it should have."""

from __future__ import annotations

from typing import Any

import pytest

from socle.sites.desired import Wanted, make_wanted
from socle.sites.difference import Seen, make_difference
from socle.sites.resources import Database, Directory, File, Grant, Mount, Unit, User

SITE = "wp-a"
RESOURCES = (
    Mount("/srv/sites/wp-a"),
    User("wp-a", 20000, "/srv/sites/wp-a"),
    Directory("/srv/sites/wp-a", 0o2750, "wp-a", "www-data"),
    File("/etc/a.conf", b"x"),
    Database("wp_a"),
    Grant("wp_a", "secret"),
    Unit("socle-wp-a.service", ("file:/etc/a.conf",)),
    File("/etc/nginx/a.conf", b"server {}", reload="nginx.service", validate=("nginx", "-t")),
)
WANTED = make_wanted(SITE, "a", RESOURCES)


def seen(wanted: Wanted = WANTED, stamp: str | None = None, **changes: Any) -> Seen:
    """What is read of a site that is as `wanted`, with the state of some keys changed."""
    state = {wire["key"]: wire["expected"] for wire in wanted.wires}
    return Seen(wanted.keys, wanted.stamp if stamp is None else stamp, (), {**state, **changes})


def differ(wanted: Wanted | None, read: Seen | None) -> list[tuple[str, str, str]]:
    """Action, kind and name of each change."""
    desired = {wanted.site: wanted} if wanted else {}
    found = make_difference(desired, {SITE: read} if read else {}, {SITE: "a"})
    assert all(change.stage == "sites" and change.association == "a" for site in found for change in site.changes)
    return [(change.action, change.kind, change.name) for site in found for change in site.changes]


def test_a_site_that_is_as_wanted_needs_nothing() -> None:
    assert differ(WANTED, seen()) == []


def test_a_trusted_stamp_needs_nothing() -> None:
    assert differ(WANTED, Seen(WANTED.keys, WANTED.stamp, (), None)) == []


def test_a_new_site_is_made_whole() -> None:
    changes = differ(WANTED, None)
    assert [action for action, _, _ in changes] == ["create"] * len(RESOURCES)
    assert ("create", "database user", "wp_a") in changes


def test_a_file_changed_by_hand_is_mended_and_its_unit_restarted() -> None:
    changed = {"digest": "0", "mode": 0o644, "owner": "root", "group": "root"}
    assert differ(WANTED, seen(**{"file:/etc/a.conf": changed})) == [
        ("update", "file", "/etc/a.conf"),
        ("update", "unit", "socle-wp-a.service"),
    ]


@pytest.mark.parametrize("field", ["mode", "owner", "group"])
def test_wrong_modes_and_owners_are_found(field: str) -> None:
    right = {wire["key"]: wire["expected"] for wire in WANTED.wires}["directory:/srv/sites/wp-a"]
    assert differ(WANTED, seen(**{"directory:/srv/sites/wp-a": {**right, field: "wrong"}})) == [
        ("update", "directory", "/srv/sites/wp-a")
    ]


def test_what_is_gone_is_made_again() -> None:
    assert differ(WANTED, seen(**{"grant:wp_a": None})) == [("create", "database user", "wp_a")]


def test_what_exists_in_no_index_is_given_to_the_agent_to_judge() -> None:
    keys = tuple(key for key in WANTED.keys if key != "database:wp_a")
    read = Seen(keys, "", (), seen().state)
    assert differ(WANTED, read) == [("update", "database", "wp_a")]


def test_a_run_killed_before_its_record_leaves_the_record_to_do() -> None:
    assert differ(WANTED, seen(stamp="")) == [("update", "stamp", SITE)]


def test_a_run_killed_before_a_reload_writes_the_shared_files_again() -> None:
    read = Seen(WANTED.keys, "", ("nginx.service",), seen().state)
    assert differ(WANTED, read) == [("update", "file", "/etc/nginx/a.conf")]


def test_what_is_declared_no_more_is_removed() -> None:
    smaller = make_wanted(SITE, "a", tuple(r for r in RESOURCES if r.key != "shared:/etc/nginx/a.conf"))
    read = Seen(WANTED.keys, WANTED.stamp, (), seen().state)
    assert differ(smaller, read) == [("delete", "file", "/etc/nginx/a.conf")]


def test_an_orphan_is_stopped_and_keeps_its_data() -> None:
    (site,) = make_difference({}, {SITE: Seen(WANTED.keys, WANTED.stamp)}, {SITE: "a"})
    assert site.gone
    assert [(change.action, change.kind) for change in site.changes] == [
        ("delete", "file"),
        ("stop", "unit"),
        ("delete", "database user"),
        ("delete", "file"),
    ]
    assert not any("/srv/sites" in key or key.startswith(("database:", "user:")) for key in site.remove)


def test_an_orphan_that_is_stopped_needs_nothing_more() -> None:
    kept = ("mount:/srv/sites/wp-a", "user:wp-a", "directory:/srv/sites/wp-a", "database:wp_a")
    assert differ(None, Seen(kept, "")) == []


def test_removals_come_first() -> None:
    other = make_wanted("wp-b", "b", (File("/etc/b.conf", b"x"),))
    found = make_difference({"wp-b": other}, {SITE: Seen(WANTED.keys, WANTED.stamp)}, {SITE: "a"})
    assert [site.site for site in found] == [SITE, "wp-b"]


def test_a_change_shows_no_secret() -> None:
    found = make_difference({SITE: WANTED}, {}, {})
    assert "secret" not in repr(found)
