<?php
/*
Plugin Name: socle
Description: Ce que le syndicat garantit sur ce site : droits d'installation, mises à jour, courriel.
*/

defined('ABSPATH') || exit;

// The association's name is shown as registered, without typographic replacement.
add_action('init', static function (): void {
    foreach (['bloginfo', 'document_title'] as $hook) {
        remove_filter($hook, 'wptexturize');
    }
});

// There is no relay for mail yet: WordPress is told so, instead of being told that mail left.
add_filter('pre_wp_mail', static function ($sent, array $mail) {
    $reason = new WP_Error('socle_no_mail', 'Ce site ne peut pas encore envoyer de courriel.', $mail);
    do_action('wp_mail_failed', $reason);
    return false;
}, 10, 2);

// What may be installed, by the declared policy. Core and code are never changed from here.
add_filter('map_meta_cap', static function (array $needed, string $capability): array {
    $never = ['update_core', 'edit_plugins', 'edit_themes', 'edit_files'];
    $plugins = ['install_plugins', 'upload_plugins', 'update_plugins', 'delete_plugins'];
    $refused = SOCLE_ADMINISTRATION === 'open' ? $never : [...$never, ...$plugins];
    return in_array($capability, $refused, true) ? ['do_not_allow'] : $needed;
}, 10, 2);

// What an association installs is kept up to date by itself.
add_filter('auto_update_theme', static fn () => SOCLE_ADMINISTRATION !== 'closed');
add_filter('auto_update_plugin', static fn () => SOCLE_ADMINISTRATION === 'open');
add_filter('auto_update_core', '__return_false');
add_filter('xmlrpc_enabled', '__return_false');

// Debian updates WordPress: no invitation that would lead nowhere.
add_action('admin_init', static function (): void {
    remove_action('admin_notices', 'update_nag', 3);
    remove_action('network_admin_notices', 'update_nag', 3);
});
