"""A drill: a site brought up from its backup on a scratch host, read over HTTP, compared, and thrown away."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from socle.errors import PartlyDone, SocleError
from socle.files import run_write
from socle.incus.connect import open_client
from socle.load.workspace import Workspace
from socle.model.plan import Plan, Site
from socle.remote import connected, make_ssh, run_ssh
from socle.restore.choose import make_staging
from socle.restore.place import PROGRAM, Result, make_given, make_result, run_program
from socle.restore.repository import Chosen, Restic, last_lines
from socle.restore.scratch import ADDRESS, NAME, Scratch, make_volume_size, running
from socle.restore.template import make_catalogue, make_plan, make_services, run_template
from socle.runs.process import make_mortal
from socle.sites.desired import Wanted, make_desired
from socle.sites.difference import make_difference, parse_seen
from socle.sites.exchange import Payload, run_apply, run_read
from socle.sites.waiting import hold
from socle.stages.base import Context
from socle.stages.sites import make_apply, make_read

_PROGRAMS = ("backup_host", "restore_host", "restore")
_LIBRARY = "/usr/lib/socle"
_PUSH_SECONDS = 12 * 3600.0
_TAR = ("tar", "--extract", "--preserve-permissions", "--same-owner", "--numeric-owner", "--directory=/", "--file=-")


def make_verdict(result: Result, began: float, seconds: float) -> dict[str, Any]:
    """What is kept of a drill, and shown. `verdict`: restored, or failed."""
    return {
        "association": result.association,
        "site": result.site,
        "snapshot": result.snapshot,
        "verdict": "restored" if result.result == "restored" else "failed",
        "reason": result.reason,
        "time": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "checks": [dict(one) for one in result.checks],
        "notes": list(result.notes),
        "seconds": round(seconds, 1),
    }


def make_path(folder: Path, verdict: Mapping[str, Any]) -> Path:
    """Where a drill's verdict is kept: names sort by time."""
    moment = str(verdict["time"]).replace(":", "").replace("-", "").removesuffix("+0000")
    return folder / f"{moment}Z-{verdict['site']}.json"


def make_config(site: Site, context: Context) -> dict[str, Any]:
    """What the program on the host must know of the site; nothing of it is secret, and no vault is named."""
    service = context.catalogue[site.service].service
    state = service.state
    return {
        "site": site.name,
        "association": site.association,
        "service": site.service,
        "folder": site.path,
        "exclude": list(state.exclude) if state else [],
        "sqlite": list(state.sqlite) if state else [],
        "database": site.database,
        "packages": list(service.packages),
    }


def load_pages(context: Context, site: Site) -> list[str]:
    """The pages that must answer: those its service names in drill.py, else the home page."""
    module = context.catalogue[site.service].module("drill")
    return list(module.PAGES) if module else ["/"]


def run_drill(context: Context, restic: Restic, chosen: Chosen) -> Result:
    """Bring a site up on a scratch host and compare it. The result says how it went; all is cleaned up.

    The caller holds the environment's lock. Raises SocleError when the scratch host itself cannot be made.
    """
    site = chosen.site
    plan = make_plan(context.plan, site, make_services(context.catalogue, site.service))
    workspace = context.workspace
    files = chosen.manifest["files"]["bytes"] + sum(
        one["bytes"] for one in (chosen.manifest.get("sqlite") or {}).values()
    )
    request = {
        "site": site.name,
        "path": site.path,
        "size": make_volume_size(site.quota, int(files)),
        "memory": plan.hosts[0].memory,
    }
    with open_client(context.platform.incus, workspace.state, workspace.project) as client:
        template = run_template(context, client, plan, site, chosen.manifest.get("versions") or {})
        with running(context, client, template, request) as scratch:
            return _run_there(context, restic, chosen, plan, scratch)


def _run_there(context: Context, restic: Restic, chosen: Chosen, plan: Plan, scratch: Scratch) -> Result:
    site, talk = plan.sites[0], context.talk
    with talk.step(f"{site.name}: {scratch.instance} made ready"):
        isolation = check_isolation(scratch.workspace)
        wanted = make_desired(plan, make_catalogue(context.catalogue), {site.name: context.secrets.site(site)})[NAME]
        run_site(context, plan, wanted, scratch.workspace)
        run_ssh(scratch.workspace, NAME, ["systemctl", "stop", site.unit], timeout=120)
        # What a site of today stands on may not be in an older snapshot: only what is sent is compared.
        own = ["-mindepth", "1", "-maxdepth", "1", "!", "-name", ".socle"]
        run_ssh(scratch.workspace, NAME, ["find", site.path, *own, "-exec", "rm", "-rf", "{}", "+"])
        push_programs(context, scratch.workspace)
    with talk.step(f"{site.name}: content sent"):
        for folder in (site.path, make_staging(site.name)):
            push(restic, chosen.snapshot.id, folder, scratch.workspace)
    given = {
        **make_given(site, wanted[site.name], str(ADDRESS), context.secrets.site(site), {}),
        "config": make_config(site, context),
        "pages": load_pages(context, site),
    }
    arguments = [PROGRAM, site.name, "--snapshot", chosen.snapshot.id, "--json", "--sent"]
    answer = run_program(scratch.workspace, NAME, arguments, given, lambda step: talk.say(f"  {site.name}: {step}"))
    result = make_result(chosen, answer)
    return replace(result, checks=(isolation, *result.checks))


def check_isolation(workspace: Workspace) -> dict[str, str]:
    """Seen from the scratch host itself: it has no way out. Raises SocleError when it has."""
    found = run_ssh(workspace, NAME, ["ip", "-brief", "link", "show"]).stdout.decode()
    names = sorted(line.split()[0] for line in found.splitlines() if line.strip())
    if names != ["lo"]:
        raise SocleError(f"the scratch host has a network interface: {', '.join(names)}", "nothing was sent to it")
    return {"name": "isolation", "status": "passed", "evidence": "no network interface but lo on the scratch host"}


def run_site(context: Context, plan: Plan, wanted: Mapping[str, Wanted], workspace: Workspace) -> None:
    """All that the site stands on, but for its installation. Raises PartlyDone."""
    site = plan.sites[0]
    with connected(workspace, [NAME], context.talk) as state:
        answer = run_read(state, {NAME: Payload(make_read({NAME: dict(wanted)}, NAME, full=True))})[NAME]
        differences = make_difference(wanted, parse_seen(answer), {site.name: site.association})
        payload = Payload(make_apply([hold(one) for one in differences]))
        done = run_apply(state, {NAME: payload})[NAME]
    if isinstance(done, SocleError):
        raise done
    if done["errors"]:
        raise PartlyDone("\n".join(f"{name} on {NAME}: {why}" for name, why in done["errors"].items()))


def push_programs(context: Context, workspace: Workspace) -> None:
    """The programs that hosts have, of this version."""
    source = str(context.workspace.stacks / "backup" / "host")
    pack = ["tar", "--create", "--exclude=__pycache__", f"--directory={source}", "--owner=0", "--group=0", "--file=-"]
    unpack = ["tar", "--extract", f"--directory={_LIBRARY}", "--file=-"]
    run_ssh(workspace, NAME, ["mkdir", "-p", _LIBRARY])
    with subprocess.Popen(make_mortal([*pack, *_PROGRAMS]), stdout=subprocess.PIPE) as process:
        _run_unpack(workspace, unpack, process.stdout)
        if process.wait():
            raise SocleError("the programs of hosts cannot be packed")


def push(restic: Restic, snapshot: str, folder: str, workspace: Workspace) -> None:
    """Send a folder of a snapshot to the same place on the scratch host. That host asks nobody."""
    with restic.stream("dump", "--archive", "tar", snapshot, folder) as stream:
        _run_unpack(workspace, _TAR, stream)


def _run_unpack(workspace: Workspace, command: Sequence[str], stream: Any) -> None:
    result = subprocess.run(
        make_mortal(make_ssh(workspace, NAME, command)),
        stdin=stream,
        capture_output=True,
        timeout=_PUSH_SECONDS,
        check=False,
    )
    if result.returncode:
        raise SocleError(f"the scratch host could not unpack what was sent: {last_lines(result.stderr)}")


def run_keep(workspace: Workspace, verdict: Mapping[str, Any]) -> Path:
    """Keep a drill's verdict: the report of audits takes the newest of each site as its proof."""
    path = make_path(workspace.state / "drills", verdict)
    run_write(path, json.dumps(verdict, ensure_ascii=False, indent=1).encode())
    return path


def run_drilled(context: Context, restic: Restic, chosen: Chosen) -> dict[str, Any]:
    """A drill and its verdict, kept, whatever happened."""
    began, clock = time.time(), time.monotonic()
    try:
        result = run_drill(context, restic, chosen)
    except SocleError as error:
        site = chosen.site
        result = Result(site.name, site.association, "failed", str(error), chosen.snapshot.id)
    verdict = make_verdict(result, began, time.monotonic() - clock)
    run_keep(context.workspace, verdict)
    return verdict
