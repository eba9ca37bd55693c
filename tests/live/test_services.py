"""The services stage on real hosts: nothing to do twice, mended by --full, completed after a kill."""

from __future__ import annotations

import json

from tests.live.environment import Lab

STAMP = "/var/lib/socle/stamps/services.json"


def test_nothing_is_done_twice(lab: Lab) -> None:
    assert lab.apply("--stage", "services") == []


def test_stamps_name_each_service_of_each_host(lab: Lab) -> None:
    for host in lab.context().plan.hosts:
        assert list(json.loads(lab.ssh(host.name, ["cat", STAMP]))) == list(host.services)
        assert lab.ssh(host.name, ["stat", "-c", "%a %U", "/var/lib/socle/stamps"]).split() == ["700", "root"]


def test_full_mends_what_was_changed_by_hand(scratch: Lab) -> None:
    before = scratch.ssh("edge1", ["sha256sum", "/etc/caddy/Caddyfile"])
    scratch.ssh("edge1", ["sh", "-c", "echo '# by hand' >> /etc/caddy/Caddyfile"])
    assert [change for change in scratch.plan() if change["stage"] == "services"] == []
    changes = scratch.apply("--stage", "services", "--full")
    assert {"edge1/edge"} <= {change["name"] for change in changes}
    assert scratch.ssh("edge1", ["sha256sum", "/etc/caddy/Caddyfile"]) == before
    for site in scratch.context().plan.sites:
        page = scratch.get(f"https://{site.domain}/")
        assert page
        assert page.status == 200


def test_a_package_left_unconfigured_is_mended_first(scratch: Lab) -> None:
    status = "/var/lib/dpkg/status"
    script = (
        "import re; p='/var/lib/dpkg/status'; s=open(p).read();"
        "s=re.sub(r'(Package: caddy\\nStatus: install ok )installed', r'\\1half-configured', s); open(p,'w').write(s)"
    )
    scratch.ssh("edge1", ["python3", "-c", script])
    assert "half-configured" in scratch.ssh("edge1", ["cat", status])
    scratch.apply("--stage", "services", "--full")
    assert "half-configured" not in scratch.ssh("edge1", ["cat", status])


def test_the_watch_of_quotas_goes_and_comes_with_the_server(scratch: Lab) -> None:
    scratch.ssh("web1", ["systemctl", "stop", "mariadb"])
    assert not scratch.ssh("web1", ["systemctl", "is-active", "socle-database-quota"], check=False).startswith("active")
    scratch.ssh("web1", ["systemctl", "start", "mariadb"])
    assert scratch.ssh("web1", ["systemctl", "is-active", "socle-database-quota"]).strip() == "active"
