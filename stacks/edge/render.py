"""The edge's files, as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from socle.sites import render as shared

ROOT = "/etc/caddy/acme-root.pem"
UPLOAD_LIMIT = 64 * 1024**2
"""Bytes of a request's body; the web hosts' own limit agrees."""
VALIDATE = ("caddy", "validate", "--adapter", "caddyfile", "--config", "/etc/caddy/Caddyfile")
_TEMPLATES = Path(__file__).parent / "templates"
_PAGES = {
    "unavailable": (
        "Site momentanément indisponible",
        "Ce site ne répond pas pour le moment. Merci de réessayer dans quelques minutes.",
    ),
    "large": ("Fichier trop volumineux", f"Un envoi ne peut dépasser {UPLOAD_LIMIT // 1024**2} Mio."),
    "unknown": ("Adresse inconnue", "Aucun site n’est servi à cette adresse."),
}


def render(template: str, **values: object) -> str:
    """A file of templates/ with its values, all of which must be given."""
    return shared.render(_TEMPLATES / template, **values)


def make_over(limit: int) -> str:
    """A regular expression for the decimal numbers above `limit`, without leading zeros."""
    digits = str(limit)
    more = [rf"[1-9]\d{{{len(digits)},}}"]
    for place, digit in enumerate(digits):
        if digit != "9":
            rest = len(digits) - place - 1
            more.append(f"{digits[:place]}[{int(digit) + 1}-9]" + (rf"\d{{{rest}}}" if rest else ""))
    return "|".join(more)


def render_site(name: str, domain: str, redirects: Sequence[str], upstream: str) -> str:
    """The file of one site. All values are names and addresses that models have checked."""
    return render(
        "site.caddy",
        site=name,
        domain=domain,
        plain=", ".join(f"http://{one}, http://{one}." for one in (domain, *redirects)),
        aliases=", ".join(f"https://{one}" for one in redirects),
        upstream=upstream,
        limit=UPLOAD_LIMIT // 1024**2,
        over_limit=make_over(UPLOAD_LIMIT),
    )


def render_caddyfile(directory: str, own_root: bool) -> str:
    """Caddy's main file. `own_root`: trust the authority by the certificate at ROOT, not the system's."""
    pages = {name: render("page.html", title=title, text=text).strip() for name, (title, text) in _PAGES.items()}
    return render("Caddyfile", directory=directory, root=ROOT if own_root else "", **pages)
