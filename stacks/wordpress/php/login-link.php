<?php
// Prints a one-time link with which the administrator chooses a password: WordPress's own reset key, which
// expires after a day and works once. Run by /usr/lib/socle/wordpress through the site's own pool.

require '/usr/share/wordpress/wp-load.php';

$user = get_user_by('login', 'administration');
$key = $user ? get_password_reset_key($user) : new WP_Error('none', 'there is no user named administration');
if (is_wp_error($key)) {
    http_response_code(500);
    exit($key->get_error_message());
}
echo network_site_url(
    'wp-login.php?action=rp&key=' . rawurlencode($key) . '&login=' . rawurlencode($user->user_login),
    'login'
);
