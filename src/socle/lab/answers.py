"""Whether the lab's sites answer, asked by a visitor: the host `outside`, by name and with verified certificates."""

from __future__ import annotations

import time

from socle.load.workspace import Workspace
from socle.model.plan import Plan
from socle.remote import run_ssh

PATIENCE_SECONDS = 45
"""A first certificate takes 2 to 5 seconds, and its authority is asked again after a while when it was busy."""
_PAUSE_SECONDS = 1
_ASK_SECONDS = 10
_FORMAT = "%{url}\t%{http_code}\t%{errormsg}\n"


def run_wait_answers(workspace: Workspace, plan: Plan, patience: float = PATIENCE_SECONDS) -> dict[str, str]:
    """Ask every site whose name is ours to serve until all answer, or `patience` (seconds) is over. Why each of
    those that do not is silent, by its name."""
    served = {record.name for record in plan.records}
    urls = {f"https://{site.domain}/": site.name for site in plan.sites if site.domain in served}
    deadline = time.monotonic() + patience
    silent = load_silent(workspace, list(urls)) if urls else {}
    while silent and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
        silent = load_silent(workspace, list(silent))
    return {urls[url]: why for url, why in silent.items()}


def load_silent(workspace: Workspace, urls: list[str]) -> dict[str, str]:
    """Those of `urls` that do not answer with a page, and why; all are asked at once."""
    command = ["curl", "--silent", "--parallel", "--max-time", str(_ASK_SECONDS), "--write-out", _FORMAT]
    for url in urls:
        command += ["--output", "/dev/null", url]
    result = run_ssh(workspace, "outside", command, timeout=_ASK_SECONDS * (2 + len(urls) // 50))
    return parse_silent(result.stdout.decode(errors="replace"), urls)


def parse_silent(text: str, urls: list[str]) -> dict[str, str]:
    """What curl wrote, a line each. A URL of which it wrote nothing is silent too."""
    answers = {url: (code, why) for url, code, why in (line.split("\t", 2) for line in text.splitlines())}
    found = {url: answers.get(url, ("000", "the host outside said nothing")) for url in urls}
    return {url: why or f"HTTP {code}" for url, (code, why) in found.items() if code != "200"}
