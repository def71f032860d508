"""A queue of bounded weight between two threads, that can end, fail or be closed."""

import collections
import threading
from typing import Generic, TypeVar

__all__ = ["Pipe", "PipeClosedError"]

Item = TypeVar("Item")


class PipeClosedError(Exception):
    """The pipe was closed while a thread waited at it."""


class Pipe(Generic[Item]):
    """A queue of bounded weight between two threads, that can end, fail or be closed."""

    def __init__(self, most: float) -> None:
        self._most, self._weight = most, 0.0
        self._items: collections.deque[tuple[Item, float]] = collections.deque()
        self._change = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def put(self, item: Item, weight: float = 1.0, patience: float | None = None) -> bool:
        """Add an item once there is room; False where there was none for `patience` seconds."""
        with self._change:
            # Something heavier than the pipe holds passes alone.
            free = self._change.wait_for(
                lambda: (
                    self._closed
                    or self._error is not None
                    or not self._items
                    or self._weight + weight <= self._most
                ),
                patience,
            )
            if self._error is not None:
                raise self._error
            if self._closed:
                raise PipeClosedError
            if free:
                self._items.append((item, weight))
                self._weight += weight
                self._change.notify_all()
            return free

    def get(self, patience: float | None = None) -> Item | None:
        """Return the next item; None at the end, or after `patience` seconds without one."""
        with self._change:
            self._change.wait_for(
                lambda: self._items or self._ended or self._closed or self._error is not None,
                patience,
            )
            if self._closed:
                raise PipeClosedError
            if self._items:
                item, weight = self._items.popleft()
                self._weight -= weight
                self._change.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return None

    def over(self) -> bool:
        """Whether nothing will come any more."""
        with self._change:
            return self._closed or (self._ended and not self._items)

    def __len__(self) -> int:
        """Return the number of items that wait."""
        with self._change:
            return len(self._items)

    def end(self) -> None:
        """Say that nothing more will be put."""
        with self._change:
            self._ended = True
            self._change.notify_all()

    def fail(self, error: BaseException) -> None:
        """Let an error be raised at both ends, at the reader's after what is left."""
        with self._change:
            self._error = error
            self._change.notify_all()

    def close(self) -> None:
        """Drop what is left; whoever waits is told."""
        with self._change:
            self._closed = True
            self._items.clear()
            self._change.notify_all()
