"""inventories/<env>/hosts.yml: the hosts for Ansible, pyinfra and testinfra alike, made from the Plan."""

from __future__ import annotations

from typing import Any

from socle.files import render_yaml
from socle.model.plan import Host, Plan

_HEADER = "Written by socle from the plan. Changes made here are lost.\nRead by Ansible, pyinfra and testinfra."


def render_hosts(plan: Plan) -> bytes:
    """The inventory: a group per role, under `hosts`. How to connect is in `<state>/ssh/config`: by name."""
    groups = {role: {"hosts": {host.name: _make_variables(host) for host in plan.role(role)}} for role in _roles(plan)}
    return render_yaml({"all": {"children": groups}}, _HEADER)


def _roles(plan: Plan) -> list[str]:
    return sorted({host.role for host in plan.hosts})


def _make_variables(host: Host) -> dict[str, Any]:
    return {"ansible_host": str(host.address), "ansible_user": "root"}
