"""The client against a scripted daemon."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from socle.errors import Exit, Unreachable
from socle.incus.client import IncusClient, IncusError, NotFound

Handler = Callable[[httpx.Request], httpx.Response]


def make_client(handler: Handler) -> IncusClient:
    transport = httpx.MockTransport(handler)
    return IncusClient(httpx.Client(base_url="http://incus", transport=transport), "mine", "pool")


def answer(metadata: Any, **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"type": "sync", "metadata": metadata, **more})


def test_every_call_names_the_project() -> None:
    seen: list[httpx.URL] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        return answer([])

    client = make_client(handle)
    client.list_instances()
    client.list_networks()
    assert [url.params["project"] for url in seen] == ["mine", "default"]
    assert [url.path for url in seen] == ["/1.0/instances", "/1.0/networks"]


def test_an_early_answer_of_wait_is_not_the_end() -> None:
    states = iter([{"status_code": 103, "status": "Running"}, {"status_code": 200, "metadata": {"return": 7}}])
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.method == "POST":
            return httpx.Response(202, json={"type": "async", "operation": "/1.0/operations/o1?project=mine"})
        return answer(next(states))

    assert make_client(handle).run_command("web1", ["true"]) == 7
    assert asked == ["/1.0/instances/web1/exec", *["/1.0/operations/o1/wait"] * 2]


def test_a_failed_operation_says_why() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return answer({"status_code": 400, "status": "Failure", "err": "no space left"})
        return httpx.Response(202, json={"type": "async", "operation": "/1.0/operations/o1"})

    with pytest.raises(IncusError, match="no space left"):
        make_client(handle).delete_instance("web1")


def test_an_operation_without_end_is_given_up() -> None:
    client = make_client(lambda _: answer({"status_code": 103, "status": "Running"}))
    with pytest.raises(Unreachable, match="within 0 s"):
        client.wait("/operations/o1", timeout=0.05)


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (409, IncusError), (500, IncusError)])
def test_errors_carry_what_incus_said(status: int, kind: type[IncusError]) -> None:
    client = make_client(lambda _: httpx.Response(status, json={"error": "Not like this"}))
    with pytest.raises(kind, match="Not like this") as caught:
        client.get("/instances/x")
    assert caught.value.code == status


def test_a_dead_daemon_is_unreachable() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    with pytest.raises(Unreachable, match="connection refused") as caught:
        make_client(handle).list_volumes()
    assert caught.value.exit is Exit.UNREACHABLE


def test_editing_writes_back_under_the_tag_that_was_read() -> None:
    written: list[tuple[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            written.append((request.headers["If-Match"], json.loads(request.content)))
            return answer({})
        return httpx.Response(200, json={"metadata": {"config": {"a": "1"}, "devices": {}}}, headers={"ETag": "t1"})

    with make_client(handle).editing_instance("web1") as body:
        body["config"]["a"] = "2"
    assert written == [("t1", {"config": {"a": "2"}, "devices": {}})]


def test_an_operation_that_failed_at_once_says_why() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return httpx.Response(202, json={"type": "async", "operation": "/1.0/operations/o1?project=mine"})
        failed = {"status_code": 400, "status": "Failure", "err": "not that"}
        return answer(None if request.url.path.endswith("/wait") else failed)

    with pytest.raises(IncusError, match="not that"):
        make_client(handle).set_state("web1", "stop")


def test_waiting_for_a_thing_waits_for_its_operations_only() -> None:
    waited: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/wait"):
            waited.append(request.url.path)
            return answer({"status_code": 400, "status": "Failure", "err": "cancelled"})
        operations = [
            {"id": "o1", "resources": {"instances": ["/1.0/instances/web1?project=mine"]}},
            {"id": "o2", "resources": {"instances": ["/1.0/instances/web10?project=mine"]}},
            {"id": "o3", "resources": None},
        ]
        return answer({"running": operations})

    make_client(handle).wait_idle("/instances/web1")
    assert waited == ["/1.0/operations/o1/wait"]


def test_files_are_written_for_root_with_their_mode() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer({})

    make_client(handle).put_file("web1", "/root/.ssh/authorized_keys", b"key\n", 0o600)
    (request,) = seen
    assert request.content == b"key\n"
    assert request.url.params["path"] == "/root/.ssh/authorized_keys"
    wanted = {"uid": "0", "gid": "0", "mode": "0600", "type": "file", "write": "overwrite"}
    assert {name: request.headers[f"X-Incus-{name}"] for name in wanted} == wanted
