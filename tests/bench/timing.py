"""Timing the sites stage alone, on a context that is already made."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Sequence

import psutil

from socle.stages.base import Change, Context
from socle.stages.sites import SitesStage
from tests.bench.environment import Failed
from tests.bench.report import say

QUIET_PERCENT = 20.0
QUIET_SECONDS = 120.0


class Quiet:
    """Waiting for an idle machine (certificates, for one, are obtained after a run ends), `seconds` in all."""

    def __init__(self, seconds: float = QUIET_SECONDS) -> None:
        self.left = seconds
        self.noisy = 0
        """Figures that were taken while the machine was busy."""

    def wait(self) -> None:
        """Wait for two idle seconds, while there is time left."""
        start = time.monotonic()
        while (busy := psutil.cpu_percent(interval=2)) > QUIET_PERCENT:
            if time.monotonic() - start > self.left:
                say(f"the machine does not become quiet ({busy:.0f} % busy): the next figure may be too high")
                self.noisy += 1
                break
        self.left = max(0.0, self.left - (time.monotonic() - start))


QUIET = Quiet()


def time_apply(context: Context) -> tuple[float, Sequence[Change]]:
    """Seconds of one `apply` of the sites stage, and what it changed."""
    start = time.monotonic()
    changes = SitesStage().apply(context)
    return time.monotonic() - start, changes


def time_preview(context: Context) -> tuple[float, Sequence[Change]]:
    """Seconds of one `preview` of the sites stage, and what it would change."""
    start = time.monotonic()
    changes = SitesStage().preview(context)
    return time.monotonic() - start, changes


def time_unchanged(context: Context, full: bool, runs: int) -> tuple[list[float], list[float]]:
    """Seconds of each preview and of each apply with nothing to change. Raises Failed when something was."""
    given = dataclasses.replace(context, full=full)
    QUIET.wait()
    previews: list[float] = []
    applies: list[float] = []
    for _ in range(runs):
        for times, measure in ((previews, time_preview), (applies, time_apply)):
            seconds, changes = measure(given)
            if changes:
                raise Failed(f"expected nothing to change, found {len(changes)}: {changes[0]}")
            times.append(seconds)
    return previews, applies


def without(context: Context, names: Collection[str]) -> Context:
    """The context before these sites were asked for."""
    kept = tuple(site for site in context.plan.sites if site.name not in names)
    return dataclasses.replace(context, plan=context.plan.model_copy(update={"sites": kept}))
