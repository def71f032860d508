"""The generator's methods by name. A new one is a file in this folder and a line here."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.motion import Motion
from obverse.generator.performance import PerformanceConfig
from obverse.generator.reenact import reenact
from obverse.generator.render import Renderer
from obverse.generator.speech import Speech
from obverse.generator.talk import talk

__all__ = ["METHODS", "Method", "method_named"]


class Method(Protocol):
    """Moves a portrait through speech."""

    def __call__(
        self,
        renderer: Renderer,
        speech: Speech,
        *,
        seed: int,
        controls: PerformanceConfig,
        driving: Motion | None = None,
        pose: Motion | None = None,
        expression: Motion | None = None,
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield `speech.frames` frames `[H, W, 3] uint8 RGB`; the same arguments give the same
        frames.

        Args:
            renderer: the portrait, prepared.
            speech: what is said.
            seed: of whatever the method draws.
            controls: how it is to be performed.
            driving: another performance of the same speech, for methods that follow one.
            pose: a performance of which only the head's motion is followed.
            expression: a performance of which only the face is followed, but for the speech.
        """
        ...


METHODS: dict[str, Method] = {"talk": talk, "reenact": reenact}


def method_named(name: str) -> Method:
    """Return a method by its name.

    Raises:
        ConfigError: there is no such method.
    """
    if name not in METHODS:
        raise ConfigError(f"there is no method {name!r}; choose from {', '.join(METHODS)}.")
    return METHODS[name]
