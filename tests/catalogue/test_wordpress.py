"""What WordPress renders for a site, whole."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from socle.model.service import Kind
from socle.sites.resources import File, Link, Resource, Step, Unit, make_wires
from tests.catalogue.site_samples import (
    SECRETS,
    STACKS,
    TITLE,
    check_expected,
    load_program,
    make_plan,
    make_site,
    stack,
)

SITE = stack("wordpress", "site")
SERVICE = stack("wordpress", "service").SERVICE


def make_resources(**changes: object) -> tuple[Resource, ...]:
    site = make_site(**changes)
    resources: tuple[Resource, ...] = SITE.make_site(site, make_plan(site), SECRETS)
    return resources


def make_file(resources: tuple[Resource, ...], path: str) -> File:
    (found,) = (resource for resource in resources if isinstance(resource, File) and resource.path == path)
    return found


def make_step(**changes: object) -> Step:
    (found,) = (resource for resource in make_resources(**changes) if isinstance(resource, Step))
    return found


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("config.php", "/etc/wordpress/config-wp-ecole.php"),
        ("fpm.conf", "/etc/socle/php/wp-ecole.conf"),
        ("site.service", "/etc/systemd/system/socle-wp-ecole.service"),
        ("nginx.conf", "/etc/socle/nginx/sites/wp-ecole.conf"),
        ("tmpfiles.conf", "/etc/tmpfiles.d/socle-wp-ecole.conf"),
    ],
)
def test_renders_are_as_expected(name: str, path: str) -> None:
    check_expected("wordpress", name, make_file(make_resources(), path).content.decode())


def test_an_open_site_may_write_its_whole_volume() -> None:
    resources = make_resources(options={"administration": "open"})
    check_expected(
        "wordpress",
        "site-open.service",
        make_file(resources, "/etc/systemd/system/socle-wp-ecole.service").content.decode(),
    )
    config = make_file(resources, "/etc/wordpress/config-wp-ecole.php").content.decode()
    assert "define('DISALLOW_FILE_MODS', false);" in config
    assert "define('DISALLOW_FILE_EDIT', true);" in config


def test_the_title_is_the_associations_name_unless_the_request_has_one() -> None:
    assert json.loads(make_step().stdin)["title"] == TITLE
    assert json.loads(make_step(options={"title": "x'; y"}).stdin)["title"] == "x'; y"


def test_no_secret_is_in_an_argument_or_a_file_others_may_read() -> None:
    for resource in make_resources():
        if isinstance(resource, Step):
            assert not any(secret in " ".join(resource.run) for secret in SECRETS.values())
        if isinstance(resource, File) and SITE.make_salts("salt")["AUTH_KEY"].encode() in resource.content:
            assert (resource.mode, resource.owner, resource.group) == (0o640, "root", "wp-ecole")


def test_salts_differ_from_each_other_and_between_sites() -> None:
    salts = SITE.make_salts("salt")
    assert len(set(salts.values())) == len(salts) == 8
    assert not set(salts.values()) & set(SITE.make_salts("other").values())


def test_the_site_is_served_after_everything_else() -> None:
    keys = [wire["key"] for wire in make_wires(make_resources())]
    assert keys[-1] == "shared:/etc/socle/nginx/sites/wp-ecole.conf"
    assert keys[-2].startswith("step:install")


def test_the_unit_restarts_with_everything_it_reads() -> None:
    (unit,) = (resource for resource in make_resources() if isinstance(resource, Unit))
    assert {key.rpartition("/")[2] for key in unit.watches} == {
        "socle-wp-ecole.conf",
        "config-wp-ecole.php",
        "wp-ecole.conf",
        "socle-wp-ecole.service",
    }


def test_links_on_the_volume_lead_to_debians_files_only() -> None:
    links = [resource for resource in make_resources() if isinstance(resource, Link)]
    assert len(links) == 5
    assert all(link.target.startswith("/usr/share/wordpress/wp-content/") for link in links)


def test_upload_limits_agree() -> None:
    resources = make_resources()
    fpm = make_file(resources, "/etc/socle/php/wp-ecole.conf").content.decode()
    nginx = make_file(resources, "/etc/socle/nginx/sites/wp-ecole.conf").content.decode()
    for setting in ("[upload_max_filesize] = 64M", "[post_max_size] = 64M"):
        assert setting in fpm
    assert "client_max_body_size 64m;" in nginx


def test_the_declaration_is_complete() -> None:
    assert SERVICE.kind is Kind.SITE
    assert {secret.name for secret in SERVICE.secrets} == set(SECRETS)
    text = (STACKS / "wordpress/deploy.py").read_text() + (STACKS / "wordpress/service.py").read_text()
    for path in SERVICE.paths:
        assert path in text or Path(path).name in text


def test_privileges_are_the_same_in_the_agent_the_installer_and_the_quota() -> None:
    from socle.sites.agent.making import PRIVILEGES

    for program in ("wordpress/host/wordpress", "mariadb/host/database-quota"):
        text = (STACKS / program).read_text().replace('"\n    "', "")
        assert f'"{PRIVILEGES}"' in text, program


def test_an_installation_that_is_done_only_clears_what_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    program = load_program("wordpress", "wordpress")
    said: list[str] = []
    installed = ["1"]

    def sql(statements: str) -> list[str]:
        said.append(statements)
        return installed if "information_schema.TABLES" in statements else []

    ran: list[str] = []
    monkeypatch.setattr(program, "sql", sql)
    monkeypatch.setattr(program, "run_script", lambda site, *_: ran.append(site))
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    program.install("wp-ecole", "wp_ecole")
    assert ran == []
    assert "DROP DATABASE IF EXISTS `socle_staging_wp_ecole`" in said[-1]
    assert "REVOKE ALL PRIVILEGES ON `socle\\_staging\\_wp\\_ecole`.*" in said[-1]
    installed.clear()
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    program.install("wp-ecole", "wp_ecole")
    assert ran == ["wp-ecole"]


def test_an_update_restarts_the_sites_that_run_what_it_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = load_program("wordpress", "wordpress")
    monkeypatch.setattr(program, "CODE", (str(tmp_path),))
    monkeypatch.setattr(program, "is_settled", lambda: True)
    calls: list[list[str]] = []
    masters: dict[str, subprocess.Popen[bytes]] = {}
    for name in ("a", "b"):
        shutil.copy("/bin/sleep", tmp_path / name)
        masters[f"socle-wp-{name}.service"] = subprocess.Popen([tmp_path / name, "60"])
    monkeypatch.setattr(program, "load_masters", lambda: {unit: master.pid for unit, master in masters.items()})
    monkeypatch.setattr(program.subprocess, "run", lambda arguments, **_options: calls.append(arguments))
    try:
        program.refresh()
        assert calls == []
        shutil.copy("/bin/sleep", tmp_path / "new")
        (tmp_path / "new").rename(tmp_path / "b")
        program.refresh()
        assert calls == [["systemctl", "try-restart", "socle-wp-b.service"]]
        monkeypatch.setattr(program, "is_settled", lambda: False)
        with pytest.raises(program.Refused, match="half installed"):
            program.refresh()
    finally:
        for master in masters.values():
            master.kill()
            master.wait()


def test_apt_calls_it_after_every_change_of_packages() -> None:
    text = (STACKS / "wordpress/templates/90socle-wordpress").read_text()
    assert "DPkg::Post-Invoke" in text
    assert "/usr/lib/socle/wordpress refresh || true" in text
