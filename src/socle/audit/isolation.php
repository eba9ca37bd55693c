<?php
// What PHP of one site reaches: of itself, where everything must be in reach (else the probe is blind), and of
// every other site of its host, where nothing may. Sent to the site's own pool as the body of a request; $data
// and $login come before it. It changes nothing.
error_reporting(0);
mysqli_report(MYSQLI_REPORT_OFF);
$server = mysqli_init();
$link = $login && $server->real_connect('localhost', $login[0], $login[1], null, 0, '/run/mysqld/mysqld.sock');
$names = $link ? array_column($server->query('SHOW DATABASES')->fetch_all(), 0) : [];
function look(array $site): array
{
    global $server, $link, $names;
    $reached = [];
    foreach ($site['paths'] as $path) {
        $reached["file $path"] = lstat($path) !== false;
    }
    foreach ($site['sockets'] as $path) {
        $reached["socket $path"] = (bool) stream_socket_client("unix://$path", $code, $text, 2);
    }
    if ($site['pid']) {
        $reached['process'] = is_readable("/proc/$site[pid]/cmdline");
        $reached['signal'] = posix_kill($site['pid'], 0);
    }
    if ($site['database']) {
        $reached['name of the database'] = in_array($site['database'], $names, true);
        $reached['database'] = $link && (bool) $server->query("SHOW TABLES FROM `$site[database]`");
    }
    return $reached;
}
$tmp = stat('/tmp');
echo json_encode([
    'own' => look($data['own']),
    'others' => array_map('look', $data['others']),
    'elsewhere' => array_values(array_filter($data['elsewhere'], static fn ($path) => lstat($path) !== false)),
    'tmp' => "$tmp[dev]:$tmp[ino]",
    'uid' => posix_getuid(),
    'open_basedir' => ini_get('open_basedir'),
]);
exit;
