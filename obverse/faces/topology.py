"""How the landmarks hang together: the triangles of the canonical face."""

import functools

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from obverse.weights import weight_path

__all__ = ["face_triangles"]


@functools.cache
def face_triangles() -> npt.NDArray[np.int32]:
    """Return the canonical face's triangles [898, 3] as indices of the first 468 landmarks (do not
    change them).

    They cover the eyes and the mouth as well; one whose corners all lie on an eye's or the lips'
    inner contour spans that opening.
    """
    tensors = load_file(weight_path("obverse.faces", "geometry.safetensors"))
    triangles: npt.NDArray[np.int32] = np.asarray(tensors["triangles"], np.int32).reshape(-1, 3)
    triangles.setflags(write=False)
    return triangles
