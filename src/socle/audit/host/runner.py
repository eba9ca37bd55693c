"""Runs on a host: a batch of commands per line of standard input, their answers on a line of standard output. Each
line has the number of its batch: whatever else writes on the connection is taken for no answer.

Nothing is left behind: the program comes by the command line, and ends with the connection. What a command says may
come from an attacker, so it is bounded, in time and in length.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

PARALLEL = 4
LARGEST = 1 << 22
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}


class Output(threading.Thread):
    """Reads a stream to its end; ends the command when it says too much."""

    def __init__(self, stream: IO[bytes], process: "subprocess.Popen[bytes]") -> None:
        super().__init__(daemon=True)
        self.data, self.endless = b"", False
        self._stream, self._process = stream, process
        self.start()

    def run(self) -> None:
        while chunk := self._stream.read1(1 << 16):  # type: ignore[attr-defined]
            self.data += chunk
            if len(self.data) > LARGEST:
                self.endless = True
                end(self._process)
                return

    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a command and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run(ask: list[Any]) -> list[Any]:
    """[command, stdin, seconds] to [code, output, errors]."""
    command, stdin, seconds = ask
    pipe = subprocess.PIPE
    shell = ["/bin/sh", "-c", command]
    process = subprocess.Popen(
        shell, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT, cwd="/", start_new_session=True
    )
    late = threading.Event()

    def stop() -> None:
        late.set()
        end(process)

    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        output, errors = (Output(stream, process) for stream in (process.stdout, process.stderr) if stream)
        with contextlib.suppress(BrokenPipeError):
            if process.stdin:
                process.stdin.write(stdin.encode())
                process.stdin.close()
        output.join()
        errors.join()
        code = process.wait()
    finally:
        timer.cancel()
    if late.is_set():
        return [124, "", f"it did not end within {seconds:g} s"]
    if output.endless or errors.endless:
        return [125, "", f"it said more than {LARGEST} bytes"]
    return [code, output.text(), errors.text()]


def main() -> None:
    """Until standard input ends."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        for line in sys.stdin:
            number, asks = json.loads(line)
            sys.stdout.write(json.dumps([number, list(pool.map(run, asks))]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
