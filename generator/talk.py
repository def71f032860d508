"""The method `talk`: a portrait and speech. The speech is performed anew and the portrait is
moved.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from obverse.generator.editing import Footage
from obverse.generator.motion import Motion
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.render import Renderer
from obverse.generator.speech import Speech
from obverse.generator.stream import STREAMING_MODELS, performed, performer_for, take_of

__all__ = ["talk"]


def talk(
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
    """Yield frames of the portrait saying `speech`, with somebody's pose or expression if given;
    `driving`, a whole performance, is not read, nor is a film.
    """
    del driving, footage
    take = take_of(renderer.portrait, seed)
    if controls.model not in STREAMING_MODELS:
        yield from renderer.frames(
            perform(speech, take, controls, pose=pose, expression=expression)
        )
        return
    performer = performer_for(controls, take)
    # Heard while it is drawn, by what a live stream consists of.
    for motion in performed(speech, performer, controls, pose=pose, expression=expression):
        yield from renderer.frames(motion)
