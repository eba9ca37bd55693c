"""The baseline stage: what Ansible is given, and what is made of its answer."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from socle.errors import Exit, PartlyDone
from socle.load.workspace import Workspace
from socle.planning.make_plan import make_plan
from socle.runs.talk import Talk
from socle.ssh import CONTROLLER_KEY
from socle.stages import baseline
from socle.stages.base import Context
from socle.stages.baseline import BaselineStage, make_variables, render_variables
from tests.make import make_inputs

KEY = "ssh-ed25519 AAAA {{ 7*7 }} {% if x %} l'été \"#: 👋"
SCRIPT = """
import json, sys
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

loader = DataLoader()
inventory = InventoryManager(loader=loader, sources=[sys.argv[1]])
manager = VariableManager(loader=loader, inventory=inventory)
found = {host.name: manager.get_vars(host=host) for host in inventory.get_hosts()}
names = json.loads(sys.argv[2])
seen = {host: {name: Templar(loader, variables=given).template(given[name]) for name in names}
        for host, given in found.items()}
print(json.dumps(seen))
"""


def test_what_looks_like_a_template_reaches_ansible_as_it_is(tmp_path: Path) -> None:
    inputs = make_inputs(platform={"operators": [{"name": "ana", "ssh_keys": [KEY]}]})
    plan = make_plan(inputs)
    variables = {host.name: make_variables(host, plan, inputs.platform, KEY) for host in plan.hosts}
    path = tmp_path / "baseline.yml"
    path.write_bytes(render_variables(variables))
    names = json.dumps(sorted(variables["web1"]))
    command = [sys.executable, "-c", SCRIPT, str(path), names]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(answer.stdout) == json.loads(json.dumps(variables))
    assert variables["web1"]["users_root_keys"] == [KEY]
    assert variables["web1"]["users_operators"][0]["ssh_keys"] == [KEY]


def recap(**hosts: str) -> str:
    return "PLAY RECAP ***\n" + "".join(f"{host} : {counts}\n" for host, counts in hosts.items())


OK = "ok=9 changed=1 unreachable=0 failed=0 skipped=0"
LOST = "ok=0 changed=0 unreachable=1 failed=0 skipped=0"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """No host has a stamp; stamps are not written."""
    inputs = make_inputs()
    workspace = Workspace(tmp_path, "test", tmp_path / "state")
    workspace.run_prepare()
    (workspace.ssh / f"{CONTROLLER_KEY}.pub").write_text("ssh-ed25519 AAAA socle")
    monkeypatch.setattr(baseline, "load_stamps", lambda _workspace, _stage, hosts: dict.fromkeys(hosts, ""))
    monkeypatch.setattr(baseline, "run_stamps", lambda *_: None)
    store: Any = None
    return Context(workspace, inputs.platform, make_plan(inputs), inputs.catalogue, store, Talk(quiet=True))


def answer_with(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(baseline, "make_arguments", lambda *_: ["sh", "-c", script])


def test_a_failed_host_is_named_and_what_was_done_elsewhere_is_said(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, f"cat <<'E'\n{recap(edge1=OK, web1=LOST)}E")
    with pytest.raises(PartlyDone, match="failed on web1") as caught:
        BaselineStage().apply(context)
    assert caught.value.hosts == {"web1"}
    assert [change.name for change in caught.value.changes] == ["edge1"]
    assert caught.value.exit is Exit.PARTIAL


def test_all_hosts_out_of_reach_is_exit_5(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, f"cat <<'E'\n{recap(edge1=LOST, web1=LOST)}E")
    with pytest.raises(PartlyDone) as caught:
        BaselineStage().apply(context)
    assert caught.value.exit is Exit.UNREACHABLE


def test_a_baseline_that_takes_too_long_names_hosts_and_leaves_a_log(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, "echo TASK one; sleep 30")
    monkeypatch.setattr(baseline, "_TIMEOUT", 1)
    with pytest.raises(PartlyDone, match=r"edge1, web1.*within 1 s.*baseline\.log") as caught:
        BaselineStage().apply(context)
    assert caught.value.hosts == {"edge1", "web1"}
    assert (context.workspace.logs / "baseline.log").read_text() == "TASK one\n"


def test_hosts_that_failed_before_are_not_asked(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, f"cat <<'E'\n{recap(edge1=OK)}E")
    changes = BaselineStage().apply(replace(context, failed=frozenset({"web1"})))
    assert [change.name for change in changes] == ["edge1"]
