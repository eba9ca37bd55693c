"""The stage of sites: which hosts and sites it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from socle.load.workspace import Workspace
from socle.planning.make_plan import make_plan
from socle.runs.talk import Talk
from socle.stages import sites
from socle.stages.base import Context
from tests.make import CATALOGUE, make_inputs


def test_what_leads_to_a_site_waits_for_its_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = make_inputs()
    store: Any = None
    site = SimpleNamespace(name="pg-amis-du-lac", host="web1")
    plan: Any = SimpleNamespace(sites=(site,), role=make_plan(inputs).role)
    workspace = Workspace(Path("/x"), "test", Path("/x/s"))
    context = Context(workspace, inputs.platform, plan, CATALOGUE, store, Talk(quiet=True))
    difference: Any = SimpleNamespace(site=site.name, gone=False, changes=(), make=(), payload=dict)
    asked: list[str] = []

    def answer(_state: Any, payloads: dict[str, Any]) -> dict[str, Any]:
        asked.extend(payloads)
        return {host: {"errors": {}} for host in payloads}

    monkeypatch.setattr(sites, "run_apply", answer)
    for failed, expected in ((frozenset(), ["edge1"]), (frozenset({site.host}), [])):
        asked.clear()
        given = replace(context, failed=failed)
        run = sites._Run(given, store, sites.find_waiting(given))
        for wave in sites.make_waves(given, {"edge1": (difference,)}):
            run.wave(wave)
        assert asked == expected


def test_a_failed_edge_is_no_part_of_the_waves() -> None:
    inputs = make_inputs()
    store: Any = None
    context = Context(
        Workspace(Path("/x"), "test", Path("/x/s")),
        inputs.platform, make_plan(inputs), CATALOGUE, store, Talk(quiet=True), failed=frozenset({"edge1"}),
    )  # fmt: skip
    difference: Any = SimpleNamespace(site="s", gone=False)
    assert list(sites.make_waves(context, {"web1": (difference,)})) == [{}, {"web1": (difference,)}, {}]
