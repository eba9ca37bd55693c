"""An audit of some hosts: what is on others is left out, what failed for the platform as a whole is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from socle.audit import prove
from socle.audit.check import CONTROLLER, Found, NotChecked, check, expect, hosts, platform
from socle.audit.finding import Status
from socle.audit.prove import Choice, run_audit
from socle.audit.scene import Scene
from socle.runs.talk import Talk
from socle.secrets import SecretStore
from socle.stages.base import Context
from tests.unit.audit.scenes import Script, make_scene


@check("here", each=hosts, remedy="mend it")
def here(scene: Scene, host: Any) -> str:
    """On each host."""
    return str(scene.on(host.name).check_output("here"))


@check("good", each=platform, remedy="mend it")
def good(_scene: Scene, _plan: Any) -> str:
    """For the platform."""
    return "seen"


@check("escrow", each=platform, remedy="mend it")
def unknown(_scene: Scene, _plan: Any) -> str:
    """For the platform, where it can be."""
    raise NotChecked("safe", "none")


@check("bad", each=platform, remedy="mend it")
def bad(_scene: Scene, _plan: Any) -> str:
    """For the platform, and not so."""
    expect(False, "nothing is saved")
    return ""


@check("things", each=platform, remedy="mend it")
def things(_scene: Scene, _plan: Any) -> str:
    """On hosts and nowhere."""
    raise Found([("web1", "a", "seen"), ("edge1", "b", "seen"), (CONTROLLER, "c", "seen")])


def test_what_failed_for_the_platform_is_told_whatever_hosts_are_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(state=tmp_path)
    store = SecretStore(scene.workspace.secrets)
    context = Context(scene.workspace, scene.platform, scene.plan, scene.catalogue, store, Talk(quiet=True))
    monkeypatch.setattr(prove, "make_checks", lambda _catalogue, _plan: (here, good, unknown, bad, things))
    monkeypatch.setattr(prove, "make_lines", lambda _context: {name: Script(lambda _: "") for name in scene.backends})
    found = run_audit(context, Choice(hosts=frozenset({"web1"}))).findings
    assert {(one.host, one.check, one.status) for one in found} == {
        ("web1", "here", Status.PASSED),
        ("web1", "things:a", Status.FAILED),
        ("controller", "bad", Status.FAILED),
        ("controller", "things:c", Status.FAILED),
    }
    assert len(run_audit(context).findings) == 8
