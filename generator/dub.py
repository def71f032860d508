"""The method `dub`: a film, and speech that its person is made to say. Head, eyes and all but the
lower face stay the film's own.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from obverse.generator.controls import apply_edits
from obverse.generator.editing import Footage, redrawn, require_film
from obverse.generator.motion import Motion
from obverse.generator.paste import LOWER_FACE
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.reenact import fitted_to
from obverse.generator.render import Renderer
from obverse.generator.speech import Speech
from obverse.generator.stream import take_of

__all__ = ["dub"]


def dub(
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
    """Yield the film's frames with the mouth of a new performance of `speech`.

    The portrait, of the person who is filmed, moves its head as `driving`, the film's own motion,
    does; its mouth and chin are pasted on the film's. Pose and expression are the film's.

    Raises:
        ConfigError: there is no film, or no motion of its face.
        FaceError: the film shows no face, or too seldom.
    """
    del pose, expression
    driving, footage = require_film("dub", driving, footage)
    spoken = perform(speech, take_of(renderer.portrait, seed), controls)
    film = fitted_to(driving, speech.frames)
    # The film's motion has been directed already: it is followed as it is.
    edits = PerformanceConfig().tracks(speech.frames, pose=film, expression=film)
    return redrawn(renderer, apply_edits(spoken, edits), footage, LOWER_FACE)
