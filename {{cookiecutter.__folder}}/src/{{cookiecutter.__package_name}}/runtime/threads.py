"""Works on several items at the same time."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .cpu_limit import cpus

_T = TypeVar("_T")
_R = TypeVar("_R")


def parallel(
    work: Callable[[_T], _R], items: Iterable[_T], worthwhile: float = 0.1
) -> Iterator[_R]:
    """Yield ``work(item)`` for each item, in the order of the items.

    As many items as the job has CPUs are worked on at the same time, in threads: they share their
    memory, and end when the job ends. Python's own code runs in one thread at a time, so this is
    for work that libraries do in native code. The first error ends the iteration, and no further
    item is started.

    Args:
        work: A function of one item. It must not depend on the other items.
        items: The items.
        worthwhile: Seconds of CPU time. If the first item takes less, the others follow it one by
            one, because threads would lose more by taking turns than they gain. 0 is for work that
            a library does in threads of its own, such as a query of Polars.
    """
    queue = deque(items)
    threads = cpus()
    if worthwhile and queue:
        started = time.thread_time()
        first = work(queue.popleft())
        if time.thread_time() - started < worthwhile:
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
