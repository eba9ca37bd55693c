"""From a bare machine to a lab that does the main job: the engine, the outside world, then apply."""

from __future__ import annotations

from socle.cli.common import Session
from socle.incus.connect import open_client
from socle.lab.engine import run_engine, run_pool
from socle.lab.image import run_image
from socle.lab.outside import run_outside
from socle.lab.quotas import run_quotas
from socle.load.inputs import load_platform
from socle.requests import run_accept
from socle.stages.base import Context


def run_world(session: Session) -> Context:
    """What must be there before any stage: engine, pool, image, places for all requests, and the host `outside`.

    The caller holds the environment's lock. Run again, it makes what is missing and nothing else.
    """
    workspace, talk = session.workspace, session.talk
    platform = load_platform(workspace)
    with talk.step("engine"):
        run_engine()
        run_pool(platform.incus.pool, size_gib=int(platform.pool_size / 1024**3))
        if run_quotas(platform.incus.pool):
            talk.say("  The pool had stopped counting what volumes take: it counts again, and enforces quotas.")
    with talk.step("base image"):
        image = run_image()
    for site in run_accept(workspace, sorted(session.inputs().requests)):
        talk.say(f"  accepted: {site}")
    context = session.context()
    with talk.step("outside world"), open_client(platform.incus, workspace.state, workspace.project) as client:
        run_outside(context, client, image.alias)
    return context
