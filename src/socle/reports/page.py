"""The report as one self-contained HTML page in French: no script, no resource from elsewhere."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from socle.reports import french
from socle.reports.model import Report, State
from socle.reports.promises import GLOSSARY, PROMISES
from socle.reports.sources import Run

_HERE = Path(__file__).resolve().parent
_PLAIN = "\ufe0e"
"""Asks for a sign of text where a telephone would show a coloured picture."""

STATES = {
    State.PROVEN: ("✔", "Prouvé"),
    State.PARTLY: ("◐", "Prouvé en partie"),
    State.OLD: ("↺", "Preuve ancienne"),
    State.FAILED: ("✘", "Action demandée"),
    State.UNKNOWN: ("?", "Non vérifié"),
}
STATUSES = {
    "passed": ("✔", "Vérifié"),
    "failed": ("✘", "Écart"),
    "not_checked": ("?", "Non vérifié"),
    "pending": ("…", "En attente"),
}
VERDICTS = {
    "complete": ("✔", "Complète"),
    "partial": ("✘", "Incomplète"),
    "failed": ("✘", "Échouée"),
    "late": ("✘", "En retard"),
    "unknown": ("?", "Inconnue"),
}
_COMMANDS = {
    "apply": "Mise en conformité",
    "lab up": "Mise en route",
    "lab down": "Arrêt",
    "request accept": "Demande acceptée",
    "adopt": "Reprise de l’existant",
    "login": "Lien de première connexion",
    "secrets escrow": "Clé de secours",
    "backup": "Sauvegarde",
    "restore": "Restauration",
    "drill": "Essai de restauration",
    "retire": "Retrait d’un site",
    "move": "Déplacement d’un site",
    "upgrade": "Mise à niveau",
    "schedule": "Exécution programmée",
    "audit": "Audit",
}


def render_page(report: Report) -> str:
    """The page. Every text that comes from data is escaped; the same report gives the same bytes."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        long=lambda time: _time(time, french.render_date(time, report.timezone)),
        short=lambda time: _time(time, french.render_short(time, report.timezone)),
        age=partial(french.render_age, now=report.time),
        size=french.render_bytes,
        count=french.render_count,
        fine=french.fine,
    )
    css = Markup((_HERE / "page.css").read_text(encoding="utf-8"))  # noqa: S704 our own file
    source = french.fine((_HERE / "page.html.j2").read_text(encoding="utf-8"))
    page = environment.from_string(source).render(
        report=report,
        promised=len(PROMISES),
        states=STATES,
        statuses=STATUSES,
        verdicts=VERDICTS,
        glossary=GLOSSARY,
        plain=_PLAIN,
        command=render_command,
        result=render_result,
        zone=french.make_zone(report.timezone)[1],
        css=css,
    )
    return french.clean(page)


def render_command(command: str) -> str:
    """What a run did, in French; the command itself when it is not known."""
    words = command.split(" ")
    for length in (2, 1):
        if found := _COMMANDS.get(" ".join(words[:length])):
            rest = " ".join(words[length:])
            return f"{found} ({rest})" if rest else found
    return command


def render_result(run: Run) -> str:
    """How a run ended."""
    if run.result == "done":
        return "terminé en partie" if run.fails else "terminé"
    if run.result.startswith("failed"):
        return "échec" + (f" ({why})" if (why := run.result.partition(": ")[2]) else "")
    return run.result or "interrompu, ou en cours"


def _time(time: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(timespec="seconds"), text)
