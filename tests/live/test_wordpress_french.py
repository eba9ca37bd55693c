"""What visitors of a site read is in French, also what WordPress and its theme say by themselves."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest

from socle.model.plan import Site
from tests.live.french_tools import THEME, English, find_english, load_strings, make_english, make_said
from tests.live.sites_tools import Browser, extra_site, run_php, visit, wordpress_sites

# What is French as well.
SAME = frozenset({"Archives", "%s Archives", "JSON", "Menu", "Navigation", "Page %s", "Pages", "Pagination", "Site %d"})
SAME |= {"oEmbed (JSON)", "oEmbed (XML)"}
_WRITE = """
require '/usr/share/wordpress/wp-load.php';
$text = '<!-- wp:paragraph --><p>Rendez-vous au bord de l’eau.</p><!-- /wp:paragraph -->';
$publish = static fn (array $more) => wp_insert_post($more + ['post_status' => 'publish', 'post_author' => 1,
    'post_content' => $text, 'comment_status' => 'open']);
$made = [
    'before' => $publish(['post_title' => 'Avant la fête', 'post_date' => '2024-02-03 10:00:00']),
    'post' => $publish(['post_title' => 'Fête du lac', 'post_date' => '2024-03-03 10:00:00', 'tags_input' => ['rame']]),
    'after' => $publish(['post_title' => 'Après la fête', 'post_date' => '2024-04-03 10:00:00']),
    'closed' => $publish(['post_title' => 'Réservé', 'post_date' => '2024-05-03 10:00:00', 'post_password' => 'rame']),
    'page' => $publish(['post_title' => 'Nous trouver', 'post_type' => 'page']),
];
$say = static fn (array $more) => wp_insert_comment($more + ['comment_post_ID' => $made['post'],
    'comment_author' => 'Zoé', 'comment_author_email' => 'zoe@nowhere.example', 'comment_approved' => 1,
    'comment_author_url' => 'https://zoe.example', 'comment_date' => '2024-03-04 10:00:00']);
$say(['comment_content' => 'Bravo', 'comment_parent' => $say(['comment_content' => 'Merci'])]);
$tag = get_term_by('name', 'rame', 'post_tag');
echo json_encode([
    'ids' => array_values($made),
    'tag' => $tag->term_id,
    'pages' => array_map('wp_make_link_relative', [
        ...array_map('get_permalink', array_values($made)),
        get_term_link($tag),
        get_category_link((int) get_option('default_category')),
        get_author_posts_url(1),
        get_year_link(2024),
        get_month_link(2024, 3),
        get_day_link(2024, 3, 3),
        get_permalink((int) get_option('page_for_posts')),
    ]),
]);
"""
_UNWRITE = """
require '/usr/share/wordpress/wp-load.php';
foreach ($data['ids'] as $id) {
    wp_delete_post($id, true);
}
wp_delete_term($data['tag'], 'post_tag');
echo 'true';
"""
_UNTRANSLATED = """
require '/usr/share/wordpress/wp-load.php';
$say = static fn (string $text, string $context) => $context === ''
    ? translate($text, 'twentytwentyfive') : translate_with_gettext_context($text, $context, 'twentytwentyfive');
echo json_encode(array_values(array_filter($data, static fn ($said) => $say(...$said) === $said[0])));
"""
_SAY = re.compile(
    r"\b(?:__|_x|esc_(?:html|attr)(?:__|_e|_x))\(\s*'((?:[^'\\]|\\.)*)'"
    r"(?:\s*,\s*'((?:[^'\\]|\\.)*)')?\s*,\s*'twentytwentyfive'"
)
NAMES = frozenset({"Twenty Twenty-Five", "Fleurs"})


@pytest.fixture(scope="module")
def english(built: Any) -> English:
    """What WordPress and its theme say in English."""
    said = load_strings(built, wordpress_sites(built)[0].host)
    assert sum(map(len, said.values())) > 3000
    return make_english({text for texts in said.values() for text in texts} - SAME)


@pytest.fixture
def written(lab: Any) -> Iterator[tuple[Site, list[str]]]:
    """A site with posts, a page and comments, and the addresses of all kinds of pages that come with them."""
    site = wordpress_sites(lab)[0]
    made = run_php(lab, site, _WRITE)
    try:
        yield site, made["pages"]
    finally:
        run_php(lab, site, _UNWRITE, made)


def test_english_is_recognised() -> None:
    said = [
        "Page not found",
        "Designed with %s",
        r"it doesn\'t",
        "%s",
        "No <b>Comment</b> on %s",
        "in",
        "at %s",
        "%s Comment",
    ]
    page = """<a title="Page not found">où</a><p>Designed with <b>W</b></p><img alt="it doesn't"><i> in </i>
        <input type="submit" value="No Comment on that"><script>Page not found</script><b>indigo</b> at"""
    page += "<p>Commentaire</p>"
    found = ["Page not found", "Designed with", "it doesn't", "in", "No Comment on that"]
    assert find_english(page, make_english(said)) == found


def test_visitors_read_french_on_every_kind_of_page(
    lab: Any, english: English, written: tuple[Site, list[str]]
) -> None:
    site, pages = written
    browser = Browser(lab, site)
    asked = {"/": 200, "/?s=introuvable": 200, "/?s=lac": 200, "/nulle-part/": 404, **dict.fromkeys(pages, 200)}
    said = set()
    for path, status in asked.items():
        answer = browser.ask(path)
        assert answer.status == status, path
        assert find_english(answer.body, english) == [], path
        assert 'href="#"' not in answer.body, f"{path}: a link that leads nowhere"
        assert "Aller au contenu" in html.unescape(answer.body), f"{path}: what a script says first"
        said |= set(make_said(answer.body))
    expected = {
        "Ouvrir le menu",
        "Page introuvable",
        "Actualités",
        "Écrit par",
        "Non classé",
        "Commentaires",
    }
    expected |= {"3 mars 2024", "Résultats de la recherche : « introuvable »"}
    assert expected <= said, expected - said


def test_those_who_sign_in_read_french(lab: Any, english: English) -> None:
    browser = Browser(lab, wordpress_sites(lab)[0])
    pages = [browser.ask(f"/wp-login.php{query}") for query in ("", "?action=lostpassword", "?checkemail=confirm")]
    pages += [browser.log_in("wrong"), browser.ask("/wp-comments-post.php", ("data", "comment_post_ID=0"))]
    for page in pages:
        assert find_english(page.body, english) == []
    assert "Identifiant ou adresse e-mail" in pages[0].body
    assert "le mot de passe saisi pour l’identifiant" in html.unescape(pages[3].body)


def test_each_site_opens_with_a_page_in_french(lab: Any, english: English) -> None:
    for site in wordpress_sites(lab):
        page = lab.get(f"https://{site.domain}/")
        assert find_english(page.body, english) == [], site.name
        assert {"Accueil", "Actualités", "Conçu avec"} <= set(make_said(page.body)), site.name


def load_template_strings(lab: Any, host: str) -> list[tuple[str, str]]:
    """The words, with their context, of the theme's patterns that its templates and their parts show."""
    read = lab.ssh(host, ["sh", "-c", f"cd {THEME} && head -n -0 -v templates/*.html parts/*.html patterns/*.php"])
    files = dict(re.findall(r"^==> (\S+) <==\n(.*?)(?=^==> |\Z)", read, re.DOTALL | re.MULTILINE))
    waiting = [name for name in files if not name.startswith("patterns/")]
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        used.add(name)
        named = (f"patterns/{slug}.php" for slug in re.findall(r'"slug":"twentytwentyfive/([^"]+)"', files[name]))
        waiting += [pattern for pattern in named if pattern not in used]
    said = {found.groups("") for name in used for found in _SAY.finditer(files[name])}
    return sorted((text.replace("\\'", "'"), context) for text, context in said)


def test_every_word_of_the_themes_templates_is_translated(lab: Any) -> None:
    site = wordpress_sites(lab)[0]
    said = load_template_strings(lab, site.host)
    assert len(said) > 25
    missing = [text for text, _ in run_php(lab, site, _UNTRANSLATED, said) if text not in NAMES]
    assert missing == []


@pytest.mark.acceptance
def test_what_an_association_makes_its_own_stays_so(lab: Any) -> None:
    code = """
    require '/usr/share/wordpress/wp-load.php';
    $part = wp_insert_post(['post_type' => 'wp_template_part', 'post_status' => 'publish', 'post_name' => 'footer',
        'post_title' => 'Footer', 'post_content' => '<!-- wp:paragraph --><p>Pied à nous</p><!-- /wp:paragraph -->']);
    wp_set_object_terms($part, 'twentytwentyfive', 'wp_theme');
    wp_set_object_terms($part, 'footer', 'wp_template_part_area');
    echo json_encode($part > 0);
    """
    with extra_site(lab, "own-words", 59008) as (_, site):
        visitor = visit(lab, site)
        assert "Conçu avec" in visitor.ask("/").body
        assert run_php(lab, site, code) is True
        assert "Pied à nous" in visitor.ask("/").body
        assert "Conçu avec" not in visitor.ask("/").body
        # A translation that WordPress brought with a theme's update comes before ours.
        folder = f"{site.path}/wp-content/languages/themes"
        own = "<?php return ['messages' => ['More posts' => 'La suite du journal']];"
        lab.ssh(site.host, ["mkdir", "-p", folder])
        lab.ssh(site.host, ["tee", f"{folder}/twentytwentyfive-fr_FR.l10n.php"], stdin=own.encode())
        lab.ssh(site.host, ["chown", "-R", site.name, folder])
        assert "La suite du journal" in visitor.ask("/?s=rien").body
