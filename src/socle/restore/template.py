"""What scratch hosts are copies of: a host with the software that a service needs, made once, then cut off.

It is made new when what decides its content changed: the base image, the services' folders, the versions that made the
snapshot. It never holds anything of a site. While it is made it has a place in the inner network, to get its packages;
it is stopped and loses its network interface before anything is copied from it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from socle.errors import Problem, Refused, SocleError
from socle.incus.client import IncusClient, NotFound
from socle.incus.instances import run_delete_instance
from socle.incus.marker import EXPIRES, find_owner, is_ours, make_marker, make_namesake_problem
from socle.load.catalogue import SAVER, Catalogue
from socle.model.plan import Host, Network, Nic, Plan, Site
from socle.model.service import Service
from socle.remote import connected, run_ssh, working_on
from socle.restore.scratch import NAME, make_host, make_workspace, run_identity, run_wait, run_write_client
from socle.stages.base import Context
from socle.stages.hosts import HostsStage
from socle.stages.hosts_resources import render_network_unit
from socle.stages.services import make_folder_digest, run_mend_packages

KEY = "user.socle.template"
_OWNER = "template"
MADE = "user.socle.made"
DAYS = 30
_SSH_PORT = 22
_STOP_SECONDS = 60
_MAKE_SECONDS = 3600


def make_catalogue(catalogue: Catalogue) -> Catalogue:
    """The catalogue without what saves: a scratch host saves nothing, and has no key of a repository."""
    return Catalogue(tuple(entry for entry in catalogue.entries if entry.service.name != SAVER))


def make_services(catalogue: Catalogue, service: str) -> tuple[str, ...]:
    """What a site of that service needs on its own host, in the order of installation."""
    role = catalogue[service].service.role
    names = make_catalogue(catalogue).requirements(service)
    return tuple(name for name in names if catalogue[name].service.role == role)


def make_name(service: str) -> str:
    """The template of a service."""
    return f"template-{service}"


def is_template(thing: Mapping[str, Any]) -> bool:
    """Whether an object of ours in Incus is a whole template: kept between restores, and named by no plan. What a
    killed restore has left half made is none."""
    return find_owner(thing).startswith(f"{_OWNER}:") and KEY in thing["config"] and thing["status"] == "Stopped"


def make_versions(services: tuple[Service, ...], versions: Mapping[str, str]) -> dict[str, str]:
    """Of the versions that made a snapshot, those that a template can have."""
    packages = {package for service in services for package in service.packages}
    return {name: version for name, version in sorted(versions.items()) if name in packages}


def make_key(image: str, digests: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """What decides a template's content, this module among it."""
    data = [Path(__file__).read_text(), image, dict(digests), dict(versions)]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def find_address(network: Network, plan: Plan) -> IPv4Interface:
    """A free place in the network, from its end: hosts are given places from its beginning. Raises Refused."""
    taken = {nic.ipv4.ip for host in plan.hosts for nic in host.nics if nic.network == network.name}
    taken.add(network.ipv4.ip)
    for number in range(network.ipv4.network.num_addresses - 2, 0, -1):
        address = network.ipv4.network[number]
        if address not in taken:
            return IPv4Interface((IPv4Address(address), network.ipv4.network.prefixlen))
    raise Refused([Problem("allocations.yml", 0, network.name, "expected a free address in the network")])


def make_plan(plan: Plan, site: Site, services: tuple[str, ...]) -> Plan:
    """The plan in which the site lives on a scratch host, and nothing else is."""
    host = make_host(plan.host(site.host).role, site.memory, services)
    own = site.model_copy(update={"host": NAME})
    return plan.model_copy(
        update={"hosts": (host,), "sites": (own,), "volumes": (), "records": (), "repositories": (), "orphans": ()}
    )


def run_template(context: Context, client: IncusClient, plan: Plan, site: Site, versions: Mapping[str, str]) -> str:
    """The name of the template for a site, made when there is none that fits. `plan`: that of `make_plan`."""
    host, image = plan.hosts[0], HostsStage().image
    entries = [context.catalogue[name] for name in host.services]
    digests = {entry.service.name: make_folder_digest(entry.folder) for entry in entries}
    wanted = make_versions(tuple(entry.service for entry in entries), versions)
    key, name = make_key(image, digests, wanted), make_name(site.service)
    if _is_there(client, name, key, plan.environment):
        return name
    with context.talk.step(f"a template of scratch hosts for {site.service}"):
        try:
            _run_make(context, client, plan, name, image)
        except BaseException:
            # It has a network, which no scratch host may have.
            _run_remove(client, name)
            raise
        with client.editing_instance(name) as body:
            del body["config"][EXPIRES]
            body["config"] |= {KEY: key, MADE: str(int(time.time()))}
    return name


def _run_remove(client: IncusClient, name: str) -> None:
    """Take away what was made of a template, as far as it goes: why it was not finished is what matters."""
    with suppress(SocleError, OSError):
        run_delete_instance(client, client.get_instance(name))


def _is_there(client: IncusClient, name: str, key: str, environment: str) -> bool:
    """Whether it can be used. What cannot is removed; one that is not ours is refused."""
    try:
        found = client.get_instance(name)
    except NotFound:
        return False
    if not is_ours(found, environment):
        raise Refused([make_namesake_problem("host", name)])
    config = found["config"]
    fresh = time.time() - int(config.get(MADE, "0")) < DAYS * 86400
    if config.get(KEY) == key and fresh and found["status"] == "Stopped":
        return True
    run_delete_instance(client, found)
    return False


def _run_make(context: Context, client: IncusClient, plan: Plan, name: str, image: str) -> None:
    network = next(one for one in plan.networks if one.name == "inner")
    address = find_address(network, context.plan)
    workspace = make_workspace(context.workspace)
    run_write_client(workspace, str(address.ip), _SSH_PORT)
    host = plan.hosts[0]
    nic = Nic(network=network.name, device="eth0", ipv4=address)
    unit = "/etc/systemd/network/10-eth0.network"
    config = {
        **make_marker(plan.environment, f"{_OWNER}:{name}"),
        "limits.memory": str(host.memory),
        "boot.autostart": "false",
        EXPIRES: str(int(time.time()) + _MAKE_SECONDS),
        "security.privileged": "false",
        "security.guestapi": "false",
    }
    pool = context.platform.incus.pool
    devices = {
        "root": {"type": "disk", "path": "/", "pool": pool, "size": str(host.disk)},
        "eth0": _make_nic(network, nic),
    }
    client.create_instance(name, image, config, devices)
    text = render_network_unit(plan, host.model_copy(update={"nics": (nic,)}), nic)
    client.put_file(name, unit, text.encode())
    run_identity(client, workspace, name)
    client.set_state(name, "start")
    run_wait(workspace, name)
    _run_software(replace(context, workspace=workspace), plan, host)
    run_ssh(workspace, NAME, ["rm", unit])
    # nginx wants a network that is online: without an interface, its start would wait two minutes for one.
    run_ssh(workspace, NAME, ["systemctl", "mask", "systemd-networkd-wait-online.service"])
    run_ssh(workspace, NAME, ["apt-get", "clean"])
    client.set_state(name, "stop", timeout=_STOP_SECONDS)
    with client.editing_instance(name) as body:
        del body["devices"]["eth0"]


def _make_nic(network: Network, nic: Nic) -> dict[str, str]:
    link = {"network": network.bridge} if network.managed else {"nictype": "bridged", "parent": network.bridge}
    filtering = {"security.mac_filtering": "true", "security.ipv4_filtering": "true"}
    return {"type": "nic", "name": nic.device, **link, "ipv4.address": str(nic.ipv4.ip), **filtering}


def _run_software(context: Context, plan: Plan, host: Host) -> None:
    """Install each service, as the services stage does."""
    run_mend_packages(context.workspace, NAME)
    with connected(context.workspace, [NAME], context.talk) as remote:
        for service in host.services:
            deploy = context.catalogue[service].module("deploy")
            if deploy:
                with working_on(remote, NAME) as there:
                    deploy.deploy(there, plan, context.workspace)
