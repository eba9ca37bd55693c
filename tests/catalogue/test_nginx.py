"""What nginx of web hosts is told."""

from __future__ import annotations

from tests.catalogue.site_samples import check_expected, make_plan, stack


def test_settings_are_as_expected() -> None:
    check_expected("nginx", "socle.conf", stack("nginx", "deploy").render_settings(make_plan(), "web1"))


def test_reloading_it_is_a_check_of_everything() -> None:
    """The sites stage counts on it."""
    lines = (stack("nginx", "deploy").FOLDER / "templates/unit.conf").read_text().splitlines()
    emptied, check, reload = (line for line in lines if line.startswith("ExecReload="))
    assert emptied == "ExecReload="
    assert check.startswith("ExecReload=/usr/sbin/nginx -t ")
    assert reload == "ExecReload=/bin/kill -HUP $MAINPID"
