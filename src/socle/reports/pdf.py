"""The report's page as PDF, tagged for screen readers (PDF/UA). Nothing is fetched from anywhere."""

from __future__ import annotations

from typing import Any

from socle.errors import PartlyDone

VARIANT = "pdf/ua-1"


def render_pdf(page: str) -> bytes:
    """The PDF of a page of ours. Raises PartlyDone when a system library it needs is missing."""
    weasyprint = _load_weasyprint()
    nothing = weasyprint.URLFetcher(allowed_protocols=())
    content: bytes = weasyprint.HTML(string=page, url_fetcher=nothing).write_pdf(pdf_variant=VARIANT)
    return content


def _load_weasyprint() -> Any:
    """It takes half a second and libraries of the system: only who wants a PDF pays for it."""
    try:
        import weasyprint
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:
        message = f"the page is made, its PDF is not: {error}"
        raise PartlyDone(message, "run: make setup (it installs Pango), or print the page from a browser") from None
    weasyprint.URLFetcher = URLFetcher
    return weasyprint
