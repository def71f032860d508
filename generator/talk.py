"""The method `talk`: a portrait and speech. The speech is performed anew and the portrait is
moved.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from obverse.generator.motion import Motion
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.render import Renderer
from obverse.generator.speech import Speech

__all__ = ["talk"]


def talk(
    renderer: Renderer,
    speech: Speech,
    *,
    seed: int,
    controls: PerformanceConfig,
    driving: Motion | None = None,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield frames of the portrait saying `speech`; nobody else's performance is used (`driving`
    is not read).
    """
    del driving
    return renderer.frames(perform(speech, seed, controls))
