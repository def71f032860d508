"""Progress bars on stderr, so that stdout stays data."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Protocol

from tqdm import tqdm

__all__ = ["Tell", "progress_bar"]

_TERMINAL_SECONDS, _LOG_SECONDS = 0.2, 10.0  # between two updates; a log is not flooded


class Tell(Protocol):
    """Hears how far the work is."""

    def __call__(self, done: int, total: int | None, note: str = "") -> None:
        """Take note of `done` of `total`; None where nobody has counted."""
        ...


@contextlib.contextmanager
def progress_bar(label: str, unit: str) -> Iterator[Tell]:
    """Give a function to be told how far the work is; the bar appears with its first call."""
    bar: tqdm[Any] | None = None
    interval = _TERMINAL_SECONDS if sys.stderr.isatty() else _LOG_SECONDS

    def tell(done: int, total: int | None, note: str = "") -> None:
        nonlocal bar
        if bar is None:
            # `initial` keeps what an earlier run had done out of the estimate of the time left.
            bar = tqdm(
                desc=label,
                total=total,
                initial=done,
                unit=unit,
                mininterval=interval,
                file=sys.stderr,
            )
        if bar.total != total:  # the next part of the work, counted anew
            bar.reset(total)
        bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)

    try:
        yield tell
    finally:
        if bar is not None:
            bar.close()
