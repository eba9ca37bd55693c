"""Runs on a host: has PHP of each site's own pool look at all sites, and reads what the kernel says of each.

Code goes to the pool as a hacked site would send it to itself: as FastCGI parameters that lift open_basedir, which
is no wall (the site's user may send the same), and run the request's body. The worker that took them is told to end
after this request, so that no page is ever served without it.
"""

import json
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PARALLEL = 4
LARGEST = 65535
BEGIN, END, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
LAST = "posix_kill(getmypid(), 3);\n"  # SIGQUIT: php-fpm(8) ends it gracefully


def record(kind: int, content: bytes) -> bytes:
    """FastCGI specification 1.0, section 3.3."""
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def stream(kind: int, content: bytes) -> bytes:
    cuts = range(0, len(content), LARGEST)
    return b"".join(record(kind, content[cut : cut + LARGEST]) for cut in cuts) + record(kind, b"")


def pairs(parameters: Mapping[str, str]) -> bytes:
    """Section 3.4."""
    texts = ((name.encode(), value.encode()) for name, value in parameters.items())
    return b"".join(struct.pack("!II", len(a) | 1 << 31, len(b) | 1 << 31) + a + b for a, b in texts)


def make_request(script: str, body: bytes) -> bytes:
    parameters = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_FILENAME": script,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/octet-stream",
        "CONTENT_LENGTH": str(len(body)),
        "PHP_VALUE": "auto_prepend_file=php://input\nerror_log=/dev/null",
        "PHP_ADMIN_VALUE": "open_basedir=/\nallow_url_include=1\nlog_errors=0",
    }
    return record(BEGIN, struct.pack("!HB5x", 1, 0)) + stream(PARAMS, pairs(parameters)) + stream(STDIN, body)


def read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise OSError("the pool closed the connection")
        data += chunk
    return data


def ask_pool(path: str, script: str, body: bytes) -> str:
    """What PHP printed."""
    output = {STDOUT: b"", STDERR: b""}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(45)
        connection.connect(path)
        connection.sendall(make_request(script, body))
        kind = 0
        while kind != END:
            _, kind, _, length, padding = struct.unpack("!BBHHBx", read_exactly(connection, 8))
            content = read_exactly(connection, length + padding)[:length]
            output[kind] = output.get(kind, b"") + content
    _, _, text = output[STDOUT].partition(b"\r\n\r\n")
    return text.decode("utf-8", "replace") or output[STDERR].decode("utf-8", "replace")


def load_pids(units: Sequence[str]) -> dict[str, int]:
    command = ["systemctl", "show", "--property=Id,MainPID", "--", *units]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n")]
    return {block.get("Id", ""): int(block.get("MainPID", 0)) for block in blocks}


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def place(path: str) -> str:
    try:
        info = os.stat(path)  # noqa: PTH116 (as quick as it is short)
        return f"{info.st_dev}:{info.st_ino}"
    except OSError:
        return ""


def load_groups(pid: int) -> dict[str, str]:
    """Folders of a process's control groups, of version 2 or 1: cgroups(7)."""
    lines = [line.split(":", 2) for line in read(f"/proc/{pid}/cgroup").splitlines()]
    unified = next((path for _, names, path in lines if not names), "")
    found = dict.fromkeys(("memory", "pids"), f"/sys/fs/cgroup{unified}")
    for _, names, path in lines:
        for name in names.split(","):
            if name in found:
                found[name] = f"/sys/fs/cgroup/{name}{path}"
    return found


def load_status(pid: int) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\s*(.*)$", read(f"/proc/{pid}/status"), re.MULTILINE))


def load_kernel(pid: int) -> dict[str, Any]:
    """What the kernel says of a process: never what a unit file asked for."""
    status = load_status(pid)
    groups = load_groups(pid)
    spaces = [name for name in ("mnt", "ipc") if place(f"/proc/{pid}/ns/{name}") == place(f"/proc/1/ns/{name}")]
    return {
        "uid": status.get("Uid", "").split()[:1],
        # Containers have a filter of their own: only what a process has beside it is its unit's.
        "filters": int(status.get("Seccomp_filters", 0)) - int(load_status(1).get("Seccomp_filters", 0)),
        "no_new_privileges": status.get("NoNewPrivs"),
        "capabilities": status.get("CapBnd"),
        "shared_namespaces": spaces,
        "memory": (read(f"{groups['memory']}/memory.max") or read(f"{groups['memory']}/memory.limit_in_bytes")).strip(),
        "processes": read(f"{groups['pids']}/pids.max").strip(),
        "tmp": place(f"/proc/{pid}/root/tmp"),
    }


def look(given: dict[str, Any], site: dict[str, Any], pids: Mapping[str, int]) -> dict[str, Any]:
    pid = pids.get(site["unit"], 0)
    if not pid:
        return {"error": f"{site['unit']} does not run"}
    others = [one for one in given["sites"] if one["name"] != site["name"]]
    known = [{**one, "pid": pids.get(one["unit"], 0)} for one in (site, *others)]
    data = {"own": known[0], "others": {one["name"]: one for one in known[1:]}, "elsewhere": given["elsewhere"]}
    # JSON holds no line break, so nothing in it ends the text.
    values = f"$data = json_decode(<<<'SOCLE'\n{json.dumps(data)}\nSOCLE, true);\n"
    login = f"$login = (static function () {{ {site['login'] or 'return null;'} }})();\n"
    body = ("<?php\n" + LAST + values + login + given["code"]).encode()
    try:
        text = ask_pool(site["socket"], site["script"], body)
    except OSError as error:
        return {"error": f"{site['socket']}: {error.strerror or error}"}
    try:
        return {"php": json.loads(text), "kernel": load_kernel(pid)}
    except ValueError:
        return {"error": f"PHP said: {text.strip()[-300:]}"}


def main() -> None:
    given = json.load(sys.stdin)
    pids = load_pids([site["unit"] for site in given["sites"]])
    asked = [site for site in given["sites"] if site["socket"]]
    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = pool.map(lambda site: look(given, site, pids), asked)
        found = {site["name"]: answer for site, answer in zip(asked, answers, strict=True)}
    sys.stdout.write(json.dumps({"sites": found, "tmp": place("/tmp")}))  # noqa: S108 (looked at, not used)


main()
