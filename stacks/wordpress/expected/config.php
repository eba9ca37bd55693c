<?php
// Managed by socle (stacks/wordpress). Local changes are overwritten.
// Read by Debian's wp-config.php, which finds it by the pool's WORDPRESS_CONFIG, never by the Host header.

// The installation names another database, and moves its tables here when it is complete.
defined('DB_NAME') || define('DB_NAME', 'wp_ecole');
define('DB_USER', 'wp_ecole');
define('DB_PASSWORD', 'db\'"\\${x}');
define('DB_HOST', 'localhost:/run/mysqld/mysqld.sock');
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
$table_prefix = 'wp_';

define('AUTH_KEY', '2656f4ce9d27958a94d48037254a9e540a19d6b190a34055d7f341f97f73c19b');
define('SECURE_AUTH_KEY', '7f0155b469597a98f023ea2221c88c4dcc6cbe73535993e4b90eba3d8712eb43');
define('LOGGED_IN_KEY', '48f6a3c4e65b2b90fe861f5ab2d484e7d4336963a935b1f662e92f9b647208b1');
define('NONCE_KEY', '5b7785676f2fae7102bb2a82d2eb422281171470915378a2d40152ed0a51f5c1');
define('AUTH_SALT', '28f4eb34d8c471afdd25b367d8a2c2dbc4923fd2ba0e2c8d3c6e61147769de27');
define('SECURE_AUTH_SALT', 'ff720408728da8f6ae0842290b20c48dc94208031320f03ca69fb1976f71aaed');
define('LOGGED_IN_SALT', '91d800ccd348d5008f82c6d1551779e9faf280a75677097c8e98dde6dbb80046');
define('NONCE_SALT', '6244b1e8eaff7b1d45c048dddde5573bcfa043082eaa652b69b5af56e926cdbe');

define('WP_HOME', 'https://xn--cole-9oa.example');
define('WP_SITEURL', 'https://xn--cole-9oa.example');
define('FORCE_SSL_ADMIN', true);

define('WP_CONTENT_DIR', '/srv/sites/wp-ecole/wp-content');
define('WP_CONTENT_URL', 'https://xn--cole-9oa.example/wp-content');
define('WPMU_PLUGIN_DIR', '/usr/share/socle/wordpress/mu-plugins');
define('WP_TEMP_DIR', '/tmp');
define('FS_METHOD', 'direct');
define('FS_CHMOD_DIR', 0750);
define('FS_CHMOD_FILE', 0640);

// Code comes from Debian; what the administrators may install is decided by the request.
define('SOCLE_ADMINISTRATION', 'closed');
define('DISALLOW_FILE_EDIT', true);
define('DISALLOW_FILE_MODS', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_ALLOW_MULTISITE', false);

// Tasks are started by socle-wordpress-cron.timer, not by visitors.
define('DISABLE_WP_CRON', true);
define('WP_POST_REVISIONS', 20);
define('WP_DEBUG', false);
