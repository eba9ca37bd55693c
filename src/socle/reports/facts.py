"""From what was read to facts in French, promise by promise. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import idna

from socle.model.domains import render_domain
from socle.model.plan import Plan
from socle.reports.french import WIDE, render_count
from socle.reports.model import BackupRow, Detail, Fact
from socle.reports.promises import OFFICIALS, REQUESTS, SYSADMINS, Check
from socle.reports.sources import Audit, Backup, Backups, Drill, Finding, FindingStatus, Run, Verdict

_PLACES = {"controller": "machine d’administration", "outside": "vu de l’extérieur"}
_ORDER: tuple[FindingStatus, ...] = ("failed", "not_checked", "passed")
_VERDICTS: dict[Verdict, tuple[FindingStatus, str, str]] = {
    "failed": (
        "failed",
        "La dernière sauvegarde a échoué",
        "Lire le motif de l’échec, y remédier, puis relancer la sauvegarde",
    ),
    "partial": (
        "failed",
        "La dernière sauvegarde est incomplète",
        "Lire ce qui manque, y remédier, puis relancer la sauvegarde",
    ),
    "late": (
        "failed",
        "La dernière sauvegarde est trop ancienne",
        "Chercher pourquoi la sauvegarde n’a pas eu lieu",
    ),
    "unknown": (
        "not_checked",
        "On ne sait pas si le site est sauvegardé",
        "Rétablir l’accès au serveur de sauvegardes, puis relire les verdicts",
    ),
    "complete": ("passed", "La dernière sauvegarde est complète", ""),
}


def make_audit_facts(audit: Audit | None, checks: Mapping[str, Check], verdicts: bool) -> Iterator[tuple[str, Fact]]:
    """A fact per check and status, with the key of its promise (`other` when none is known). What the audit says
    of backups is left out when their verdicts themselves are there (`verdicts`)."""
    found: dict[tuple[str, FindingStatus], list[Finding]] = {}
    for finding in audit.findings if audit else ():
        if finding.kind == "backup" and verdicts:
            continue
        found.setdefault((finding.kind, finding.status), []).append(finding)
    for (check, status), findings in sorted(found.items(), key=lambda one: (_ORDER.index(one[0][1]), one[0][0])):
        promise, fact = make_check_fact(check, status, findings, checks)
        yield promise, fact.model_copy(update={"time": audit.time if audit else None})


def make_check_fact(
    check: str, status: FindingStatus, findings: Iterable[Finding], checks: Mapping[str, Check]
) -> tuple[str, Fact]:
    """What a check found, in French; in its own words when its French is not known."""
    details = tuple(
        Detail(place=make_place(one), evidence=one.evidence, remedy=one.remedy, thing=one.thing) for one in findings
    )
    known = checks.get(check)
    if known is None:
        ask = "Lire le constat dans l’annexe technique, et y remédier" if status == "failed" else ""
        text = f"Vérification «{WIDE}{check}{WIDE}»"
        return "other", Fact(check=check, status=status, text=text, ask=ask, who=SYSADMINS, details=details)
    text = {
        "passed": known.passed,
        "failed": known.failed,
        "not_checked": f"«{WIDE}{known.passed}{WIDE}»" + (f" : {known.why}" if known.why else ""),
    }[status]
    ask = known.ask if status == "failed" else ""
    return known.promise, Fact(check=check, status=status, text=text, ask=ask, who=known.who, details=details)


def make_place(finding: Finding) -> str:
    """Where a finding is, as people say it: the thing and its host, or the host alone."""
    host = _PLACES.get(finding.host, finding.host)
    thing = _show_name(finding.thing)
    return f"{thing} ({host})" if thing and host else thing or host


def _show_name(text: str) -> str:
    """Domains as people write them; anything else as it is."""
    try:
        return render_domain(text) if "xn--" in text else text
    except idna.IDNAError:
        return text


def make_backup_rows(plan: Plan, backups: Backups | None) -> tuple[BackupRow, ...]:
    """A row per site to save, then what else was judged; a site without verdict is unknown, never good."""
    known = {one.site: one for one in backups.sites} if backups else {}
    names = {site.association: site.association_name for site in plan.sites}
    expected = [(one.association, site) for one in plan.repositories for site in one.sites]
    if not plan.repositories:
        expected = [(site.association, site.name) for site in plan.sites]
    others = [(one.association, site) for site, one in known.items() if site not in {site for _, site in expected}]
    return tuple(_make_row(names.get(owner, owner), site, known.get(site)) for owner, site in (*expected, *others))


def _make_row(association: str, site: str, one: Backup | None) -> BackupRow:
    if one is None:
        reason = "no verdict was read"
        return BackupRow(association=association, site=site, verdict="unknown", time=None, size=None, reason=reason)
    return BackupRow(
        association=association,
        site=site,
        verdict=one.verdict,
        time=one.time,
        size=one.size if one.time else None,
        reason=one.reason,
    )


def make_backup_facts(rows: Iterable[BackupRow], backups: Backups | None) -> Iterator[Fact]:
    """A fact per verdict."""
    for verdict, (status, text, ask) in _VERDICTS.items():
        sites = [row for row in rows if row.verdict == verdict]
        if sites:
            details = tuple(Detail(place=row.site, evidence=row.reason, thing=row.site) for row in sites)
            time = backups.time if backups else None
            yield Fact(
                check=f"backups.{verdict}", status=status, text=text, ask=ask, who=SYSADMINS, time=time, details=details
            )


def make_restore_facts(plan: Plan, runs: Iterable[Run], drills: Sequence[Drill]) -> Iterator[Fact]:
    """The last time that a backup was brought back, by the drill itself or by the journal, and what did not come back
    since. `drills`: the newest of each site, newest first."""
    tried = [run for run in runs if run.command.split(" ")[0] in ("restore", "drill")]
    yield _make_restored(next((run for run in tried if run.restores), None), next(filter(_proves, drills), None))
    names = {site.name for site in plan.sites}
    bad = [one for one in drills if not one.proves and one.site in names]
    if bad:
        yield Fact(
            check="drills",
            status="failed",
            text="Le dernier essai de restauration d’un site a échoué",
            ask="Lire le motif de l’échec, y remédier, et recommencer l’essai",
            who=SYSADMINS,
            time=bad[0].time,
            details=tuple(map(_make_drill_detail, bad)),
        )
    # One that had nothing to restore does not make up for one that failed.
    last = next((run for run in tried if run.fails or (run.proves and run.restored != 0)), None)
    if last and last.fails and not (bad and "--into scratch" in last.command):
        yield Fact(
            check="journal.restore",
            status="failed",
            text="La dernière restauration a échoué",
            ask="Lire le motif de l’échec, y remédier, et recommencer",
            who=SYSADMINS,
            time=last.time,
            details=(_make_detail(last),),
        )


def _proves(drill: Drill) -> bool:
    return drill.proves


def _make_restored(run: Run | None, drill: Drill | None) -> Fact:
    """The newest proof. A drill begins after the run that made it, and says more."""
    if drill and not (run and run.time and run.time > drill.time):
        text = "Un site a été remis en service à l’écart à partir de sa sauvegarde, et son contenu comparé"
        return Fact(check="drills", status="passed", text=text, time=drill.time, details=(_make_drill_detail(drill),))
    if run:
        text = "Une restauration a été menée à bien"
        return Fact(check="journal.restore", status="passed", text=text, time=run.time, details=(_make_detail(run),))
    return Fact(
        check="journal.restore",
        status="not_checked",
        text="Aucune restauration réussie n’est inscrite au journal, et aucun essai n’en a été gardé",
        ask="Essayer une restauration à l’écart, et en garder la trace",
        who=SYSADMINS,
    )


def _make_drill_detail(drill: Drill) -> Detail:
    checks = ", ".join(f"{name} {status}" for name, status in drill.checks) or "nothing was compared"
    said = f"{drill.verdict} from snapshot {drill.snapshot[:8] or 'none'}: {checks}"
    return Detail(place=drill.site, evidence="; ".join(filter(None, (said, drill.reason))), thing=drill.site)


def make_erasure_facts(plan: Plan, audit: Audit | None, runs: Iterable[Run]) -> Iterator[Fact]:
    """Sites whose data wait for a decision, unless the audit says it, and the last erasure that was made."""
    findings = audit.findings if audit else ()
    told = {one.thing for one in findings if one.kind == "orphans" and one.status == "failed"}
    if untold := [one for one in plan.orphans if one.name not in told]:
        details = tuple(Detail(place=one.name, evidence=f"orphan of {one.association}") for one in untold)
        text = f"{render_count(len(untold), 'site arrêté', 'sites arrêtés')} dont les données sont conservées"
        ask = "Décider de ce que deviennent ces données : remettre le site en service, ou le retirer"
        yield Fact(check="plan.orphans", status="pending", text=text, ask=ask, who=OFFICIALS, details=details)
    erased = next((run for run in runs if run.command.split(" ")[0] == "retire" and run.proves), None)
    if erased is None:
        text = "Aucun retrait n’a encore eu lieu : l’effacement n’a pas été éprouvé ici"
        yield Fact(check="journal.retire", status="not_checked", text=text)
    else:
        text = "Un site a été retiré, et ses données effacées"
        yield Fact(
            check="journal.retire", status="passed", text=text, time=erased.time, details=(_make_detail(erased),)
        )


def make_waiting_facts(plan: Plan) -> Iterator[Fact]:
    """Requests that wait for a person."""
    if plan.waiting:
        details = tuple(Detail(place=name, evidence="valid, not accepted yet") for name in plan.waiting)
        count = render_count(len(plan.waiting), "demande attend", "demandes attendent")
        ask = "Accepter chaque demande, ou la retirer"
        text = f"{count} une réponse"
        yield Fact(check="plan.waiting", status="pending", text=text, ask=ask, who=REQUESTS, details=details)


def _make_detail(run: Run) -> Detail:
    return Detail(place="", evidence=" ".join(filter(None, (run.command, run.result))))
