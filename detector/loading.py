"""Batches made ahead by threads, in an order that does not depend on how fast they are."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

Item = TypeVar("Item")


def ahead(make: Callable[[int], Iterator[Item]], loaders: int) -> Generator[Item, None, None]:
    """Yield in turn from `loaders` endless iterators, each run ahead by a thread of its own.

    Close the generator to end the threads.

    Args:
        make: opens the iterator of a number from 0 on.
        loaders: how many; with 0, iterator 0 is run when it is asked.
    """
    if loaders == 0:
        yield from make(0)
        return
    iterators = [make(number) for number in range(loaders)]
    with ThreadPoolExecutor(loaders) as pool:
        waiting = [pool.submit(next, iterator) for iterator in iterators]
        while True:
            for number, iterator in enumerate(iterators):
                item = waiting[number].result()
                waiting[number] = pool.submit(next, iterator)
                yield item
