"""Differences, ownership and refusals on fake listings."""

from __future__ import annotations

from typing import Any, cast

import pytest

from socle.errors import Refused
from socle.incus.client import IncusClient
from socle.incus.instances import InstanceKind, Locks
from socle.incus.kinds import (
    AclKind,
    AttachmentKind,
    NetworkKind,
    VolumeKind,
    find_differences,
    parse_size,
    restrict_config,
)
from socle.incus.listing import Cache
from socle.incus.marker import make_marker

OURS = make_marker("test-1", "association:amis")
THEIRS = make_marker("test-2", "association:amis")


class FakeClient:
    """Lists as given; remembers what it was told to do."""

    pool = "pool"

    def __init__(self, **lists: list[dict[str, Any]]) -> None:
        self._lists = lists
        self.calls: list[tuple[Any, ...]] = []

    def list_volumes(self) -> list[dict[str, Any]]:
        return self._lists.get("volumes", [])

    def list_instances(self) -> list[dict[str, Any]]:
        return self._lists.get("instances", [])

    def list_networks(self, kind: str = "networks") -> list[dict[str, Any]]:
        return self._lists.get(kind, [])

    def wait_idle(self, path: str) -> None:
        self.calls.append(("wait_idle", path))

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self.calls.append((name, *given))


def make(fake: FakeClient) -> tuple[IncusClient, Cache]:
    client = cast(IncusClient, fake)
    return client, Cache(client)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 2**26), ("67108864", 2**26), ("1GiB", 2**30), ("1GB", 10**9), ("512B", 512), ("", None), (None, None)],
)
def test_sizes_as_incus_writes_them(text: str | None, size: int | None) -> None:
    assert parse_size(text) == size


def test_only_compared_keys_are_a_difference() -> None:
    state = {"config": {"a": "1"}, "status": "Running", "image": "old"}
    inputs = {"config": {"a": "2"}, "status": "Running", "image": "new"}
    assert find_differences(state, inputs, ("config", "status")) == ["config"]


def test_configuration_of_others_is_not_looked_at() -> None:
    observed = {"config": {"limits.memory": "1GiB", "user.note": "by hand"}}
    assert restrict_config(observed, {"config": {"limits.memory": "2GiB"}}) == {"config": {"limits.memory": "1GiB"}}
    assert restrict_config(observed, {}) == {"config": {"limits.memory": "1GiB"}}


def test_a_device_is_looked_at_whole() -> None:
    observed = {"instance": "web1", "name": "v", "config": {"path": "/srv", "readonly": "true"}}
    assert restrict_config(observed, {"config": {"path": "/srv"}}) == observed


def test_each_kind_is_listed_once() -> None:
    fake = FakeClient(volumes=[{"name": "v", "config": OURS}])
    asked: list[int] = []
    fake.list_volumes = lambda: asked.append(1) or [{"name": "v", "config": OURS}]  # type: ignore[method-assign,func-returns-value]
    _, cache = make(fake)
    assert cache.volumes() is cache.volumes()
    assert asked == [1]


def test_a_volume_of_ours_is_taken_up_and_mended() -> None:
    fake = FakeClient(volumes=[{"name": "wp-amis", "config": {**OURS, "size": "64MiB"}}])
    inputs = {"name": "wp-amis", "config": OURS, "size": str(2**27)}
    VolumeKind(*make(fake), "test-1").create(inputs)
    assert fake.calls[-1] == ("update_volume", "wp-amis", {**OURS, "size": str(2**27)})


@pytest.mark.parametrize("config", [{}, THEIRS])
def test_a_namesake_is_never_touched(config: dict[str, str]) -> None:
    thing = {"name": "x", "config": config}
    fake = FakeClient(volumes=[thing], networks=[thing], **{"network-acls": [thing]})
    inputs = {"name": "x", "config": OURS, "ingress": [], "egress": []}
    for kind in (VolumeKind(*make(fake), "test-1"), NetworkKind(*make(fake), "test-1"), AclKind(*make(fake), "test-1")):
        with pytest.raises(Refused, match=r"x: expected no .* of this name, or one that socle made"):
            kind.create(inputs)
    for kind in (NetworkKind(*make(fake), "test-1"), AclKind(*make(fake), "test-1")):
        with pytest.raises(Refused):
            kind.delete("x", {})
    assert [call for call in fake.calls if call[0] != "wait_idle"] == []


def test_a_namesake_of_a_host_is_never_touched() -> None:
    fake = FakeClient()
    fake.get_instance = lambda name: {"name": name, "config": THEIRS, "status": "Running"}  # type: ignore[attr-defined]
    kind = InstanceKind(*make(fake), "test-1", Locks())
    with pytest.raises(Refused, match="host web1: expected no host of this name"):
        kind.create({"name": "web1", "config": {}})
    assert fake.calls == [("wait_idle", "/instances/web1")]


def test_a_volume_is_neither_shrunk_nor_deleted() -> None:
    fake = FakeClient(volumes=[{"name": "v", "config": {**OURS, "size": "128MiB"}}])
    kind = VolumeKind(*make(fake), "test-1")
    with pytest.raises(Refused, match="at least 134217728 bytes"):
        kind.update("v", kind.observe("v") or {}, {"name": "v", "config": OURS, "size": str(2**26)})
    with pytest.raises(Refused, match="they hold data"):
        kind.delete("v", {})
    assert fake.calls == []


def test_a_volume_without_a_wanted_size_keeps_its_own() -> None:
    fake = FakeClient(volumes=[{"name": "v", "config": {**OURS, "size": "128MiB"}}])
    VolumeKind(*make(fake), "test-1").create({"name": "v", "config": OURS})
    assert fake.calls[-1] == ("update_volume", "v", OURS)


def test_volumes_are_not_the_hosts_own_devices() -> None:
    devices = {
        "root": {"type": "disk", "path": "/", "pool": "pool"},
        "eth0": {"type": "nic", "network": "br"},
        "wp-amis": {"type": "disk", "pool": "pool", "source": "wp-amis", "path": "/srv/sites/wp-amis"},
    }
    config = {"limits.memory": "1", "volatile.uuid": "u", "image.os": "debian"}
    instance = {"name": "web1", "config": config, "devices": devices, "status": "Running"}
    made = make(FakeClient(instances=[instance]))
    observed = InstanceKind(*made, "test-1", Locks()).observe("web1")
    assert observed == {
        "name": "web1",
        "config": {"limits.memory": "1"},
        "devices": {"root": devices["root"], "eth0": devices["eth0"]},
        "status": "Running",
    }
    attachments = AttachmentKind(*made, Locks())
    assert attachments.observe("web1/wp-amis") == {"instance": "web1", "name": "wp-amis", "config": devices["wp-amis"]}
    assert attachments.observe("web1/wp-none") is None
    assert attachments.observe("web9/wp-amis") is None


def test_rules_are_compared_without_what_incus_fills_in() -> None:
    rule = {"action": "allow", "state": "enabled", "source": "10.0.0.1/32", "destination": "", "icmp_type": ""}
    fake = FakeClient(**{"network-acls": [{"name": "a", "config": OURS, "ingress": [rule], "egress": []}]})
    observed = AclKind(*make(fake), "test-1").observe("a")
    assert observed is not None
    assert observed["ingress"] == [{"action": "allow", "state": "enabled", "source": "10.0.0.1/32"}]


def test_a_configuration_key_that_is_no_longer_wanted_is_unset() -> None:
    fake = FakeClient()
    NetworkKind(*make(fake), "test-1").update(
        "br", {"config": {"a": "1", "b": "2"}}, {"name": "br", "config": {"a": "3"}}
    )
    assert fake.calls == [("update_network", "br", {"config": {"b": "", "a": "3"}})]


def test_a_size_left_out_is_no_difference() -> None:
    state = {"config": {"a": "1"}, "size": "67108864"}
    assert find_differences(state, {"config": {"a": "1"}}, ("config", "size")) == []
    assert find_differences(state, {"config": {"a": "1"}, "size": "1"}, ("config", "size")) == ["size"]
    assert find_differences({"config": {}}, {"config": {"a": "1"}}, ("config", "size")) == ["config"]
