"""What services add: databases nobody explains, WordPress that is not itself, doors left open, tasks that are late."""

from __future__ import annotations

import json
from typing import Any

import pytest

from socle.audit.answers import Answer
from socle.audit.checks.web import page_is_read
from socle.audit.finding import Status
from tests.catalogue.site_samples import stack
from tests.unit.audit.scenes import NOW, by_name, run_checks

MARIADB, WORDPRESS = stack("mariadb", "audit"), stack("wordpress", "audit")
ROWS: list[list[Any]] = [
    *([["account", name, "localhost", 99] for name in ("root", "mysql", "mariadb.sys")]),
    *(["account", "wp_ecole", "localhost", 0], ["account", "wp_amis", "localhost", 0]),
    *(["right", "wp_ecole", "localhost", "wp\\_ecole"], ["right", "wp_amis", "localhost", "wp\\_amis"]),
    ["right", "mariadb.sys", "localhost", "mysql.global_priv"],
    *(["database", name, "", ""] for name in ("mysql", "sys", "wp_ecole", "wp_amis")),
]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([], ""),
        (["account", "eve", "localhost", 0], "the account eve@localhost"),
        (["account", "wp_amis", "%", 0], "the account wp_amis@%"),
        (["account", "root", "%", 0], "the account root@%"),
        (["account", "wp_amis", "localhost", 1], "rights of wp_amis in all databases"),
        (["right", "wp_amis", "localhost", "wp\\_ecole"], "rights of wp_amis@localhost in wp\\_ecole"),
        (["right", "wp_amis", "localhost", "wp_ecole.wp_users"], "rights of wp_amis@localhost in wp_ecole.wp_users"),
        (["right", "wp_amis", "localhost", "%"], "rights of wp_amis@localhost in %"),
        (["database", "logs", "", ""], "the database logs"),
    ],
)
def test_databases_are_those_of_sites(row: list[Any], words: str) -> None:
    text = "\n".join(json.dumps(one) for one in [*ROWS, *([row] if row else [])])
    (found,) = run_checks(MARIADB.databases_are_those_of_sites, answers={"web1": lambda _: text})
    assert (found.status is Status.PASSED) == (not words)
    assert words in found.evidence


def test_a_database_that_does_not_answer_is_not_green() -> None:
    (found,) = run_checks(MARIADB.databases_are_those_of_sites, answers={"web1": lambda _: Answer(1, "", "no socket")})
    assert found.evidence == "not checked: no socket"


HOME = "HTTP/2 200 \nstrict-transport-security: max-age=31536000\n\n<html></html>\n=socle=\t200\t2\t\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name":"École","home":"https://xn--cole-9oa.example"}', ""),
        ('{"name":"Amis","home":"https://amis.example"}', "it calls itself https://amis.example"),
        ("<html>", "not checked: JSONDecodeError"),
    ],
)
def test_wordpress_answers_as_itself(text: str, words: str) -> None:
    def outside(command: str) -> str:
        if "wp-json" not in command:
            return HOME
        own = text if "xn--cole" in command else '{"name":"Amis","home":"https://amis.example"}'
        return f"HTTP/2 200 \n\n{own}\n=socle=\t200\t2\t\n"

    found = by_name(run_checks(page_is_read, answers={"outside": outside}))
    assert found["web1 page:wp-amis"].status is Status.PASSED
    assert (found["web1 page:wp-ecole"].status is Status.PASSED) == (not words)
    assert words in found["web1 page:wp-ecole"].evidence


@pytest.mark.parametrize(
    ("code", "count", "status"),
    [
        ("403", 6, Status.PASSED),
        ("502", 6, Status.PASSED),
        ("200", 6, Status.FAILED),
        ("302", 6, Status.FAILED),
        ("403", 5, Status.FAILED),
    ],
)
def test_doors_are_all_tried(code: str, count: int, status: Status) -> None:
    text = "".join(f"https://x/{number} {code if number == 0 else 403}\n" for number in range(count))
    assert {one.status for one in run_checks(WORDPRESS.doors_are_shut, answers={"outside": lambda _: text})} == {status}


@pytest.mark.parametrize(
    ("last", "up", "status"),
    [(600, 9e5, Status.PASSED), (7200, 9e5, Status.FAILED), (0, 60, Status.PASSED), (0, 9e5, Status.FAILED)],
)
def test_tasks_that_are_late_are_seen(last: int, up: float, status: Status) -> None:
    def web(command: str) -> str:
        shown = json.dumps([{"last": int((NOW - last) * 1e6) if last else 0, "unit": "x.timer"}])
        return shown if command.startswith("systemctl") else f"{up} 1"

    (found,) = run_checks(WORDPRESS.tasks_run, answers={"web1": web})
    assert found.status is status
