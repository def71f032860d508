"""The generator's methods by name. A new one is a file in this folder and two lines here.

Most make a picture; those of `SOUND_METHODS` leave a film's picture as it is and change what is
heard.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.dub import dub
from obverse.generator.editing import Footage
from obverse.generator.motion import Motion
from obverse.generator.performance import PerformanceConfig
from obverse.generator.reenact import reenact
from obverse.generator.render import Renderer
from obverse.generator.speech import Speech
from obverse.generator.swap import swap
from obverse.generator.talk import talk
from obverse.generator.voiceover import voiceover

__all__ = [
    "METHODS",
    "NEEDS",
    "SOUND_METHODS",
    "Method",
    "Needs",
    "SoundMethod",
    "method_named",
    "sound_method_named",
]


class Method(Protocol):
    """Moves a portrait through speech, or puts it into a film."""

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
        footage: Footage | None = None,
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
            footage: for methods that edit a film, its pristine frames before they were marked and
                encoded, of the size that `renderer` draws, as long as `speech`; `driving` is then
                its own motion. Each call takes them anew.
        """
        ...


class SoundMethod(Protocol):
    """Makes what is heard with a film in place of its own sound."""

    def __call__(
        self, own: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return samples `[N]`; the same arguments give the same samples.

        Args:
            own: the film's sound `[N]`, mono in [-1, 1].
            other: another sound `[M]`, at the same rate.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a method is made of, beside the portrait that those need which make a picture."""

    sound: bool = False  # speech that is performed; without it, it is only heard
    driving: bool = False  # a performance that is followed
    footage: bool = False  # a film that is edited
    donor: bool = False  # the portrait is another person's than who is on screen
    other_sound: bool = False  # another sound than the film's; the film's picture stays as it is


METHODS: Mapping[str, Method] = {"talk": talk, "reenact": reenact, "dub": dub, "swap": swap}
SOUND_METHODS: Mapping[str, SoundMethod] = {"voiceover": voiceover}
NEEDS: Mapping[str, Needs] = {
    "talk": Needs(sound=True),
    "reenact": Needs(driving=True),
    "dub": Needs(sound=True, driving=True, footage=True),
    "swap": Needs(driving=True, footage=True, donor=True),
    "voiceover": Needs(footage=True, other_sound=True),
}


def method_named(name: str) -> Method:
    """Return a method that makes a picture by its name.

    Raises:
        ConfigError: there is no such method, or it makes no picture.
    """
    if name in SOUND_METHODS:
        raise ConfigError(
            f"the method {name} changes a film's sound and makes no picture; choose from "
            f"{', '.join(METHODS)}, or make films with 'obverse corpus --methods {name}'."
        )
    if name not in METHODS:
        raise ConfigError(f"there is no method {name!r}; choose from {', '.join(METHODS)}.")
    return METHODS[name]


def sound_method_named(name: str) -> SoundMethod:
    """Return a method that changes what is heard by its name.

    Raises:
        ConfigError: there is no such method.
    """
    if name not in SOUND_METHODS:
        raise ConfigError(
            f"there is no method {name!r} for sound; choose from {', '.join(SOUND_METHODS)}."
        )
    return SOUND_METHODS[name]
