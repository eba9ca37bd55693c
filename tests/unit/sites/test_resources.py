"""Resources: keys, wire form, what is data."""

from __future__ import annotations

import base64
import json

import pytest

from socle.sites.resources import (
    KINDS,
    Database,
    Directory,
    File,
    Grant,
    Link,
    Mount,
    Resource,
    Step,
    Unit,
    User,
    is_data,
    make_wires,
)

EVERYTHING: tuple[Resource, ...] = (
    Step("install", "table:wp_a.wp_options", ("/bin/install", "a"), b'{"password": "s"}'),
    File("/etc/nginx/a.conf", b"server {}", reload="nginx.service", validate=("nginx", "-t")),
    Unit("socle-a.service", watches=("file:/etc/a.conf",)),
    Grant("wp_a", "secret"),
    Database("wp_a"),
    Link("/srv/sites/a/link", "/usr/share/x"),
    File("/etc/a.conf", b"x", 0o640, "root", "a"),
    Directory("/srv/sites/a", 0o2750, "a", "www-data"),
    User("a", 20000, "/srv/sites/a"),
    Mount("/srv/sites/a"),
)


def test_resources_are_made_in_the_order_of_their_kinds() -> None:
    kinds = [wire["key"].partition(":")[0] for wire in make_wires(EVERYTHING)]
    assert kinds == list(KINDS)


def test_the_password_of_a_database_never_leaves() -> None:
    text = json.dumps(make_wires([Grant("wp_a", "secret")]))
    assert "secret" not in text
    # SELECT PASSWORD('secret') of MariaDB 11.8
    assert "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7" in text


def test_a_file_travels_whole_with_its_digest() -> None:
    (wire,) = make_wires([File("/etc/a", b"\x00\xff{{ x }}", 0o640, "root", "a")])
    assert base64.b64decode(wire["content"]) == b"\x00\xff{{ x }}"
    assert wire["expected"]["mode"] == 0o640
    assert "reload" not in wire


def test_a_unit_follows_what_it_watches() -> None:
    def watched(content: bytes) -> str:
        return str(make_wires([File("/a", content), Unit("u", ("file:/a",))])[1]["expected"]["digest"])

    assert watched(b"1") == watched(b"1") != watched(b"2")


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        make_wires([File("/a", b"1"), File("/a", b"2")])
    with pytest.raises(ValueError, match="file:/b"):
        make_wires([File("/a", b"1"), Unit("u", ("file:/b",))])


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("database:wp_a", True),
        ("user:wp-a", True),
        ("mount:/srv/sites/wp-a", True),
        ("directory:/srv/sites/wp-a", True),
        ("link:/srv/sites/wp-a/wp-content/x", True),
        ("directory:/srv/sites/wp-ab", False),
        ("file:/etc/wordpress/config-wp-a.php", False),
        ("grant:wp_a", False),
        ("unit:socle-wp-a.service", False),
        ("shared:/etc/socle/nginx/sites/wp-a.conf", False),
        ("step:install:table:wp_a.wp_options", False),
    ],
)
def test_data_is_told_from_configuration(key: str, data: bool) -> None:
    assert is_data(key, "/srv/sites/wp-a") is data
