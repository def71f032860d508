"""Opens the sitters' packs: shape targets from `head.npz`, textures and hair from `looks.npz`."""

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.weights import weight_path

__all__ = ["image", "looks", "shape_targets"]

FloatArray = npt.NDArray[np.float32]
_PART = "obverse.generator.sitters"


@functools.cache
def looks() -> Any:
    """Open `looks.npz`; members are read when asked for."""
    return np.load(weight_path(_PART, "looks.npz"), allow_pickle=False)


@functools.cache
def image(name: str) -> npt.NDArray[np.uint8]:
    """Decode an image of the pack: grey, RGB or RGBA uint8."""
    decoded = cv2.imdecode(looks()[name], cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise ConfigError(f"the sitters' pack has no image {name!r}; rebuild it.")
    if decoded.ndim == 3:
        decoded = decoded[..., [2, 1, 0, 3][: decoded.shape[2]]]
    return np.ascontiguousarray(decoded)


@functools.cache
def shape_targets() -> tuple[FloatArray, FloatArray, FloatArray, tuple[str, ...]]:
    """Return base [V, 3], macro targets [M, V, 3], slider targets [S, 2, V, 3] and the sliders'
    names."""
    with np.load(weight_path(_PART, "head.npz"), allow_pickle=False) as archive:
        names = tuple(str(name) for name in archive["slider_names"])
        macros = archive["macros"].astype(np.float32) * archive["macros_scale"][:, None, None]
        sliders = archive["sliders"].astype(np.float32) * archive["sliders_scale"][:, None, None]
        base = archive["base"]
    return base, macros, sliders.reshape(len(names), 2, *sliders.shape[1:]), names
