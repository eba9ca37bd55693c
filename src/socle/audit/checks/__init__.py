"""The checks that every platform has, whatever its services."""

from __future__ import annotations

from socle.audit.check import Check
from socle.audit.checks import accounts, baseline, isolation, network, platform, services, storage, web

CHECKS: tuple[Check, ...] = (
    *network.CHECKS,
    *accounts.CHECKS,
    *baseline.CHECKS,
    *services.CHECKS,
    *storage.CHECKS,
    *web.CHECKS,
    *isolation.CHECKS,
    *platform.CHECKS,
)
