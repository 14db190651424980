"""Work done on several threads, its results in order, with few of them waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` for each item, in order, computed on several threads.

    Memory stays flat however many items there are. Closing the generator cancels what waits.

    Args:
        threads: how many, 1 or more.
        ahead: at most so many items have been begun and not been yielded, 1 or more.

    Raises:
        Whatever ``work`` or ``items`` raises.

    Example:
        >>> list(in_order(abs, [-1, 2, -3], threads=2, ahead=2))
        [1, 2, 3]
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=work.__name__)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
