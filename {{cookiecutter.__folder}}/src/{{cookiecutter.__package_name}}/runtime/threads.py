"""Processes several items at the same time."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .cpu_limit import cpus

_T = TypeVar("_T")
_R = TypeVar("_R")


def parallel(
    work: Callable[[_T], _R], items: Iterable[_T], min_seconds: float = 0.1
) -> Iterator[_R]:
    """Yield ``work(item)`` for each item, in the order of the items.

    As many items as the job has CPUs are processed at the same time, in threads, which share memory
    and end with the job. Python code runs in only one thread at a time, so use this for work that
    libraries do in native code. After the first error, no further item is started.

    Args:
        work: A function of one item that does not depend on other items.
        items: The items.
        min_seconds: CPU time. If the first item takes less, the others are processed one by one,
            because switching between threads would cost more than it saves. Use 0 for work that a
            library does in its own threads, such as a query of Polars.
    """
    queue = deque(items)
    threads = cpus()
    if min_seconds and queue:
        started = time.thread_time()
        first = work(queue.popleft())
        if time.thread_time() - started < min_seconds:
            threads = 1
        yield first
    if threads == 1:
        yield from map(work, queue)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        for future in [pool.submit(work, item) for item in queue]:
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
