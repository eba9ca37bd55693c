"""What of the benchmark can be wrong without a host: reading the tools' words, the check, the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.__main__ import alone
from tests.bench.check import find_faults, make_expected, make_sites
from tests.bench.contenders import parse_pyinfra
from tests.bench.environment import BenchLab, Failed
from tests.bench.light import render_copy
from tests.bench.report import Row, make_row, render_table

SITE = make_sites("an", {"bench-a": "secret"}, 64)[0]
PYINFRA = """
    Operation       Hosts   Success   Error   No Change
    Grand total     36      {success}   {error}   {same}
"""


@pytest.mark.parametrize(("success", "same", "changed"), [("36", "-", 36), ("-", "36", 0), ("2", "34", 2)])
def test_pyinfra_tells_what_it_changed(success: str, same: str, changed: int) -> None:
    assert parse_pyinfra(PYINFRA.format(success=success, error="-", same=same)) == changed


@pytest.mark.parametrize("output", [PYINFRA.format(success="35", error="1", same="-"), "nothing"])
def test_a_run_of_pyinfra_that_failed_is_no_figure(output: str) -> None:
    with pytest.raises(Failed):
        parse_pyinfra(output)


def test_a_site_as_expected_has_no_fault() -> None:
    expected = make_expected(SITE)
    assert len(expected) == 10  # the account's password and its grant are two lines of one resource
    assert list(find_faults(expected, expected)) == []


@pytest.mark.parametrize("key", sorted(make_expected(SITE)))
def test_each_resource_can_be_at_fault(key: str) -> None:
    expected = make_expected(SITE)
    assert list(find_faults(expected, {**expected, key: None})) == [key]


def test_settings_hold_what_the_site_was_given() -> None:
    content = make_expected(SITE)["/etc/fake/an-bench-a/service.conf"]["content"]
    assert "password = secret\n" in content
    assert "name = an_bench_a\n" in content
    assert make_expected(SITE)["/etc/socle/quota/an-bench-a.json"]["content"] == (
        '{"bytes": 64, "database": "an_bench_a"}\n'
    )


def test_the_table_that_tells_a_site_is_installed_is_copied_last() -> None:
    lines = render_copy("wp_a", ["wp_options", "wp_posts", "wp_users"], ["wp_b"]).splitlines()
    assert [line.split("`")[3] for line in lines] == ["wp_posts", "wp_users", "wp_options"]


def test_a_missed_aim_is_said() -> None:
    rows = [
        make_row("quick", [1.0, 3.0, 1.5], aim=2.0),
        Row("slow", 2.5, aim=2.0),
        Row("ratio", 25.0, "x", 20, least=True),
        Row("ratio", 15.0, "x", 20, least=True),
        Row("information", 9.0),
    ]
    lines = render_table(rows).splitlines()
    assert [row.met for row in rows] == [True, False, True, False, None]
    assert ["MISSED" in line for line in lines] == [False, False, True, False, True, False]
    assert "3 runs, 1.00 to 3.00 s" in lines[1]


def test_two_at_a_time_would_remove_each_others_environment(tmp_path: Path) -> None:
    lab = BenchLab(tmp_path / "bench", name="bench")
    with alone(lab), pytest.raises(Failed, match="another make bench"), alone(lab):
        pass
    with alone(lab):
        pass
