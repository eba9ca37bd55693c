"""What a host is told of the saves of its sites."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from socle.load.catalogue import load_catalogue
from socle.model.plan import Plan, Repository
from socle.model.policy import Policy
from socle.sites.resources import File
from tests.catalogue.backup_samples import HOST, load_part
from tests.catalogue.site_samples import STACKS, check_expected, make_plan, make_site, stack
from tests.make import make_repository

SITE = stack("backup", "site")
DEPLOY = stack("backup", "deploy")
SERVICE = stack("backup", "service").SERVICE
SECRETS = {"repository_key": "x$HOME#y é ", "repository_credential": "50%5Fz'\"\\", "salt": "not mine"}
REPOSITORY = make_repository("ecole", "wp-ecole", quota=2 * 1024**3)


def make_saved_plan(*repositories: Repository) -> Plan:
    return make_plan().model_copy(update={"repositories": repositories})


def make_file() -> File:
    (file,) = SITE.make_site(make_site(), make_saved_plan(REPOSITORY), SECRETS)
    assert isinstance(file, File)
    return file


def test_a_sites_file_is_as_expected_and_roots_alone() -> None:
    file = make_file()
    assert (file.path, file.mode, file.owner) == ("/etc/socle/backups/wp-ecole.json", 0o600, "root")
    check_expected("backup", "wp-ecole.json", file.content.decode())


def test_it_holds_what_the_program_reads_and_nothing_else() -> None:
    config = json.loads(make_file().content)
    assert set(config) == load_part("save").FIELDS
    assert (config["key"], config["credential"]) == (SECRETS["repository_key"], SECRETS["repository_credential"])


def test_without_a_repository_or_a_state_there_is_nothing_to_save(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SITE.make_site(make_site(), make_saved_plan(), SECRETS) == ()
    plain = SITE.load_service("wordpress").model_copy(update={"state": None})
    monkeypatch.setattr(SITE, "load_service", lambda _: plain)
    assert SITE.make_site(make_site(), make_saved_plan(REPOSITORY), SECRETS) == ()


def test_versions_are_of_what_made_the_data() -> None:
    packages = SITE.make_packages(SITE.load_service("wordpress"))
    assert {"restic", "mariadb-server", "wordpress"} <= set(packages)
    assert "caddy" not in packages, "it is on another host"


@pytest.mark.parametrize("name", ["socle-backup.service", "socle-backup.timer"])
def test_units_are_as_expected(name: str) -> None:
    plan = make_plan().model_copy(update={"policy": Policy(night="02:15", spread=90)})
    check_expected("backup", name, DEPLOY.render_units(plan)[name])


def test_the_declaration_is_complete() -> None:
    text = (STACKS / "backup/deploy.py").read_text() + (HOST / "backup").read_text()
    text += "".join(path.read_text() for path in sorted((HOST / "backup_host").glob("*.py")))
    for path in SERVICE.paths:
        assert path in text or Path(path).name in text, path
    assert set(SERVICE.units) == set(DEPLOY.render_units(make_plan()))


def test_every_service_with_a_state_is_saved() -> None:
    catalogue = load_catalogue(STACKS)
    saved = [service.name for service in catalogue.services if service.state]
    assert saved
    assert all("backup" in catalogue.requirements(name) for name in saved)


def test_the_program_needs_nothing_but_python() -> None:
    import sys

    for path in [HOST / "backup", *(HOST / "backup_host").glob("*.py")]:
        names = re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        assert set(names) - {"backup_host"} <= sys.stdlib_module_names, path


def test_a_user_of_no_name_cannot_reach_what_was_prepared() -> None:
    """Copies of SQLite are made by sites' users: only their own folder opens to them."""
    assert '("copies", 0o711), ("staging", 0o700)' in (HOST / "backup").read_text()
