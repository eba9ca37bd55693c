"""What is found in Incus that the plan no longer has."""

from __future__ import annotations

from typing import Any

from socle.stages.hosts_survey import Survey


class Incus:
    """Hosts of an environment, and one of another."""

    def list_instances(self) -> list[dict[str, Any]]:
        return [
            make_host("web1", "Running"),
            make_host("web8", "Running"),
            make_host("web9", "Stopped"),
            make_host("other", "Stopped", environment="lab-ffff"),
        ]


def make_host(name: str, status: str, environment: str = "lab-1a2b") -> dict[str, Any]:
    config = {"user.socle.environment": environment, "user.socle.owner": f"host:{name}"}
    return {"name": name, "status": status, "config": config}


def test_running_and_stopped_orphans_are_told_apart() -> None:
    survey = Survey(Incus(), "lab-1a2b", None)  # type: ignore[arg-type]
    assert survey.find_orphans(["web1"]) == ["web8"]
    assert survey.find_orphans(["web1"], running=False) == ["web9"]
