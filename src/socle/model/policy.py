"""backups/policy.yml: when sites are saved, what is kept, and what passes for a good backup."""

from __future__ import annotations

from pydantic import Field

from socle.clock.times import Moment
from socle.model.base import Model


class Keep(Model):
    """How many snapshots of a site stay, by local days: the last of each day, week, month and year."""

    daily: int = Field(default=14, ge=1, le=366, description="Days.")
    weekly: int = Field(default=8, ge=0, le=520, description="Weeks, from Monday to Sunday.")
    monthly: int = Field(default=12, ge=0, le=240, description="Months.")
    yearly: int = Field(default=3, ge=0, le=50, description="Years.")


class Policy(Model):
    """The policy of backups, the same for all associations."""

    night: str = Field(
        default="01:30",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description="Local time at which hosts begin to save.",
        examples=["01:30"],
    )
    spread: int = Field(default=120, ge=0, le=720, description="Minutes over which hosts spread their beginnings.")
    late_after: int = Field(
        default=30,
        ge=1,
        le=240,
        description="Hours after which a newest snapshot is late, if no night was missed before.",
    )
    shrink: float = Field(
        default=0.5, ge=0.0, le=1.0, description="A snapshot below this share of the one before is not believed."
    )
    share: float = Field(
        default=1.5, ge=0.5, le=20.0, description="Disk of a repository, as a multiple of the quotas of its sites."
    )
    keep: Keep = Keep()

    @property
    def moment(self) -> Moment:
        """`night`, as what comes once a day."""
        hour, minute = map(int, self.night.split(":"))
        return Moment("daily", hour, minute)
