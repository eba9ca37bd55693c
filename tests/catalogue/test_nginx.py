"""What nginx of web hosts is told."""

from __future__ import annotations

from tests.catalogue.site_samples import check_expected, make_plan, stack


def test_settings_are_as_expected() -> None:
    check_expected("nginx", "socle.conf", stack("nginx", "deploy").render_settings(make_plan(), "web1"))
