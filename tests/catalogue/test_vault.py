"""The vault: what its server is told."""

from __future__ import annotations

import pytest

from tests.catalogue.site_samples import check_expected, make_plan, stack


def render_unit() -> str:
    return str(stack("vault", "deploy").render_unit(make_plan(), "web1"))


def test_the_unit_is_as_expected() -> None:
    check_expected("vault", "socle-vault.service", render_unit())


@pytest.mark.parametrize("option", ["--append-only", "--private-repos", "--tls", "--htpasswd-file"])
def test_hosts_can_only_add_and_only_to_what_is_theirs(option: str) -> None:
    assert option in render_unit().split()
    assert "--no-auth" not in render_unit()
