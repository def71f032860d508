"""Batches come in one order, however fast each thread is."""

import contextlib
import threading
import time
from collections.abc import Iterator

from obverse.detector.loading import ahead


def counting(number: int) -> Iterator[tuple[int, int]]:
    at = 0
    while True:
        time.sleep(0.002 * (number % 2))
        yield number, at
        at += 1


def test_items_come_in_turn() -> None:
    with contextlib.closing(ahead(counting, 3)) as items:
        found = [next(items) for _ in range(7)]
    assert found == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2)]
    with contextlib.closing(ahead(counting, 0)) as items:
        assert [next(items) for _ in range(3)] == [(0, 0), (0, 1), (0, 2)]


def test_threads_end_with_the_generator() -> None:
    before = threading.active_count()
    with contextlib.closing(ahead(counting, 4)) as items:
        next(items)
        assert threading.active_count() > before
    assert threading.active_count() == before
