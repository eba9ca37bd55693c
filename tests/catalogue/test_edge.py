"""The edge's files, byte for byte, and what must hold for any site."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from socle.load.catalogue import load_catalogue, load_module
from socle.model.plan import Plan, Record, Site
from socle.planning.make_plan import make_plan
from socle.sites.resources import File
from tests.make import make_inputs

STACKS = Path(__file__).parents[2] / "stacks"
ENTRY = load_catalogue(STACKS)["edge"]
EXPECTED = STACKS / "edge/expected"


def make_site(**changes: Any) -> Site:
    values: dict[str, Any] = {
        "name": "wp-ecole-du-bourg",
        "association": "ecole-du-bourg",
        "association_name": "L'École du Bourg {{ 7*7 }} {uri}",
        "service": "wordpress",
        "host": "web1",
        "uid": 20000,
        "database": None,
        "path": "/srv/sites/wp-ecole-du-bourg",
        "unit": "socle-wp-ecole-du-bourg.service",
        "domain": "xn--cole-du-bourg-9gb.example",
        "redirects": ("www.xn--cole-du-bourg-9gb.example", "bourg.example"),
        "quota": 1,
        "database_quota": 0,
        "memory": 1,
        "options": {},
        "secrets": (),
    }
    return Site(**{**values, **changes})


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(make_inputs())


def make_file(site: Site, plan: Plan) -> File:
    module = ENTRY.module("site")
    assert module
    (file,) = module.make_site(site, plan, {})
    assert isinstance(file, File)
    return file


def deploy_module() -> Any:
    return ENTRY.module("deploy")


@pytest.mark.parametrize(
    ("name", "redirects"),
    [("site.caddy", ("www.xn--cole-du-bourg-9gb.example", "bourg.example")), ("site-alone.caddy", ())],
)
def test_site_file(plan: Plan, name: str, redirects: tuple[str, ...]) -> None:
    file = make_file(make_site(redirects=redirects), plan)
    assert file.path == "/etc/caddy/sites/wp-ecole-du-bourg.caddy"
    assert file.content.decode() == (EXPECTED / name).read_text()


def test_site_file_is_checked_with_all_others_before_caddy_reads_it(plan: Plan) -> None:
    file = make_file(make_site(), plan)
    assert file.reload == "caddy"
    assert file.validate == deploy_module()._render.VALIDATE
    assert (file.owner, file.mode) == ("root", 0o644)


def test_main_file_of_a_lab_trusts_its_own_authority(plan: Plan) -> None:
    files = deploy_module().render_files(plan, "PEM")
    assert files["/etc/caddy/Caddyfile"] == (EXPECTED / "Caddyfile").read_text()
    assert files["/etc/caddy/acme-root.pem"] == "PEM"
    assert files["/etc/systemd/system/caddy.service.d/socle.conf"] == (EXPECTED / "caddy.conf").read_text()


def test_main_file_elsewhere_trusts_the_systems_authorities(plan: Plan) -> None:
    files = deploy_module().render_files(plan, "")
    assert "acme-root.pem" not in "".join((*files, *files.values()))


def test_no_text_of_an_association_reaches_the_edge(plan: Plan) -> None:
    assert b"7*7" not in make_file(make_site(), plan).content


def test_each_name_has_an_order_of_its_own_and_leads_to_the_main_one(plan: Plan) -> None:
    text = make_file(make_site(), plan).content.decode()
    addresses = [line.removesuffix(" {") for line in text.splitlines() if line.startswith("http")]
    names = [re.sub(r"^https?://", "", name) for line in addresses for name in line.split(", ")]
    secure = [name for line in addresses for name in line.split(", ") if name.startswith("https://")]
    site = make_site()
    assert sorted(secure) == sorted(f"https://{name}" for name in (site.domain, *site.redirects))
    assert sorted(set(names)) == sorted(
        dotted for name in (site.domain, *site.redirects) for dotted in (name, f"{name}.")
    )
    assert text.count(f"redir https://{site.domain}{{uri}} 308") == 2


@pytest.mark.parametrize("limit", [1, 9, 10, 99, 100, 64 * 1024**2])
def test_numbers_above_a_limit(limit: int) -> None:
    render = ENTRY.module("render")
    assert render
    above = re.compile(f"^0*({render.make_over(limit)})$")
    near = {0, 1, *range(max(0, limit - 1200), limit + 1200), limit * 10, limit * 99, 10**12}
    assert [number for number in near if bool(above.match(str(number))) != (number > limit)] == []


def test_the_page_of_a_site_that_is_down_is_neutral_and_french(plan: Plan) -> None:
    text = deploy_module().render_files(plan, "")["/etc/caddy/Caddyfile"]
    assert text.count('<html lang="fr">') == 3
    assert "Site momentanément indisponible" in text
    assert "`" not in "".join(re.findall(r"`(<!DOCTYPE.*?</html>)`", text))


def test_flows_are_those_of_the_web() -> None:
    flows = [(flow.protocol, flow.ports, flow.source) for flow in ENTRY.service.flows]
    assert flows == [("tcp", (80, 443), "anyone")]


def test_another_root_certificate_is_a_change(tmp_path: Path) -> None:
    from socle.load.workspace import Workspace

    workspace = Workspace(tmp_path, "lab", tmp_path)
    module = deploy_module()
    assert module.load_inputs(workspace) == {}
    (tmp_path / "acme-root.pem").write_text("one")
    first = module.load_inputs(workspace)
    (tmp_path / "acme-root.pem").write_text("two")
    assert module.load_inputs(workspace) != first


@pytest.mark.parametrize(("known", "kept"), [(b"one", True), (b"two", False), (None, False)])
def test_accounts_at_another_authority_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bytes | None, kept: bool
) -> None:
    storage = tmp_path / "caddy"
    (storage / "acme").mkdir(parents=True)
    root = tmp_path / "root.pem"
    if known is not None:
        root.write_bytes(known)
    monkeypatch.setattr(ENTRY.module("render"), "ROOT", str(root))
    command = deploy_module().make_forget(b"one").replace("/var/lib/caddy/.local/share/caddy", str(storage))
    subprocess.run(["sh", "-c", command], check=True)
    assert (storage / "acme").exists() is kept


# Names that their owner's DNS leads elsewhere (case B5).

ZONE = {
    ("good.test", "A"): ["10.64.1.10"],
    ("good.test", "AAAA"): ["fd50:1::a"],
    ("old.test", "A"): ["10.64.1.10"],
    ("old.test", "AAAA"): ["2001:db8::1"],
    ("gone.test", "A"): ["192.0.2.1"],
    ("mute.test", "A"): None,
}


def find_warnings(plan: Plan, **changes: Any) -> list[str]:
    module = ENTRY.module("check")
    assert module
    plan = plan.model_copy(update={"sites": (make_site(**changes),), "records": ()})
    found: list[str] = module.find_warnings(plan, lambda name, kind: ZONE.get((name, kind), []))
    return found


def test_a_name_that_leads_here_is_fine(plan: Plan) -> None:
    assert find_warnings(plan, domain="good.test", redirects=()) == []


def test_the_name_and_the_record_to_mend_are_told(plan: Plan) -> None:
    assert find_warnings(
        plan, domain="good.test", redirects=("www.good.test", "old.test", "gone.test", "mute.test")
    ) == [
        "wp-ecole-du-bourg: www.good.test: expected a record A 10.64.1.10: it has no address, hence no certificate",
        "wp-ecole-du-bourg: old.test: AAAA leads to 2001:db8::1, expected fd50:1::a",
        "wp-ecole-du-bourg: gone.test: A leads to 192.0.2.1, expected 10.64.1.10",
        "wp-ecole-du-bourg: mute.test: its DNS does not answer: not checked",
    ]


def test_names_whose_records_are_ours_are_not_asked(plan: Plan) -> None:
    module = ENTRY.module("check")
    assert module
    record = Record(name="good.test", zone="test", type="A", ttl=60, values=("10.64.1.10",), association="a")
    site = make_site(domain="good.test", redirects=("www.good.test",))
    owned = plan.model_copy(update={"sites": (site,), "records": (record,)})
    assert [name for _, name in module.find_foreign_names(owned)] == ["www.good.test"]


def test_the_limit_of_uploads_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    render = load_module(STACKS / "edge/render.py")
    monkeypatch.setattr(render, "UPLOAD_LIMIT", 80 * 1024**2)
    text = render.render_site("wp-a", "a.example", (), "10.0.0.1:80")
    assert "max_size 80MiB" in text
    assert "64" not in text
