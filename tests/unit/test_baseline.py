"""The baseline stage: what Ansible is given, and what is made of its answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from socle.planning.make_plan import make_plan
from socle.stages.baseline import make_variables, render_variables
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
