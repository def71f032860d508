"""How the drawing loops are compiled: cached on disk, without the GIL, with fast arithmetic."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled"]

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile a loop over arrays."""
    return cast(Kernel, numba.njit(cache=True, nogil=True, fastmath=True)(function))
