"""The flow, from left to right."""

from __future__ import annotations

from socle.stages.base import Stage
from socle.stages.baseline import BaselineStage
from socle.stages.hosts import HostsStage
from socle.stages.repositories import RepositoriesStage
from socle.stages.services import ServicesStage
from socle.stages.sites import SitesStage

STAGES: tuple[Stage, ...] = (HostsStage(), BaselineStage(), ServicesStage(), RepositoriesStage(), SitesStage())
