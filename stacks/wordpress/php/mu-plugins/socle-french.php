<?php
/*
Plugin Name: socle, en français
Description: Complète la traduction de WordPress et de son thème, et ôte du pied de page les liens d'exemple.
*/

defined('ABSPATH') || exit;

const SOCLE_LANGUAGES = '/usr/share/socle/wordpress/languages/';

// WordPress: what Debian's translation lacks. Each time it is loaded, ours is loaded first, and is asked first.
add_action('load_textdomain', static function (string $domain, string $file): void {
    if ($domain === 'default' && $file === WP_LANG_DIR . '/fr_FR.mo') {
        load_textdomain('default', SOCLE_LANGUAGES . 'fr_FR.mo', 'fr_FR');
    }
}, 10, 2);

// The theme: ours, unless WordPress has brought the site a translation of it with an update.
add_filter('lang_dir_for_domain', static function ($folder, string $domain, string $locale) {
    $ours = $domain === 'twentytwentyfive' && $locale === 'fr_FR' && !str_starts_with((string) $folder, WP_LANG_DIR);
    return $ours ? SOCLE_LANGUAGES : $folder;
}, 10, 3);

// There is one language to sign in with; WordPress asks wordpress.org for the names of languages.
add_filter('login_display_language_dropdown', '__return_false');

// The theme's footer, before the theme registers its own under the same name.
add_action('init', static function (): void {
    if (get_template() === 'twentytwentyfive') {
        register_block_pattern('twentytwentyfive/footer', [
            'title' => 'Pied de page',
            'categories' => ['footer'],
            'blockTypes' => ['core/template-part/footer'],
            'filePath' => '/usr/share/socle/wordpress/patterns/footer.php',
        ]);
    }
}, 9);
