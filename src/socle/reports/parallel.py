"""Asking several things at once, each with a limit of time: what does not answer holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from queue import Empty, SimpleQueue
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def run_parallel(jobs: Mapping[K, Callable[[], T]], seconds: float, workers: int = 16) -> dict[K, T | Exception]:
    """What each job gave, or why it gave nothing: its own error, or TimeoutError after `seconds`.

    Threads that are still waiting then are left behind: they end with the process, which waits for none of them
    (a pool of concurrent.futures would).
    """
    todo: SimpleQueue[K] = SimpleQueue()
    done: SimpleQueue[tuple[K, T | Exception]] = SimpleQueue()
    for key in jobs:
        todo.put(key)

    def work() -> None:
        while True:
            try:
                key = todo.get_nowait()
            except Empty:
                return
            try:
                done.put((key, jobs[key]()))
            except Exception as error:
                done.put((key, error))

    deadline = time.monotonic() + seconds
    for _ in range(min(workers, len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    found: dict[K, T | Exception] = {}
    while len(found) < len(jobs):
        try:
            key, value = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        found[key] = value
    late = TimeoutError(f"no answer within {seconds:.1f} s")
    return {key: found.get(key, late) for key in jobs}
