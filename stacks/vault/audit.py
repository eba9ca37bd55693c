"""What an audit asks of a vault beside what every service is asked: hosts reach it, and nobody without an account."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from socle.audit.check import Subject, check, expect
from socle.audit.checks.web import judge_certificate
from socle.audit.scene import Scene
from socle.authority import load_authority, load_certificate
from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Host, Plan
from socle.planning.repositories import FOLDER as REPOSITORIES
from socle.planning.repositories import PORT

FOLDER = Path(__file__).parent
_deploy = load_module(FOLDER / "deploy.py")
RUNNING = ("socle-vault.service",)
_CONNECT = r"""
import http.client, json, ssl, sys
given = json.load(sys.stdin)
context = ssl.create_default_context(cadata=given["authority"])
connection = http.client.HTTPSConnection(given["address"], given["port"], timeout=15, context=context)
try:
    connection.request("GET", given["path"])
    pem = ssl.DER_cert_to_PEM_cert(connection.sock.getpeercert(binary_form=True))
    print(json.dumps(["", connection.getresponse().status, pem]))
except OSError as error:
    print(json.dumps([str(error), 0, ""]))
"""


def make_files(host: Host, plan: Plan, workspace: Workspace) -> dict[str, bytes]:
    """What deploy.py put there."""
    certificate, key = load_certificate(workspace, host.name)
    unit: str = _deploy.render_unit(plan, host.name)
    return {
        f"{_deploy.SETTINGS}/certificate.pem": certificate,
        f"{_deploy.SETTINGS}/key.pem": key,
        "/etc/systemd/system/socle-vault.service": unit.encode(),
        "/etc/sysusers.d/socle-vault.conf": f'u {_deploy.USER} - "Vault of backups" {REPOSITORIES}\n'.encode(),
    }


def _saving(plan: Plan) -> Iterator[Subject]:
    """Each vault, from each host that has sites to save."""
    places = {(site.host, one.host) for one in plan.repositories for site in plan.sites if site.name in one.sites}
    return (Subject(host, vault, (host, plan.host(vault))) for host, vault in sorted(places))


@check(
    "vault", each=_saving, remedy="journalctl -u socle-vault on the vault; socle apply --full writes its certificate"
)
def vault_is_reached(scene: Scene, place: tuple[str, Host]) -> str:
    """Hosts reach their vault over TLS, and it gives nothing to who has no account."""
    host, vault = place
    repository = next(one for one in scene.plan.repositories if one.host == vault.name)
    authority = load_authority(scene.workspace).decode()
    given = {"authority": authority, "address": str(vault.address), "port": PORT, "path": f"/{repository.name}/config"}
    error, status, pem = scene.feed_json(host, f"python3 -I -c {shlex.quote(_CONNECT)}", given)
    expect(not error, f"{vault.address}:{PORT}: {error}")
    expect(status == 401, f"without an account, /{repository.name}/config answers {status}, expected 401")
    return f"{judge_certificate(pem, scene.now)}; without an account: 401"


CHECKS = (vault_is_reached,)
