"""How the drawing loops are compiled: cached on disk, without the GIL, with fast arithmetic."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled", "inlined"]

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile a loop over arrays."""
    return cast(Kernel, numba.njit(cache=True, nogil=True, fastmath=True)(function))


def inlined(function: Kernel) -> Kernel:
    """Compile a function into its callers, where passing many arrays for every pixel is dear."""
    return cast(
        Kernel, numba.njit(cache=True, nogil=True, fastmath=True, inline="always")(function)
    )
