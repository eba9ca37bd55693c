"""From a bare machine to a lab that does the main job: the engine, the outside world, then apply."""

from __future__ import annotations

from collections.abc import Iterator

from socle.cli.common import Session
from socle.doctor_facts import Pool, load_pool
from socle.incus.connect import open_client
from socle.lab.engine import PoolInfo, run_engine, run_pool
from socle.lab.image import run_image
from socle.lab.outside import run_outside
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
        pool = run_pool(platform.incus.pool, size_gib=int(platform.pool_size / 1024**3))
    for note in make_pool_notes(pool, load_pool(pool.name), platform.pool_size):
        talk.say(note)
    with talk.step("base image"):
        image = run_image()
    for site in run_accept(workspace, sorted(session.inputs().requests)):
        talk.say(f"  accepted: {site}")
    context = session.context()
    with talk.step("outside world"), open_client(platform.incus, workspace.state, workspace.project) as client:
        run_outside(context, client, image.alias)
    return context


def make_pool_notes(pool: PoolInfo, found: Pool | None, declared: int) -> Iterator[str]:
    """What is not as declared of the storage pool. `declared`: platform.yml's pool_size, in bytes."""
    if not pool.quotas:
        yield (
            f"Warning: the pool {pool.name} is a plain folder ({pool.driver}): NO QUOTA IS ENFORCED, one site can "
            "fill the disk of all. See: socle doctor"
        )
    elif found and found.total_mib < 0.99 * (declared / 1024**2):
        yield (
            f"Warning: pool_size is {declared // 1024**2} MiB, but the pool {pool.name} has {found.total_mib}: "
            "places are given by what is declared. Enlarge it (incus storage set), or declare less in platform.yml"
        )
