"""Ports and firewall: what is judged, and that each judgement can fail."""

from __future__ import annotations

import json

import pytest

from socle.audit.answers import Answer
from socle.audit.check import Failed
from socle.audit.checks import network
from socle.audit.finding import Status
from tests.unit.audit.scenes import by_name, make_plan, run_checks

SOCKETS = """\
udp   UNCONN 0      0         127.0.0.54:53   0.0.0.0:* users:(("systemd-resolve",pid=73,fd=21))
udp   UNCONN 0      0      127.0.0.53%lo:53   0.0.0.0:* users:(("systemd-resolve",pid=73,fd=19))
tcp   LISTEN 0      4096      10.64.2.11:9100 0.0.0.0:* users:(("prometheus-node",pid=190,fd=3))
tcp   LISTEN 0      511       10.64.2.11:80   0.0.0.0:* users:(("nginx",pid=9,fd=5),("nginx",pid=8,fd=5))
tcp   LISTEN 0      128             [::]:22      [::]:* users:(("sshd",pid=85,fd=4))
"""
STRANGE = """\
tcp   LISTEN 0      5            0.0.0.0:4444 0.0.0.0:* users:(("python3",pid=1,fd=3))
tcp   LISTEN 0      5               [::]:4444    [::]:* users:(("python3",pid=1,fd=4))
udp   UNCONN 0      0                  *:68         *:*
tcp   LISTEN 0      5          127.0.0.1:2019 0.0.0.0:* users:(("caddy",pid=2,fd=3))
tcp   LISTEN 0      5            0.0.0.0:9100 0.0.0.0:* users:(("socat",pid=3,fd=3))
"""


def web() -> network.Host:
    return make_plan().hosts[1]


def test_what_is_declared_may_listen() -> None:
    assert list(network.find_undeclared(network.parse_sockets(SOCKETS), web())) == []


def test_what_is_not_declared_is_named_once_per_port() -> None:
    found = run_checks(
        network.nothing_undeclared_listens, answers={"web1": lambda _: SOCKETS + STRANGE, "edge1": lambda _: ""}
    )
    failed = {one.check: one.evidence for one in found if one.status is Status.FAILED}
    assert list(failed) == ["ports:tcp/4444", "ports:udp/68", "ports:tcp/2019", "ports:tcp/9100"]
    assert failed["ports:tcp/4444"] == "not declared: tcp 0.0.0.0:4444 (python3), tcp :::4444 (python3)"
    assert failed["ports:udp/68"] == "not declared: udp *:68 (?)"


def test_a_declared_port_is_not_for_another_protocol() -> None:
    text = 'udp   UNCONN 0      0      0.0.0.0:80   0.0.0.0:* users:(("x",pid=1,fd=1))'
    assert [str(one) for one in network.find_undeclared(network.parse_sockets(text), web())] == ["udp 0.0.0.0:80 (x)"]


@pytest.mark.parametrize(
    ("reached", "status", "words"),
    [
        ([["192.0.2.10", 80], ["192.0.2.10", 443], ["2001:db8::10", 80], ["2001:db8::10", 443]], Status.PASSED, "443"),
        ([["192.0.2.10", 80], ["192.0.2.10", 443]], Status.FAILED, "does not: 2001:db8::10 tcp/80"),
        ([["192.0.2.10", 22]], Status.FAILED, "answers strangers: 192.0.2.10 tcp/22"),
    ],
)
def test_from_outside_exactly_what_is_for_anyone_is_open(
    reached: list[list[object]], status: Status, words: str
) -> None:
    def outside(command: str) -> str:
        return json.dumps(reached)

    answers = {"edge1": lambda _: "", "web1": lambda _: SOCKETS, "outside": outside}
    found = by_name(run_checks(network.strangers_reach_only_what_is_for_anyone, answers=answers))
    assert found["edge1 ports-outside"].status is status
    assert words in found["edge1 ports-outside"].evidence


def test_each_place_worth_trying_is_tried() -> None:
    places = network.make_places(web(), network.parse_sockets(SOCKETS + STRANGE))
    assert {("10.64.2.11", 22), ("10.64.2.11", 80), ("10.64.2.11", 4444), ("10.64.2.11", 3306)} <= set(places)


RULES = "table inet socle {\n\tchain input {\n\t\tpolicy drop;\n\t\ttcp dport 22 accept\n\t}\n}\n"


def test_the_kernel_must_have_the_declared_rules() -> None:
    assert "as declared" in network.compare_rules(RULES, RULES)
    for live, words in (
        ("", "missing: table inet socle"),
        (RULES.replace("22", "{ 22, 4444 }"), "added: tcp dport { 22, 4444 } accept"),
        (f"{RULES}table ip x {{\n}}\n", "added: table ip x"),
    ):
        with pytest.raises(Failed, match=words.replace("{", r"\{").replace("}", r"\}")):
            network.compare_rules(RULES, live)
    with pytest.raises(Failed, match="no chain drops"):
        network.compare_rules("", "")


def test_the_declared_rules_are_rendered_from_the_role() -> None:
    given = {
        "firewall_management_sources": ["10.64.2.1/32"],
        "firewall_inputs": [{"protocol": "tcp", "ports": [80], "sources": ["10.64.2.10"], "comment": "edge to nginx"}],
    }
    sent: list[str] = []

    def host(command: str) -> Answer | str:
        sent.append(command)
        return RULES

    found = run_checks(
        network.rules_in_force_are_those_declared,
        answers={"edge1": host, "web1": host},
        facts={"baseline": lambda: dict.fromkeys(("edge1", "web1"), given)},
    )
    assert [one.status for one in found] == [Status.PASSED] * 2
    assert any(command.startswith("unshare --net") for command in sent)
