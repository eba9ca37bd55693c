"""What a human must act on: gathered from what verdicts, audits, runs by the clock and certificates left in the
state folder. Said in French, to those who get the e-mail.

What could not be read is no proof of health: its kind is `unread`, and what was wrong of it stays wrong.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from socle.backups.memory import VERDICTS
from socle.clock.certificates import FILE as CERTIFICATES
from socle.clock.certificates import Certificate, find_reason, parse_certificates
from socle.clock.runs import Record, parse_time
from socle.clock.schedule import Entry
from socle.clock.times import Missed
from socle.load.workspace import Workspace

AUDITS = "audit"
AUDIT_DAYS = 30
"""An older audit proves nothing any more."""
NOT_PLANNED = ("controller", "outside")
"""Hosts of an audit that no platform.yml declares."""
TOLD_ELSEWHERE = ("backup", "certificate", "drift", "schedule")
"""Checks of the audit that begin so: told here from their source, sooner."""
_LONGEST = 400


class Kind(StrEnum):
    """Where a trouble comes from, in the order in which they are told."""

    BACKUP = "backup"
    AUDIT = "audit"
    CERTIFICATE = "certificate"
    RUN = "run"
    MISSED = "missed"


@dataclass(frozen=True)
class Trouble:
    """Something a human must act on. `key` stays the same while it lasts."""

    key: str
    kind: Kind
    title: str
    """One line, in French."""
    what: str
    """A sentence or more."""
    todo: str
    command: str
    """Arguments of socle, without the environment."""
    since: datetime | None = None
    """None: since it was first seen."""


@dataclass(frozen=True)
class Observed:
    """What is wrong now, and the kinds of which nothing could be read."""

    troubles: tuple[Trouble, ...] = ()
    unread: frozenset[Kind] = frozenset()


# Backups

_VERDICTS = {
    "partial": ("incomplète", "Lire le détail, corriger, puis relancer la sauvegarde."),
    "failed": ("en échec", "Lire le détail, corriger, puis relancer la sauvegarde."),
    "late": ("en retard", "Vérifier que l’hôte du site fonctionne et joint le coffre, puis relancer la sauvegarde."),
    "unknown": ("impossible à vérifier", "Vérifier que le coffre répond, puis relire les verdicts."),
}


def make_backup_troubles(status: Any) -> Iterator[Trouble]:
    """From `socle backup status --json`: each site whose verdict is not complete. ValueError on another shape."""
    for site in _list(status, "sites"):
        verdict, name = _text(site, "verdict"), _text(site, "site")
        if verdict == "complete":
            continue
        word, todo = _VERDICTS.get(verdict, _VERDICTS["unknown"])
        reason = _text(site, "reason")
        detail = f"\nDétail : {reason}" if reason else ""
        yield Trouble(
            key=f"backup:{name}",
            kind=Kind.BACKUP,
            title=f"sauvegarde {word} pour {name}",
            what=f"La sauvegarde du site {name} ({_text(site, 'association')}) est {word}.{detail}",
            todo=todo,
            command="backup status",
        )


# Audit


def make_findings(audits: Sequence[Any]) -> list[dict[str, Any]]:
    """What each kind of check last found on each host, from audits, newest first: one of them may hold some hosts or
    some kinds only. ValueError on another shape."""
    settled: set[tuple[str, str]] = set()
    found: list[dict[str, Any]] = []
    for audit in audits:
        findings = [one for one in _list(audit, "findings") if _make_place(one) not in settled]
        found += findings
        settled |= set(map(_make_place, findings))
    return found


def _make_place(finding: Mapping[str, Any]) -> tuple[str, str]:
    """Host and kind: the check `page:amis.example` is one of the kind `page`."""
    return _text(finding, "host"), _text(finding, "check").partition(":")[0]


def make_audit_troubles(findings: Iterable[Mapping[str, Any]]) -> Iterator[Trouble]:
    """From what each check last found: what failed."""
    for finding in findings:
        check, host = _text(finding, "check"), _text(finding, "host")
        if check.startswith(TOLD_ELSEWHERE) or _text(finding, "status") != "failed":
            continue
        yield Trouble(
            key=f"audit:{host}:{check}",
            kind=Kind.AUDIT,
            title=f"contrôle {check} non conforme sur {host}",
            what=f"Le contrôle {check} a échoué sur {host}.\nConstat : {_text(finding, 'evidence')}",
            todo=_text(finding, "remedy") or "Lire le constat, corriger, puis refaire l’audit.",
            command="audit",
        )


# Runs by the clock

_EXITS = {
    2: "un fichier de déclaration n’est pas valide",
    3: "le travail n’est fait qu’en partie",
    4: "une règle l’a refusé, ou un autre travail tenait la plateforme",
    5: "un hôte ou un service distant ne répond pas",
    10: "l’état réel s’écarte de ce qui est déclaré",
}
_PENDING = 10


def make_run_troubles(entries: Iterable[Entry], records: Mapping[str, Record]) -> Iterator[Trouble]:
    """Runs whose last one did not end as it should."""
    for entry in entries:
        record = records.get(entry.name)
        if record is None or record.result in ("", "done"):
            continue
        verb = " ".join(entry.run)
        why = _EXITS.get(record.exit or 1, "une erreur imprévue")
        if record.result == "timed out":
            why = f"il n’a pas fini en {entry.limit} h"
        drift = record.exit == _PENDING
        yield Trouble(
            key=f"run:{entry.name}",
            kind=Kind.RUN,
            title="dérive constatée" if drift else f"travail programmé « {entry.name} » en échec",
            what=f"Le travail programmé « {entry.name} » (socle {verb}) s’est mal terminé : {why}.\n"
            f"Détail : {_clean(record.reason)}",
            todo=(
                "Lire ce qui diffère, puis appliquer la déclaration (socle apply --full) ou la corriger."
                if drift
                else "Lire le détail, corriger, puis relancer ce travail."
            ),
            command=verb if drift else f"schedule run {entry.name}",
            since=parse_time(record.began),
        )


def make_invalid_trouble(said: str) -> Trouble:
    """The schedule itself cannot be read: nothing runs by the clock any more, not even what tells of it."""
    return Trouble(
        key="schedule:invalid",
        kind=Kind.RUN,
        title="calendrier illisible : plus rien ne s’exécute",
        what=f"Le calendrier n’est pas valide : aucun travail programmé ne s’exécute.\nDétail : {_clean(said)}",
        todo="Corriger le fichier à la ligne indiquée.",
        command="schedule show",
    )


def make_missed_troubles(missed: Iterable[Missed]) -> Iterator[Trouble]:
    """Runs that did not happen. Those that the clock was never told of are one trouble: one command mends them."""
    absent = []
    for one in missed:
        if not one.installed:
            absent.append(one.name)
            continue
        yield Trouble(
            key=f"missed:{one.name}",
            kind=Kind.MISSED,
            title=f"travail programmé « {one.name} » manqué",
            what=f"Le travail programmé « {one.name} » n’a pas eu lieu à l’heure prévue.",
            todo="Vérifier que l’horloge de la machine (systemd ou cron) fonctionne, puis lancer ce travail.",
            command=f"schedule run {one.name}",
            since=one.due,
        )
    if absent:
        yield Trouble(
            key="schedule:absent",
            kind=Kind.MISSED,
            title="calendrier des travaux à installer",
            what=f"L’horloge de cette machine ne connaît pas ces travaux programmés : {', '.join(absent)}.",
            todo="Installer le calendrier.",
            command="schedule install",
        )


# Certificates


def make_certificate_troubles(certificates: Iterable[Certificate], now: datetime) -> Iterator[Trouble]:
    """Names whose certificate does not convince a visitor, or is not renewed in time."""
    for one in certificates:
        if reason := find_reason(one, now):
            yield Trouble(
                key=f"certificate:{one.domain}",
                kind=Kind.CERTIFICATE,
                title=f"certificat à surveiller pour {one.domain}",
                what=f"Le certificat du site {one.site} ({one.domain}) pose problème : {reason}.",
                todo="Vérifier le nom de domaine (DNS) et le service edge, puis relire les certificats.",
                command="schedule certificates",
            )


# All of them


def load_observed(
    workspace: Workspace,
    entries: Sequence[Entry],
    records: Mapping[str, Record],
    missed: Iterable[Missed],
    now: datetime,
    hosts: Collection[str],
) -> Observed:
    """What is wrong now, as far as it can be read. `hosts`: those that are declared; of others, no audit counts."""
    state, unread = workspace.state, set()
    troubles = [*make_run_troubles(entries, records), *make_missed_troubles(missed)]
    try:
        troubles += make_backup_troubles(json.loads((state / VERDICTS).read_bytes()))
    except (OSError, ValueError):
        unread.add(Kind.BACKUP)
    try:
        troubles += make_certificate_troubles(parse_certificates((state / CERTIFICATES).read_bytes()), now)
    except (OSError, ValueError):
        unread.add(Kind.CERTIFICATE)
    audits = load_audits(state / AUDITS, now)
    try:
        known = {*hosts, *NOT_PLANNED}
        troubles += make_audit_troubles(one for one in make_findings(audits) if one.get("host") in known)
    except ValueError:
        unread.add(Kind.AUDIT)
    if not audits:
        unread.add(Kind.AUDIT)
    return Observed(tuple(troubles), frozenset(unread))


def load_audits(folder: Path, now: datetime) -> list[Any]:
    """The audits that still prove something, newest first. One that cannot be read is passed over."""
    found = []
    for path in sorted(folder.glob("*.json"), reverse=True) if folder.is_dir() else ():
        if now.timestamp() - path.stat().st_mtime > timedelta(days=AUDIT_DAYS).total_seconds():
            continue
        try:
            found.append(json.loads(path.read_bytes()))
        except (OSError, ValueError):
            continue
    return found


def _list(data: Any, key: str) -> list[Any]:
    found = data.get(key) if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"expected a list of {key}")
    return found


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return _clean("" if value is None else str(value))


def _clean(text: str) -> str:
    """Text of others, for a mail: no control characters, not endless."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    short = " ".join(plain.split())
    return short if len(short) <= _LONGEST else short[: _LONGEST - 1] + "…"
