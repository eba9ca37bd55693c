"""The platform as a whole: what differs from the plan, what nobody declares, secrets, backups."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from socle.audit.check import CONTROLLER, Failed, Found, NotChecked, Subject, check, expect, platform, sites
from socle.audit.scene import Scene
from socle.backups.own import SITE as PLATFORM
from socle.model.plan import Plan, Site

_GREEN = "complete"


@check("drift", each=platform, remedy="socle plan --full shows it; socle apply --full mends it; who changed it?")
def nothing_differs_from_the_plan(scene: Scene, _plan: Plan) -> str:
    """Everything on every host is as the plan says: read, not remembered."""
    count, differences = scene.fact("drift")
    if differences:
        raise Found((one.host or CONTROLLER, one.label, one.evidence) for one in differences)
    return f"{count} resources read in Incus and on hosts, none differs (stages hosts, baseline, services, sites)"


def _orphans(plan: Plan) -> Iterator[Subject]:
    yield Subject(CONTROLLER, "", plan)


@check("orphans", each=_orphans, remedy="put the request back, or retire it on purpose: socle retire ASSOCIATION")
def nobody_left_data(scene: Scene, plan: Plan) -> str:
    """Nothing is kept for an association that no request names any more."""
    found = [(one.host, one.name, f"orphan of {one.association}: stopped, its data is kept") for one in plan.orphans]
    strange = scene.fact("strangers")
    found += [
        (CONTROLLER, name, f"{kind} {name} in Incus carries our marker, and no plan names it") for kind, name in strange
    ]
    if found:
        raise Found(found)
    return f"{len(plan.sites)} sites, each with its request"


def find_open(state: Path) -> Iterator[str]:
    """Files of the state folder that somebody else than their owner may read."""
    folders = [state, *(state / name for name in ("secrets", "ssh", "logs", "authority"))]
    for folder in folders:
        if folder.is_dir() and (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077:
            yield f"{folder.name}/ has mode {mode:04o}, expected 0700"
    secret = [*(state / "secrets").rglob("*"), *(state / "authority").glob("*.key")]
    secret += [state / "tsig.key", state / "journal.jsonl"]
    secret += [path for path in (state / "ssh").rglob("*") if path.suffix != ".pub" and path.name != "address"]
    for path in secret:
        if path.is_file() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            yield f"{path.relative_to(state)} has mode {mode:04o}, expected 0600"


@check(
    "secrets",
    each=platform,
    remedy="chmod 600 the file (700 a folder); whoever read it meanwhile knows it: change the secret",
)
def secrets_are_closed(scene: Scene, plan: Plan) -> str:
    """Secrets on the controller are readable by its root alone, and each can be read."""
    problems = list(find_open(scene.workspace.state))
    missing = scene.fact("secrets")
    problems += [f"{name}: {why}" for name, why in missing.items()]
    expect(not problems, "; ".join(problems))
    return f"state folder 0700, secrets 0600; those of {len(plan.sites)} sites can be read"


@check("escrow", each=platform, remedy="socle secrets escrow, and put the key it shows into the safe")
def secrets_survive_the_controller(scene: Scene, _plan: Plan) -> str:
    """A key in the safe can read every secret, should this machine be lost."""
    if not scene.fact("escrow"):
        raise NotChecked("safe", "no escrow key has been made")
    return "an escrow key is among the recipients of every secret"


def _saved(plan: Plan) -> Iterator[Subject]:
    """Each site, and the platform itself."""
    yield from sites(plan)
    yield Subject(CONTROLLER, PLATFORM, None)


@check("backup", each=_saved, remedy="socle backup status says why; socle backup run")
def last_backup_is_complete(scene: Scene, site: Site | None) -> str:
    """Each site's last backup is complete, by what is in the repository."""
    entry = scene.catalogue.find(site.service) if site else None
    if site and (entry is None or entry.service.state is None):
        return "its service declares nothing to save"
    expect(scene.plan.repositories, "no vault is declared: nothing is saved")
    found = scene.fact("backups").get(site.name if site else PLATFORM)
    if found is None:
        raise Failed("no verdict: it is not among what is saved")
    said = f"{found.verdict}: snapshot {found.snapshot[:8] or 'none'} of {found.time or 'never'}"
    expect(found.verdict == _GREEN, f"{said}; {found.reason}")
    return f"{said}, {found.bytes} bytes"


@check("schedule", each=platform, remedy="socle schedule install tells this machine what runs by the clock")
def nothing_was_missed(scene: Scene, _plan: Plan) -> str:
    """What must run by the clock (verdicts, retention, this audit) ran."""
    entries, missed = scene.fact("schedule")
    if missed and not any(one.installed for one in missed):
        raise NotChecked("schedule", "the clock of this machine was never told of the schedule")
    if missed:
        raise Found((CONTROLLER, one.name, f"due {one.due:%Y-%m-%d %H:%M}, and did not run since") for one in missed)
    return f"no run was missed of: {', '.join(entries)}"


CHECKS = (
    nothing_differs_from_the_plan,
    nobody_left_data,
    secrets_are_closed,
    secrets_survive_the_controller,
    last_backup_is_complete,
    nothing_was_missed,
)
