"""The hosts stage on real hosts, over both transports. Tests of one environment run in the order they are in."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pulumi
import pytest
import yaml

from socle.errors import Refused
from socle.incus.client import NETWORKS_PROJECT, IncusClient, IncusError
from socle.incus.kinds import VolumeKind
from socle.incus.listing import Cache
from socle.incus.marker import ENVIRONMENT
from socle.incus.quotas import run_quotas
from socle.stages.base import Change
from socle.stages.hosts import HostsStage
from socle.stages.hosts_context import opened, run_ensure_project
from socle.stages.hosts_destroy import find_remaining, run_adopt, run_destroy
from socle.stages.hosts_pulumi import Runner
from socle.stages.hosts_resources import render_hosts_file
from tests.live.hosts_environment import (
    IMAGE,
    VOLUME_SIZE,
    Environment,
    make_context,
    make_volume,
    making_environment,
)
from tests.live.hosts_https import trusted

pytestmark = pytest.mark.live
STAGE = HostsStage(IMAGE)
SITE = "/srv/sites/wp-asso0"


@pytest.fixture(scope="module", params=["socket", "https"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with making_environment(tmp_path_factory.mktemp("hosts")) as made:
        if request.param == "socket":
            yield made
            return
        workspace = made.context.workspace
        with made.client() as client:
            run_ensure_project(client, made.plan.environment)
            with trusted(client, workspace.state, [workspace.project, NETWORKS_PROJECT]) as incus:
                yield replace(made, context=make_context(workspace, made.plan, incus))


@pytest.fixture
def client(environment: Environment) -> Iterator[IncusClient]:
    with environment.client() as made:
        yield made


def shown(changes: object) -> set[str]:
    """Changes as text, to compare."""
    assert isinstance(changes, list)
    assert all(isinstance(change, Change) for change in changes)
    return {f"{change.action} {change.kind} {change.name} {change.association}".strip() for change in changes}


def destroy(environment: Environment, data: bool) -> list[Change]:
    context = environment.context
    return run_destroy(context.workspace, context.platform, context.talk, data)


def everything(environment: Environment) -> set[str]:
    bridge = environment.plan.networks[0].bridge
    return {
        f"create network access list {bridge}",
        f"create network {bridge}",
        "create host web1",
        "create volume wp-asso0 asso0",
        "create attachment wp-asso0 asso0",
    }


def test_preview_of_nothing_yet_names_all_and_makes_none(environment: Environment, client: IncusClient) -> None:
    assert shown(STAGE.preview(environment.context)) == everything(environment)
    assert find_remaining(client, environment.plan.environment) == []


def test_first_apply_makes_all(environment: Environment) -> None:
    assert shown(STAGE.apply(environment.context)) == everything(environment)


def test_ssh_knows_the_host_from_the_first_connection(environment: Environment) -> None:
    result = environment.ssh("web1", "hostname")
    assert (result.stdout, result.stderr) == (b"web1\n", b"")
    own = environment.plan.hosts[0]
    assert environment.ssh("web1", "cat", "/etc/hosts").stdout.decode() == render_hosts_file(own)


def test_another_host_key_is_refused(environment: Environment) -> None:
    known = environment.context.workspace.ssh / "known_hosts"
    right = known.read_text()
    address = str(environment.plan.hosts[0].address)
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIHJ3Z1t0bXVvZ3JhcGhpY2FsbHlub3RoaW5nMDAwMDAw"
    known.write_text(f"web1,{address} ssh-ed25519 {other}\n")
    try:
        result = environment.ssh("web1", "hostname")
        assert result.returncode == 255
        assert b"verification failed" in result.stderr
    finally:
        known.write_text(right)


def test_inventory_is_what_ansible_reads(environment: Environment) -> None:
    path = environment.context.workspace.inventory / "hosts.yml"
    host = yaml.safe_load(path.read_text())["all"]["children"]["web"]["hosts"]["web1"]
    assert host == {"ansible_host": str(environment.plan.hosts[0].address), "ansible_user": "root"}


def test_no_private_key_reaches_the_state(environment: Environment) -> None:
    state = environment.context.workspace.state
    secrets = [
        (state / "ssh" / "hosts" / "web1" / "ssh_host_ed25519_key").read_bytes().splitlines()[1],
        (state / "ssh" / "id_ed25519").read_bytes().splitlines()[1],
        (state / "pulumi-passphrase").read_bytes(),
    ]
    files = [path for path in (state / "pulumi").rglob("*") if path.is_file()]
    assert files
    content = b"".join(path.read_bytes() for path in files)
    assert b"wp-asso0" in content
    assert [secret for secret in secrets if secret in content] == []


def test_unchanged_starts_no_pulumi(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("Pulumi was started")

    for name in ("run_up", "run_preview"):
        monkeypatch.setattr(Runner, name, fail)
    assert STAGE.apply(environment.context) == []
    assert STAGE.preview(environment.context) == []


def test_full_finds_nothing_to_do(environment: Environment) -> None:
    assert STAGE.apply(environment.full()) == []


def test_drift_is_seen_and_mended(environment: Environment, client: IncusClient) -> None:
    with client.editing_instance("web1") as body:
        body["config"]["limits.memory"] = "512MiB"
        del body["devices"]["eth0"]["security.mac_filtering"]
        body["devices"]["eth7"] = {"type": "none"}
    assert shown(STAGE.preview(environment.context)) == {"update host web1"}
    assert shown(STAGE.apply(environment.context)) == {"update host web1"}
    found = client.get_instance("web1")
    assert found["config"]["limits.memory"] == str(256 * 2**20)
    assert found["devices"]["eth0"]["security.mac_filtering"] == "true"
    assert "eth7" not in found["devices"]
    assert "wp-asso0" in found["devices"]


def test_what_incus_refuses_is_said(environment: Environment, client: IncusClient) -> None:
    bridge = environment.plan.networks[0].bridge
    with pytest.raises(IncusError, match="DNS name"), client.editing_instance("web1") as body:
        body["devices"]["eth7"] = {"type": "nic", "network": bridge, "name": "eth7"}


def test_stopped_host_is_started(environment: Environment, client: IncusClient) -> None:
    client.set_state("web1", "stop", force=True)
    assert shown(STAGE.apply(environment.context)) == {"update host web1"}
    assert environment.ssh("web1", "true").returncode == 0


def test_border_opened_by_hand_is_closed(environment: Environment, client: IncusClient) -> None:
    bridge = environment.plan.networks[0].bridge
    rule = {"action": "allow", "state": "enabled", "source": "0.0.0.0/0"}
    client.update_network(bridge, {"ingress": [rule]}, "network-acls")
    assert shown(STAGE.apply(environment.context)) == {f"update network access list {bridge}"}
    sources = [rule["source"] for rule in client.get_network(bridge, "network-acls")["ingress"]]
    assert sources == [str(environment.plan.networks[0].ipv4.ip)]


def test_quota_is_enforced_and_seen(environment: Environment, client: IncusClient) -> None:
    # An apply has the pool counted again; since the last one, tests deleted volumes.
    run_quotas(environment.context.platform.incus.pool)
    megabytes = VOLUME_SIZE // 2**20
    less = ["dd", "if=/dev/urandom", f"of={SITE}/file", "bs=1M", "count=8", "conv=fsync"]
    assert environment.ssh("web1", *less).returncode == 0
    more = ["dd", "if=/dev/urandom", f"of={SITE}/file", "bs=1M", f"count={megabytes + 16}", "conv=fsync"]
    result = environment.ssh("web1", *more)
    assert result.returncode != 0
    assert b"quota" in result.stderr.lower()
    used = client.get_volume_state("wp-asso0")["usage"]["used"]
    assert VOLUME_SIZE * 3 // 4 < used <= VOLUME_SIZE
    environment.ssh("web1", "rm", f"{SITE}/file")


def test_quota_grows_and_never_shrinks(environment: Environment, client: IncusClient) -> None:
    more = environment.with_plan(volumes=(make_volume("web1", "asso0", 2 * VOLUME_SIZE),))
    assert shown(STAGE.apply(more.context)) == {"update volume wp-asso0 asso0"}
    assert client.get_volume("wp-asso0")["config"]["size"] == str(2 * VOLUME_SIZE)
    for act in (STAGE.preview, STAGE.apply):
        with pytest.raises(Refused, match=f"at least {2 * VOLUME_SIZE} bytes"):
            act(environment.context)
    client.update_volume("wp-asso0", {"size": str(VOLUME_SIZE)})  # By hand, after a look.
    assert STAGE.apply(environment.context) == []


def test_lost_state_is_taken_up_by_marker(environment: Environment, client: IncusClient) -> None:
    before = client.get_instance("web1")["config"]["volatile.uuid"]
    boot = environment.ssh("web1", "cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat").stdout
    environment.ssh("web1", "touch", f"{SITE}/kept")
    shutil.rmtree(environment.context.workspace.state / "pulumi")
    STAGE.apply(environment.context)
    assert client.get_instance("web1")["config"]["volatile.uuid"] == before
    assert (
        environment.ssh("web1", "cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat").stdout.split()[:2]
        == boot.split()[:2]
    )
    assert environment.ssh("web1", "ls", SITE).stdout == b"kept\n"
    assert STAGE.apply(environment.full()) == []


def test_host_deleted_by_hand_comes_back_with_its_volume_and_key(environment: Environment, client: IncusClient) -> None:
    client.set_state("web1", "stop", force=True)
    client.delete_instance("web1")
    assert shown(STAGE.apply(environment.context)) == {"create host web1", "create attachment wp-asso0 asso0"}
    assert environment.ssh("web1", "ls", SITE).stdout == b"kept\n"


def test_unmarked_namesake_is_refused_until_adopted(environment: Environment, client: IncusClient) -> None:
    client.create_volume("wp-other", {"size": str(VOLUME_SIZE)})
    volumes = (*environment.plan.volumes, make_volume("web1", "other"))
    more = environment.with_plan(volumes=volumes)
    for act in (STAGE.preview, STAGE.apply):
        with pytest.raises(Refused, match="volume wp-other: expected no volume of this name"):
            act(more.context)
    assert ENVIRONMENT not in client.get_volume("wp-other")["config"]
    run_adopt(more.context, "volume", "wp-other")
    made = {"create volume wp-other other", "create attachment wp-other other"}
    assert shown(STAGE.apply(more.context)) == made


def test_volume_that_leaves_the_plan_is_kept(environment: Environment, client: IncusClient) -> None:
    assert shown(STAGE.apply(environment.context)) == {"delete attachment wp-other"}
    assert ENVIRONMENT in client.get_volume("wp-other")["config"]
    kind = VolumeKind(client, Cache(client), environment.plan.environment)
    with pytest.raises(Refused, match="they hold data"):
        kind.delete("wp-other", {})
    client.delete_volume("wp-other")


def test_import_by_pulumi(environment: Environment) -> None:
    """`import` of Pulumi: a host and a volume that exist enter another stack by name, unchanged."""
    with opened(environment.context, IMAGE) as run:
        stack = {(one.type, one.name): one for one in run.stacks["host-web1"]}
        platform = run.runner.load_program()

        def program() -> None:
            provider = platform.IncusProvider("incus", run.settings)
            for kind, name in (("Instance", "web1"), ("Volume", "wp-asso0")):
                options = pulumi.ResourceOptions(provider=provider, import_=name, retain_on_delete=True)
                pulumi.CustomResource(f"incus:index:{kind}", name, dict(stack[kind, name].inputs), options)

        steps = run.runner.run_up("imported", program)
        assert set(steps) >= {("import", "Instance", "web1"), ("import", "Volume", "wp-asso0")}
        assert {operation for operation, _, _ in steps} <= {"import", "same", "read"}
        state = json.loads((run.runner.home / ".pulumi/stacks/socle/imported.json").read_text())
        found = {one["id"] for one in state["checkpoint"]["latest"]["resources"] if one["custom"]}
        assert found >= {"web1", "wp-asso0"}


def test_host_that_leaves_the_plan_is_stopped_and_kept(environment: Environment, client: IncusClient) -> None:
    less = environment.with_plan(hosts=(), volumes=())
    assert shown(STAGE.preview(less.context)) == {"stop host web1"}
    assert shown(STAGE.apply(less.context)) == {"stop host web1"}
    assert client.get_instance("web1")["status"] == "Stopped"
    assert STAGE.apply(less.context) == []
    STAGE.apply(environment.context)


def test_destroy_keeps_data_unless_told(environment: Environment, client: IncusClient) -> None:
    environment.ssh("web1", "sync")
    assert shown(destroy(environment, data=False)) == {"delete host web1"}
    assert client.get_volume("wp-asso0")["used_by"] == []
    assert destroy(environment, data=False) == []
    STAGE.apply(environment.context)
    assert environment.ssh("web1", "ls", SITE).stdout == b"kept\n"
    shutil.rmtree(environment.context.workspace.state / "pulumi")
    destroy(environment, data=True)
    assert find_remaining(client, environment.plan.environment) == []


def test_speed(tmp_path: Path) -> None:
    """What an unchanged run costs, with ten times the margin measured."""
    with making_environment(tmp_path, hosts=1, volumes=0) as made:
        STAGE.apply(made.context)
        start = time.monotonic()
        assert STAGE.apply(made.context) == []
        assert time.monotonic() - start < 3
