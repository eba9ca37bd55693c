"""Sites are isolated: looked at from inside each one, as its own PHP, and in the kernel's own words."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from socle.audit.check import Subject, check, expect
from socle.audit.checks.services import load_audit
from socle.audit.scene import Scene
from socle.model.plan import Plan, Site

_HERE = Path(__file__).parent.parent
_CODE = (_HERE / "isolation.php").read_text().removeprefix("<?php")
_CLIENT = (_HERE / "host/php_probe.py").read_text()
_ELSEWHERE = ("/var/lib/mysql", "/var/lib/socle", "/run/dbus", "/root/.ssh", "/etc/shadow", "/etc/ssh")
"""What no site needs to see of its host."""


def _sites(plan: Plan) -> Iterator[Subject]:
    return (Subject(site.host, site.name, site) for site in plan.sites)


def make_target(scene: Scene, site: Site) -> dict[str, Any]:
    """What of a site no other may reach, and how PHP is run inside it (no socket: it has none)."""
    audit = load_audit(scene, site.service)
    make_private, make_php = getattr(audit, "make_private", None), getattr(audit, "make_php", None)
    private = make_private(site) if make_private else {"paths": [site.path], "sockets": []}
    php = make_php(site) if make_php else {"socket": "", "script": "", "login": ""}
    return {"name": site.name, "unit": site.unit, "database": site.database, "pid": 0, **private, **php}


def read_host(scene: Scene, host: str) -> dict[str, Any]:
    """What all sites of a host reach: one question."""
    targets = [make_target(scene, site) for site in scene.plan.sites if site.host == host]
    given = {"code": _CODE, "sites": targets, "elsewhere": list(_ELSEWHERE)}
    answer: dict[str, Any] = scene.feed_json(host, f"python3 -I -c {shlex.quote(_CLIENT)}", given)
    return answer


def find_reached(php: Mapping[str, Any]) -> list[str]:
    """What PHP of a site reaches that it must not."""
    reached = [f"{what} of {name}" for name, found in php["others"].items() for what, yes in found.items() if yes]
    return reached + [f"file {path}" for path in php["elsewhere"]]


def find_weak(kernel: Mapping[str, Any], site: Site) -> Iterator[str]:
    """What the kernel does not hold a site to."""
    if kernel["uid"] != [str(site.uid)]:
        yield f"it runs as uid {' '.join(kernel['uid'])}, expected {site.uid}"
    if kernel["filters"] < 1:
        yield "no filter of system calls (Seccomp_filters)"
    if kernel["no_new_privileges"] != "1":
        yield "it may gain privileges (NoNewPrivs)"
    if int(kernel["capabilities"] or "1", 16):
        yield f"it has capabilities ({kernel['capabilities']})"
    if kernel["shared_namespaces"]:
        yield f"it shares namespaces with its host: {', '.join(kernel['shared_namespaces'])}"
    if not kernel["memory"].isdigit() or int(kernel["memory"]) > site.memory:
        yield f"memory limit is {kernel['memory'] or 'not there'}, expected {site.memory}"
    if not kernel["processes"].isdigit():
        yield f"limit of processes is {kernel['processes'] or 'not there'}"


def find_tmp(name: str, answer: Mapping[str, Any]) -> Iterator[str]:
    """With whom a site shares its /tmp."""
    own = answer["sites"][name]["php"]["tmp"]
    if own == answer["tmp"]:
        yield "/tmp is the host's"  # noqa: S108 (words)
    for other, found in answer["sites"].items():
        if other != name and own == found.get("kernel", {}).get("tmp"):
            yield f"/tmp is shared with {other}"  # noqa: S108 (words)


@check(
    "isolation",
    each=_sites,
    remedy="keep the site from running (systemctl stop its unit) until it is known why; socle apply --full",
)
def site_reaches_nothing_of_others(scene: Scene, site: Site) -> str:
    """A site reaches nothing of another: tried as its own PHP, and read in the kernel."""
    target = make_target(scene, site)
    if not target["socket"]:
        return "it runs no PHP"
    answer = read_host(scene, site.host)
    found = answer["sites"][site.name]
    expect("error" not in found, f"not checked: {found.get('error')}")
    blind = [what for what, yes in found["php"]["own"].items() if not yes]
    # What does not reach the site's own things proves nothing by not reaching those of others.
    expect(not blind, f"not checked: the probe does not reach the site's own {', '.join(blind)}")
    expect(found["php"]["open_basedir"] == "/", "not checked: open_basedir hid what the sandbox must hide")
    problems = [*find_reached(found["php"]), *find_weak(found["kernel"], site), *find_tmp(site.name, answer)]
    expect(not problems, "; ".join(problems))
    tried = sum(len(one) for one in found["php"]["others"].values()) + len(_ELSEWHERE)
    memory = int(found["kernel"]["memory"]) >> 20
    others = len(found["php"]["others"])
    return f"{tried} attempts, at {others} other sites and at the host: none reached; memory limit {memory} MiB"


CHECKS = (site_reaches_nothing_of_others,)
