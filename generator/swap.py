"""The method `swap`: a film of one person, and another's face, out of a still, put on theirs."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from obverse.generator.editing import Footage, redrawn, require_film
from obverse.generator.motion import Motion
from obverse.generator.paste import INNER_FACE
from obverse.generator.performance import PerformanceConfig
from obverse.generator.reenact import fitted_to
from obverse.generator.render import Renderer
from obverse.generator.speech import Speech

__all__ = ["swap"]


def swap(
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
    """Yield the film's frames with the portrait's face, from brows to chin.

    The portrait, of somebody else, does what the film's person does (`driving`). There is nothing
    to draw by `seed`, and the controls were the film's performer's.

    Raises:
        ConfigError: there is no film, or no motion of its face.
        FaceError: the film shows no face, or too seldom.
    """
    del seed, controls, pose, expression
    driving, footage = require_film("swap", driving, footage)
    return redrawn(renderer, fitted_to(driving, speech.frames), footage, INNER_FACE)
