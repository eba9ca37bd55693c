"""Sites by difference, on a real host."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from socle.errors import PartlyDone
from socle.model.plan import Site
from tests.live.edge_tools import addresses
from tests.live.sites_tools import (
    Hosts,
    add_sites,
    apply,
    erase,
    extra_site,
    make_site,
    mount,
    orphan,
    preview,
    run_php,
    visit,
    wordpress_sites,
)


def load_times(lab: Hosts, site: Site) -> list[str]:
    """When each file of a site was last written, its volume's included."""
    places = ["/etc", site.path, "/var/lib/socle/sites"]
    found = lab.ssh(site.host, ["find", *places, "-xdev", "-type", "f", "-printf", "%T@ %C@ %p\\n"], check=False)
    return sorted(line for line in found.splitlines() if site.name in line)


def test_nothing_to_do_twice(lab: Any) -> None:
    assert preview(lab.context()) == []
    assert preview(lab.context(full=True)) == []
    assert apply(lab.context(full=True)) == []


def test_adding_a_site_touches_no_other(lab: Any) -> None:
    others = wordpress_sites(lab)
    before = [load_times(lab, site) for site in others]
    assert all(before)
    started = [lab.ssh(site.host, ["systemctl", "show", "-p", "MainPID", site.unit]) for site in others]
    with extra_site(lab, "newcomer", 59020) as (_, site):
        assert visit(lab, site).ask("/").status == 200
        assert [load_times(lab, other) for other in others] == before
        after = [lab.ssh(other.host, ["systemctl", "show", "-p", "MainPID", other.unit]) for other in others]
        assert after == started


def test_what_was_changed_by_hand_is_found_by_full_and_mended(lab: Any) -> None:
    site = wordpress_sites(lab)[0]
    path = f"/etc/socle/php/{site.name}.conf"
    right = lab.ssh(site.host, ["cat", path])
    lab.ssh(site.host, ["sh", "-c", f"echo '; by hand' >> {path}; chmod 0644 {path}"])
    lab.ssh(site.host, ["chmod", "0777", f"{site.path}/wp-content"])
    lab.ssh(site.host, ["systemctl", "stop", site.unit])
    assert preview(lab.context()) == []
    names = {change.name for change in apply(lab.context(full=True))}
    assert names == {path, f"{site.path}/wp-content", site.unit}
    assert lab.ssh(site.host, ["cat", path]) == right
    assert lab.ssh(site.host, ["stat", "-c", "%a %U %G", path]).strip() == f"640 root {site.name}"
    assert visit(lab, site).ask("/").status == 200


def test_removal_keeps_data_and_a_return_finds_it(lab: Any) -> None:
    with extra_site(lab, "leaver", 59021) as (added, site):
        run_php(lab, site, "file_put_contents($data, 'kept'); echo 1;", f"{site.path}/wp-content/uploads/kept.txt")
        plan = orphan(added.plan, site.name)
        gone = dataclasses.replace(added, plan=plan)
        actions = {(change.action, change.kind, change.association) for change in apply(gone)}
        assert ("stop", "unit", "leaver") in actions
        assert preview(gone) == []
        assert preview(dataclasses.replace(gone, full=True)) == []
        assert visit(lab, site).ask("/").status == 0
        assert lab.ssh(site.host, ["systemctl", "is-active", site.unit], check=False).strip() != "active"
        assert not [line for line in load_times(lab, site) if " /etc/" in line]
        assert "kept" in lab.ssh(site.host, ["cat", f"{site.path}/wp-content/uploads/kept.txt"])
        assert site.database in lab.ssh(site.host, ["mariadb", "-N", "-e", "SHOW DATABASES"])
        assert lab.ssh(site.host, ["id", "-u", site.name]).strip() == "59021"
        apply(added)
        assert visit(lab, site).ask("/wp-content/uploads/kept.txt").body == "kept"
        assert visit(lab, site).ask("/").status == 200


def test_what_is_not_ours_is_never_touched(lab: Any) -> None:
    context, like = lab.context(), wordpress_sites(lab)[0]
    sites = {
        "file": make_site(like, "foreign-file", 59022),
        "user": make_site(like, "foreign-user", 59023),
        "database": make_site(like, "foreign-database", 59024),
    }
    good = make_site(like, "good", 59025)
    path = f"/etc/wordpress/config-{sites['file'].name}.php"
    lab.ssh(like.host, ["sh", "-c", f"echo theirs > {path}"])
    lab.ssh(like.host, ["useradd", "--uid", "58999", sites["user"].name])
    lab.ssh(like.host, ["mariadb", "-e", f"CREATE DATABASE {sites['database'].database}"])
    for site in (*sites.values(), good):
        mount(lab, site)
    try:
        with pytest.raises(PartlyDone) as caught:
            apply(add_sites(context, *sites.values(), good))
        for site in sites.values():
            assert f"{site.name} on {site.host}" in str(caught.value)
        assert str(caught.value).count("exists and is not ours") == 3
        assert visit(lab, good).ask("/").status == 200
        assert lab.ssh(like.host, ["cat", path]).strip() == "theirs"
        assert lab.ssh(like.host, ["id", "-u", sites["user"].name]).strip() == "58999"
        apply(context)
        assert lab.ssh(like.host, ["cat", path]).strip() == "theirs"
    finally:
        lab.ssh(like.host, ["rm", "-f", path])
        for site in (*sites.values(), good):
            erase(lab, context, site)


def test_a_site_without_its_volume_is_not_made(lab: Any) -> None:
    context, site = lab.context(), make_site(wordpress_sites(lab)[0], "no-volume", 59026)
    lab.ssh(site.host, ["mkdir", "-p", site.path])
    try:
        with pytest.raises(PartlyDone, match="volume is not mounted"):
            apply(add_sites(context, site))
        assert lab.ssh(site.host, ["stat", "-c", "%a %U", site.path]).strip() == "0 root"
        assert lab.ssh(site.host, ["ls", "-A", site.path]).strip() == ""
        assert lab.ssh(site.host, ["id", site.name], check=False) == ""
    finally:
        erase(lab, context, site)


def test_a_faulty_shared_file_is_rolled_back_and_others_go_on(lab: Any) -> None:
    context, like = lab.context(), wordpress_sites(lab)[0]
    bad, good = make_site(like, "bad", 59027, domain="bad;.example"), make_site(like, "good", 59028)
    mount(lab, bad)
    mount(lab, good)
    try:
        with pytest.raises(PartlyDone, match=r"wp-bad on .*refused by nginx.service") as caught:
            apply(add_sites(context, bad, good))
        assert "wp-good" not in str(caught.value)
        assert visit(lab, good).ask("/").status == 200
        assert visit(lab, like).ask("/").status == 200
        lab.ssh(like.host, ["nginx", "-t", "-q"])
    finally:
        erase(lab, context, bad)
        erase(lab, context, good)


def test_a_file_that_the_edge_refuses_is_rolled_back_and_others_go_on(lab: Any) -> None:
    context, like = lab.context(), wordpress_sites(lab)[0]
    bad = make_site(like, "bad-edge", 59031, redirects=("bad}.example",))
    good = make_site(like, "good-edge", 59032)
    edge = addresses(context.plan)[0]
    mount(lab, bad)
    mount(lab, good)
    try:
        with pytest.raises(PartlyDone, match=r"wp-bad-edge on edge1: .*refused by caddy") as caught:
            apply(add_sites(context, bad, good))
        assert "wp-good-edge" not in str(caught.value)
        names = lab.ssh("edge1", ["ls", "/etc/caddy/sites"]).split()
        assert f"{good.name}.caddy" in names
        assert f"{bad.name}.caddy" not in names
        served = lab.get(f"http://{good.domain}/", "--resolve", f"{good.domain}:80:{edge}")
        assert served.status == 308
    finally:
        erase(lab, context, bad)
        erase(lab, context, good)
    gone = lab.get(f"http://{good.domain}/", "--resolve", f"{good.domain}:80:{edge}")
    assert gone.status == 421


def test_a_volume_made_anew_is_seen_and_the_site_made_again(lab: Any) -> None:
    with extra_site(lab, "lost-volume", 59029) as (added, site):
        assert preview(added) == []
        lab.ssh(site.host, ["umount", "--lazy", site.path])
        mount(lab, site)
        assert {change.association for change in preview(added)} == {"lost-volume"}
        apply(added)
        assert preview(dataclasses.replace(added, full=True)) == []
        assert visit(lab, site).ask("/").status == 200
        code = "echo json_encode(file_put_contents($data, 'new'));"
        assert run_php(lab, site, code, f"{site.path}/wp-content/uploads/new.txt") == 3
        assert lab.ssh(site.host, ["cat", f"{site.path}/wp-content/uploads/new.txt"]) == "new"


def test_a_database_that_is_gone_is_seen_and_made_again(lab: Any) -> None:
    with extra_site(lab, "lost-database", 59030) as (added, site):
        lab.ssh(site.host, ["mariadb", "-e", f"DROP DATABASE {site.database}"])
        assert preview(added) != []
        apply(added)
        assert preview(dataclasses.replace(added, full=True)) == []
        assert visit(lab, site).ask("/").status == 200
