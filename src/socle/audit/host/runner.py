"""Runs on a host: a batch of commands per line of standard input, their answers on a line of standard output.

Nothing is left behind: the program comes by the command line, and ends with the connection.
"""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PARALLEL = 4
LARGEST = 1 << 22
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}


def run(ask: list[Any]) -> list[Any]:
    """[command, stdin, seconds] to [code, output, errors]."""
    command, stdin, seconds = ask
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(stdin.encode(), timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        code, output, errors = 124, b"", f"it did not end within {seconds:g} s".encode()
    return [code, *(text[:LARGEST].decode("utf-8", "replace") for text in (output, errors))]


def main() -> None:
    """Until standard input ends."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(list(pool.map(run, json.loads(line)))) + "\n")
            sys.stdout.flush()


main()
