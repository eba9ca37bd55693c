<?php
// Installs WordPress with the values on its input, in a staging database, then moves the tables.
// Run by /usr/lib/socle/wordpress through the site's own pool. Values are data: nothing is built from them.

set_error_handler(static function (int $level, string $message): bool {
    error_log($message);
    return true;
});

function socle_refuse(string $reason): never
{
    http_response_code(500);
    exit($reason);
}

set_exception_handler(static fn (Throwable $error) => socle_refuse($error->getMessage()));
$values = json_decode(file_get_contents('php://input'), true, 4, JSON_THROW_ON_ERROR);
set_time_limit(240);
define('DB_NAME', $values['staging']);
define('WP_INSTALLING', true);
// From the start: dates, and the category that all sites have, are kept as they are said now.
$wp_local_package = 'fr_FR';

// Pluggable: no sample content, no mail about it.
function wp_new_blog_notification(): void
{
}

require '/usr/share/wordpress/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';

// No loopback request to a site that is not reachable yet.
add_filter('pre_http_request', static fn () => new WP_Error('offline', 'not during installation'));
add_filter('pre_option_permalink_structure', static fn () => '/%postname%/');
$installed = wp_install(
    $values['title'],
    $values['administrator'],
    $values['administrator'] . '@' . $values['domain'],
    true,
    '',
    wp_slash($values['password']),
    'fr_FR'
);
remove_all_filters('pre_option_permalink_structure');

update_option('blogdescription', $values['tagline']);
update_option('siteurl', WP_SITEURL);
update_option('home', WP_HOME);
update_option('timezone_string', 'Europe/Paris');
update_option('default_pingback_flag', '0');
update_option('default_ping_status', 'closed');
update_option('comment_moderation', '1');
foreach (get_posts(['post_type' => ['post', 'page'], 'post_status' => 'any', 'numberposts' => -1]) as $post) {
    wp_delete_post($post->ID, true);
}
update_option('wp_page_for_privacy_policy', '0');

// What visitors read until the association writes: a home page, and a page where its news will be.
$pages = ['page_on_front' => ['Accueil', 'Bienvenue. Ce site vient d’ouvrir, ses premières informations arrivent bientôt.']];
$pages['page_for_posts'] = ['Actualités', ''];
foreach ($pages as $option => [$title, $text]) {
    $page = wp_insert_post([
        'post_type' => 'page',
        'post_status' => 'publish',
        'post_author' => $installed['user_id'],
        'post_title' => $title,
        'post_content' => $text ? "<!-- wp:paragraph -->\n<p>$text</p>\n<!-- /wp:paragraph -->" : '',
        'menu_order' => -1,
    ], true);
    if (is_wp_error($page)) {
        socle_refuse($page->get_error_message());
    }
    update_option($option, $page);
}
update_option('show_on_front', 'page');
$wp_rewrite->set_permalink_structure('/%postname%/');
// Made by the first request: categories and tags have said nothing of their addresses to this one, which began without.
delete_option('rewrite_rules');

// One statement: all tables are there, or none.
$moves = array_map(
    static fn (string $table): string => sprintf('`%1$s`.`%3$s` TO `%2$s`.`%3$s`', DB_NAME, $values['database'], $table),
    $wpdb->get_col('SHOW TABLES')
);
if ($wpdb->query('RENAME TABLE ' . implode(', ', $moves)) === false) {
    socle_refuse('the tables cannot be moved: ' . $wpdb->last_error);
}
echo 'installed';
