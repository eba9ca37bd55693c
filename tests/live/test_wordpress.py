"""WordPress on real hosts: what visitors, administrators and attackers of one site see."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

from socle.sites.login import run_login_link
from tests.live.sites_tools import ODD_PASSWORD, Browser, extra_site, run_php, visit, wordpress_sites

AWKWARD = "L'Été à l’école \"$HOME\" \\ {{ 7*7 }} & <b> 🎉 x'; touch /tmp/pwned; '"


def make_title(page: str) -> str:
    found = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def test_each_site_answers_in_french_with_its_exact_title(lab: Any) -> None:
    sites = wordpress_sites(lab)
    assert len(sites) >= 2
    for site in sites:
        page = lab.get(f"https://{site.domain}/")
        assert page.status == 200, site.name
        assert 'lang="fr-FR"' in page.body
        assert make_title(page.body) == (site.options.get("title") or site.association_name)


def test_no_site_shows_an_install_wizard_or_another_door(lab: Any) -> None:
    site = wordpress_sites(lab)[0]
    doors = ("install", "setup-config", "install-helper")
    for path in ("/xmlrpc.php", "/wp-cron.php", "/wp-config.php", *(f"/wp-admin/{door}.php" for door in doors)):
        assert visit(lab, site).ask(path).status == 403, path
    assert visit(lab, site).ask("/wp-login.php").status == 200


def test_a_name_that_is_no_sites_gets_no_answer(lab: Any) -> None:
    stranger = wordpress_sites(lab)[0].model_copy(update={"domain": "unknown.example"})
    assert visit(lab, stranger).ask("/").status == 0


def test_each_site_publishes_a_page_that_visitors_read(lab: Any) -> None:
    for site in wordpress_sites(lab):
        author = Browser(lab, site)
        answer = author.log_in(lab.context().secrets.site(site)["admin_password"])
        assert answer.status == 302, answer.body[:300]
        path = author.publish("Assemblée générale", f"Le 3 août, à la salle « L'Étoile » de {site.name}")
        page = lab.get(f"https://{site.domain}{path}")
        assert page.status == 200
        assert f"Étoile » de {site.name}" in html.unescape(page.body)
        # The first upload of a month makes a folder for it.
        upload = lab.get(f"https://{site.domain}{author.upload('statuts.txt', f'Statuts de {site.name}')}")
        assert (upload.status, upload.body) == (200, f"Statuts de {site.name}")


def test_awkward_values_arrive_byte_for_byte(lab: Any) -> None:
    with extra_site(lab, "awkward", 59001, options={"title": AWKWARD}) as (_, site):
        assert make_title(visit(lab, site).ask("/").body).rstrip() == AWKWARD
        assert visit(lab, site).log_in("wrong").status == 200
        assert visit(lab, site).log_in(ODD_PASSWORD).status == 302
        assert lab.ssh(site.host, ["sh", "-c", "ls /tmp/pwned 2>&1; true"]).count("No such file")


def test_the_domain_follows_the_request_and_the_title_does_not(lab: Any) -> None:
    from tests.live.sites_tools import add_sites, apply, make_site

    with extra_site(lab, "moves", 59002, options={"title": "Avant"}) as (_, site):
        moved = make_site(site, "moves", 59002, domain="ailleurs.example", options={"title": "Après"})
        apply(add_sites(lab.context(), moved))
        page = visit(lab, moved).ask("/")
        assert page.status == 200
        assert make_title(page.body) == "Avant"
        assert "https://ailleurs.example/" in page.body
        assert "moves.example" not in page.body
        assert visit(lab, site).ask("/").status == 0


def test_logins_are_throttled_by_client(lab: Any) -> None:
    with extra_site(lab, "throttled", 59003) as (_, site):
        visitor = visit(lab, site)
        statuses = [visitor.log_in(f"guess-{number}").status for number in range(12)]
        # Six at once, then one each six seconds, however fast this machine tries.
        assert statuses[:6] == [200] * 6
        assert 429 in statuses
        assert visitor.ask("/").status == 200


def test_the_login_link_works_once(lab: Any) -> None:
    with extra_site(lab, "linked", 59004) as (context, site):
        link = run_login_link(context, site)
        assert link.startswith(f"https://{site.domain}/wp-login.php?action=rp&key=")
        visitor = visit(lab, site)
        visitor.ask(link.partition(site.domain)[2])
        form = visitor.ask("/wp-login.php?action=rp")
        key = re.search(r'name="rp_key" value="([^"]+)"', form.body)
        assert key, form.body[:500]
        chosen = {"pass1": "un mot de passe choisi", "pass2": "un mot de passe choisi", "rp_key": key[1]}
        assert visitor.ask("/wp-login.php?action=resetpass", chosen).status == 200
        assert visit(lab, site).log_in("un mot de passe choisi").status == 302
        again = visit(lab, site).ask(link.partition(site.domain)[2])
        late = visit(lab, site).ask("/wp-login.php?action=rp")
        assert "rp_key" not in again.body + late.body


@pytest.mark.parametrize(
    ("policy", "themes", "plugins"), [("closed", False, False), ("themes", True, False), ("open", True, True)]
)
def test_administrators_install_what_the_policy_says(lab: Any, policy: str, themes: bool, plugins: bool) -> None:
    code = """
    require '/usr/share/wordpress/wp-load.php';
    wp_set_current_user(get_user_by('login', 'administration')->ID);
    $able = [];
    foreach (['install_themes', 'install_plugins', 'edit_plugins', 'edit_themes', 'update_core'] as $capability) {
        $able[$capability] = current_user_can($capability);
    }
    foreach (['themes', 'plugins', 'uploads', ''] as $folder) {
        $able["write $folder"] = @file_put_contents(WP_CONTENT_DIR . "/$folder/probe.txt", 'x') === 1;
    }
    echo json_encode($able);
    """
    with extra_site(lab, f"policy-{policy}", 59005, options={"administration": policy}) as (_, site):
        assert run_php(lab, site, code) == {
            "install_themes": themes,
            "install_plugins": plugins,
            "edit_plugins": False,
            "edit_themes": False,
            "update_core": False,
            "write themes": themes,
            "write plugins": plugins,
            "write uploads": True,
            "write ": policy == "open",
        }


def test_uploads_are_served_and_never_run(lab: Any) -> None:
    with extra_site(lab, "uploads", 59006) as (_, site):
        code = """
        chdir("$data/wp-content/uploads");
        file_put_contents('page.txt', 'bonjour');
        file_put_contents('shell.php', '<?php echo 6*7;');
        file_put_contents('.secret', 'x');
        symlink("$data/wp-content/uploads/page.txt", "$data/wp-content/uploads/own.txt");
        echo json_encode(file_exists('own.txt'));
        """
        assert run_php(lab, site, code, site.path) is True
        # PHP may not even make this one; an archive unpacked by a plugin could bring it.
        stolen = f"{site.path}/wp-content/uploads/stolen.txt"
        lab.ssh(site.host, ["ln", "-s", "/etc/passwd", stolen])
        lab.ssh(site.host, ["chown", "-h", site.name, stolen])
        visitor = visit(lab, site)
        assert visitor.ask("/wp-content/uploads/page.txt").body == "bonjour"
        assert visitor.ask("/wp-content/uploads/own.txt").body == "bonjour"
        assert visitor.ask("/wp-content/uploads/stolen.txt").status == 403
        assert visitor.ask("/wp-content/uploads/shell.php").status == 403
        assert visitor.ask("/wp-content/uploads/.secret").status == 403


def test_mail_is_refused_honestly(lab: Any) -> None:
    code = """
    require '/usr/share/wordpress/wp-load.php';
    $reasons = [];
    add_action('wp_mail_failed', function ($error) use (&$reasons) { $reasons[] = $error->get_error_code(); });
    $sent = wp_mail('someone@nowhere.example', 'x', 'y');
    echo json_encode([$sent, $reasons]);
    """
    assert run_php(lab, wordpress_sites(lab)[0], code) == [False, ["socle_no_mail"]]


def test_due_tasks_run_by_the_timer(lab: Any) -> None:
    site = wordpress_sites(lab)[0]
    plan = """
    require '/usr/share/wordpress/wp-load.php';
    wp_schedule_single_event(time() - 1, 'publish_future_post', [$data]);
    echo json_encode(wp_next_scheduled('publish_future_post', [$data]) !== false);
    """
    pending = """
    require '/usr/share/wordpress/wp-load.php';
    echo json_encode(wp_next_scheduled('publish_future_post', [$data]) !== false);
    """
    assert run_php(lab, site, plan, 999999) is True
    lab.ssh(site.host, ["systemctl", "start", "socle-wordpress-cron.service"])
    assert not any(run_php(lab, site, pending, 999999) for _ in range(5)) or not run_php(lab, site, pending, 999999)
    timer = lab.ssh(site.host, ["systemctl", "show", "socle-wordpress-cron.timer", "--property=ActiveState"])
    assert timer.strip() == "ActiveState=active"


def test_secrets_are_nowhere_but_in_their_files(lab: Any) -> None:
    with extra_site(lab, "canary", 59007) as (_, site):
        places = ["/etc", "/var/lib/socle", "/var/log", "/run", "/usr/share/socle", "/usr/lib/socle", "/srv"]
        canary = f"CANARY-7f3a-{site.name}"
        found = lab.ssh(site.host, ["grep", "-rlsF", "--devices=skip", canary, *places], check=False)
        assert found.split() == [f"/etc/wordpress/config-{site.name}.php"]
        journal = lab.ssh(site.host, ["journalctl", "--no-pager"])
        assert canary not in journal
        assert json.dumps(ODD_PASSWORD)[1:-1] not in journal
