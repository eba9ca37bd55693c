"""Cases C4 and C5: no two associations ever share a name, whatever they are called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socle.model.names import IDENTIFIER, make_database_name, make_identifier, make_site_name

identifiers = st.from_regex(IDENTIFIER, fullmatch=True)
tags = st.from_regex(r"[a-z]{2,4}", fullmatch=True)


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("Cœur d’Ille", "coeur-d-ille"),
        ("Œuvres", "oeuvres"),
        ("Amis-du-Lac", "amis-du-lac"),
        ("Amis.du_Lac", "amis-du-lac"),
        ("L'Été à l'école 🎪", "l-ete-a-l-ecole"),
        ("1001 Pattes & Cie", "1001-pattes-cie"),
    ],
)
def test_identifier_is_transliterated_explicitly(name: str, identifier: str) -> None:
    assert make_identifier(name) == identifier


@given(tags, identifiers, tags, identifiers)
def test_two_sites_never_share_a_name(tag: str, one: str, other_tag: str, other: str) -> None:
    names = {make_site_name(tag, one), make_site_name(other_tag, other)}
    databases = {make_database_name(name) for name in names}
    assert len(names) == len(databases) == len({(tag, one), (other_tag, other)})


@given(tags, identifiers)
def test_name_is_a_unix_user(tag: str, association: str) -> None:
    name = make_site_name(tag, association)
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name)
    assert not name.endswith("-")


def test_long_names_with_one_beginning_stay_apart() -> None:
    long = "association-de-sauvegarde-du-patrimoine-des-sept-ponts"
    names = {make_site_name("wp", long), make_site_name("wp", f"{long}-bis")}
    assert len(names) == 2
    assert all(name.startswith("wp-association-de-sau") for name in names)


@pytest.mark.parametrize("name", ["logs", "www", "mysql", "root", "default", "backup", "cache", "tmp"])
def test_names_of_the_system_are_never_taken(name: str) -> None:
    assert make_site_name("wp", name) == f"wp-{name}"


@pytest.mark.parametrize("bad", ["", "-a", "a-", "a--b", "A", "a_b", "a.b", "é", "a" * 64, "a\n"])
def test_identifier_refused(bad: str) -> None:
    assert not IDENTIFIER.fullmatch(bad)
