"""The baseline stage: what any Linux host of ours has, by Ansible (roles/, playbooks/baseline.yml).

A stamp on each host holds the digest of the roles and of what they were given. Equal: the host is left
alone. `full` trusts no stamp: the preview is Ansible's own check mode, and apply runs it everywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from socle.errors import Exit, PartlyDone
from socle.files import run_write
from socle.load.workspace import Workspace
from socle.model.plan import Host, Plan
from socle.model.platform import Platform
from socle.runs.process import TimedOut, run
from socle.ssh import CONTROLLER_KEY
from socle.stages.base import Change, Context, StageName
from socle.stages.stamps import load_stamps, run_stamps

_TIMEOUT = 1200.0
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


class BaselineStage:
    """Ansible on the hosts whose stamp is not current."""

    name: StageName = "baseline"

    def preview(self, context: Context) -> Sequence[Change]:
        """A change for each host whose stamp differs; with `full`, for each host that check mode would change."""
        stale = _find_stale(context, trust=not context.full)
        if not context.full:
            return [_make_change(host, context) for host in stale]
        present = [host for host in stale if host not in context.absent]
        recap = _run_playbook(context, present, check=True) if present else {}
        changed = [host for host in stale if host in context.absent or recap.get(host, {}).get("changed")]
        return [_make_change(host, context) for host in changed]

    def apply(self, context: Context) -> Sequence[Change]:
        """Run the roles. Raises PartlyDone naming the hosts where a task failed."""
        digests = make_digests(context)
        hosts = _find_stale(context, trust=not context.full)
        if not hosts:
            return []
        recap = _run_playbook(context, hosts, check=False)
        done = {host for host, counts in recap.items() if not counts["failed"] and not counts["unreachable"]}
        run_stamps(context.workspace, self.name, {host: digests[host] for host in hosts if host in done})
        changes = [_make_change(host, context) for host in hosts if host in recap and recap[host]["changed"]]
        if failed := sorted(set(hosts) - done):
            code = Exit.UNREACHABLE if _are_lost(recap, hosts) else Exit.PARTIAL
            text, remedy = f"the baseline failed on {', '.join(failed)}", f"see {_log(context)}, then run again"
            raise PartlyDone(text, remedy, changes=changes, hosts=failed, exit_code=code)
        return changes


def make_variables(host: Host, plan: Plan, platform: Platform, public_key: str) -> dict[str, Any]:
    """What the roles are told about a host. No secret is among it."""
    management = next(network for network in plan.networks if network.name == "inner")
    return {
        "users_root_keys": [public_key],
        "users_operators": [
            {"name": operator.name, "ssh_keys": list(operator.ssh_keys)} for operator in platform.operators
        ],
        "sshd_penalty_exempt": [f"{management.ipv4.ip}/32"],
        "sshd_forwards": [f"{host.address}:{port}" for port in host.forwards],
        "firewall_management_sources": [f"{management.ipv4.ip}/32"],
        "firewall_inputs": [entry.model_dump(mode="json") for entry in host.inputs],
        "monitoring_listen": str(host.address),
        "time_zone": plan.timezone,
    }


def render_variables(variables: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A second inventory, beside hosts.yml: the variables of each host. Every text is `!unsafe`, so that Ansible
    takes `{{` in it as it is
    (https://docs.ansible.com/ansible/latest/playbook_guide/playbooks_advanced_syntax.html#unsafe-or-raw-strings)."""
    hosts = {host: _mark_texts(given) for host, given in variables.items()}
    return yaml.dump({"all": {"hosts": hosts}}, Dumper=_Dumper, allow_unicode=True).encode()


class _Text(str):
    """A text that Ansible must not take as a template."""


class _Dumper(yaml.SafeDumper):
    """YAML that knows `_Text`. No aliases: they would be read well, but not by people."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the signature is PyYAML's)
        return True


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


def _mark_texts(value: Any) -> Any:
    if isinstance(value, str):
        return _Text(value)
    if isinstance(value, Mapping):
        return {key: _mark_texts(item) for key, item in value.items()}
    return [_mark_texts(item) for item in value] if isinstance(value, list | tuple) else value


def load_variables(context: Context) -> dict[str, dict[str, Any]]:
    """The variables of each host of the plan."""
    key = (context.workspace.ssh / f"{CONTROLLER_KEY}.pub").read_text().strip()
    return {host.name: make_variables(host, context.plan, context.platform, key) for host in context.plan.hosts}


def make_digests(context: Context) -> dict[str, str]:
    """For each host, the digest of the roles, the playbook, and what the host is given."""
    code = _digest_folders(context.workspace.root / "roles", context.workspace.root / "playbooks")
    return {
        host: hashlib.sha256((code + json.dumps(given, sort_keys=True)).encode()).hexdigest()
        for host, given in load_variables(context).items()
    }


def _digest_folders(*folders: Path) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and "molecule" not in p.parts):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _find_stale(context: Context, trust: bool) -> list[str]:
    names = [host.name for host in context.hosts]
    if not trust:
        return names
    if not (context.workspace.ssh / f"{CONTROLLER_KEY}.pub").exists():
        return names
    present = [name for name in names if name not in context.absent]
    stamps = load_stamps(context.workspace, "baseline", present)
    digests = make_digests(context)
    return [name for name in names if stamps.get(name) != digests[name]]


def _make_change(host: str, context: Context) -> Change:
    action = "create" if host in context.absent else "update"
    return Change(stage="baseline", action=action, kind="host", name=host)  # type: ignore[arg-type]


def make_arguments(workspace: Workspace, hosts: Sequence[str], check: bool) -> list[str]:
    """The whole ansible-playbook command."""
    program = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent)) or "ansible-playbook"
    inventories = ["-i", str(workspace.inventory / "hosts.yml"), "-i", str(workspace.state / "baseline.yml")]
    arguments = [program, *inventories, "--limit", ",".join(hosts), *(["--check"] if check else [])]
    return [
        *arguments,
        f"--ssh-common-args=-F {workspace.ssh / 'config'}",
        str(workspace.root / "playbooks/baseline.yml"),
    ]


def parse_recap(text: str) -> dict[str, dict[str, int]]:
    """Counts per host from ansible-playbook's PLAY RECAP."""
    keys = ("ok", "changed", "unreachable", "failed")
    return {m[1]: dict(zip(keys, map(int, m.groups()[1:]), strict=True)) for m in _RECAP.finditer(text)}


def _run_playbook(context: Context, hosts: Sequence[str], check: bool) -> Mapping[str, dict[str, int]]:
    workspace = context.workspace
    run_write(workspace.state / "baseline.yml", render_variables(load_variables(context)))
    home = workspace.state / "ansible"
    environment = {"ANSIBLE_CONFIG": str(workspace.root / "playbooks/ansible.cfg"), "ANSIBLE_HOME": str(home)}
    arguments = make_arguments(workspace, hosts, check)
    try:
        run(arguments, timeout=_TIMEOUT, environment=environment, check=False, log=_log(context))
    except TimedOut as error:
        text = f"the baseline of {', '.join(hosts)}: {error}"
        raise PartlyDone(text, f"see where it stopped: {_log(context)}, then run again", hosts=hosts) from None
    output = _log(context).read_text(errors="replace")
    context.talk.detail(output)
    recap = parse_recap(output)
    if not recap:
        text = f"the baseline of {', '.join(hosts)} did not run: {output.strip()[-600:]}"
        raise PartlyDone(text, "mend this, then run again", hosts=hosts)
    return recap


def _log(context: Context) -> Path:
    return context.workspace.logs / "baseline.log"


def _are_lost(recap: Mapping[str, Mapping[str, int]], hosts: Sequence[str]) -> bool:
    return all(recap.get(host, {}).get("unreachable") for host in hosts)
