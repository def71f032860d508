"""The method `reenact`: a portrait and somebody's performance. The portrait does what the
performer did.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.controls import apply_edits
from obverse.generator.editing import Footage
from obverse.generator.motion import Motion
from obverse.generator.performance import PerformanceConfig
from obverse.generator.render import Renderer
from obverse.generator.speech import Speech

__all__ = ["fitted_to", "reenact"]


def reenact(
    renderer: Renderer,
    speech: Speech,
    *,
    seed: int,
    controls: PerformanceConfig,
    driving: Motion | None = None,
    pose: Motion | None = None,
    expression: Motion | None = None,
    footage: Footage | None = None,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield frames of the portrait performing `driving`, as long as `speech`, which is only heard.

    `controls` were the performer's and are not applied again; there is nothing to draw by `seed`.
    With a pose the head follows that one instead, with an expression the face but for the mouth.

    Raises:
        ConfigError: there is no performance to follow.
    """
    del seed, controls, footage
    if driving is None:
        raise ConfigError(
            "the method 'reenact' follows a performance; give one, or choose the method 'talk'."
        )
    edits = PerformanceConfig().tracks(speech.frames, pose=pose, expression=expression)
    return renderer.frames(apply_edits(fitted_to(driving, speech.frames), edits))


def fitted_to(motion: Motion, frames: int) -> Motion:
    """Cut a performance to `frames` frames, or hold its last one.

    Raises:
        ConfigError: the performance has no frames.
    """
    if not len(motion):
        raise ConfigError("the driving performance has no frames; give one with at least one.")
    index = np.minimum(np.arange(frames), len(motion) - 1)
    return Motion(
        **{field.name: getattr(motion, field.name)[index] for field in dataclasses.fields(motion)}
    )
