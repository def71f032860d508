"""What a director's strengths do to a performance that the learned model has given.

The model's own state is left alone: strengths, blinks and other people's poses are put on what
leaves, so that no wish can upset what is still to be performed, and a wish that changes from frame
to frame changes the result as smoothly.
"""

import numpy as np
import numpy.typing as npt

from obverse.generator.controls import NATURAL_BLINK_HZ, ControlTracks
from obverse.generator.motion import FPS
from obverse.generator.motion_space import FEATURES, GAZE, HEAD

__all__ = ["Blinks", "Neck", "enliven", "meet", "strengthen"]

Array = npt.NDArray[np.float32]

_MOOD = ("mouthSmile", "mouthFrown")
_MOUTH = [
    index
    for index, name in enumerate(FEATURES)
    if name.startswith(("jaw", "mouth", "tongue")) and not name.startswith(_MOOD)
]
_LIDS = [FEATURES.index("eyeBlinkLeft"), FEATURES.index("eyeBlinkRight")]
_PLAY = [index for index in range(GAZE.start) if index not in _MOUTH and index not in _LIDS]


_JAW, _CLOSE = FEATURES.index("jawOpen"), FEATURES.index("mouthClose")
_APART = [
    FEATURES.index(f"mouth{part}{side}")
    for part in ("LowerDown", "UpperUp")
    for side in ("Left", "Right")
]
_HEARD = (0.3, 0.7)  # closures heard less surely are none, more surely are whole


# How much a face that is drawn from what an ear has guessed falls short of the teacher's, about; a
# guess stays near the mean. What moods alone would have is left as it is: it is told, not guessed.
_LIVELY = {
    "jawOpen": 1.4, "mouthClose": 1.4, "mouthPucker": 1.5, "mouthFunnel": 1.45,
    "mouthStretch": 1.5, "mouthLowerDown": 1.45, "mouthUpperUp": 1.45, "mouthPress": 1.35,
    "mouthRollLower": 1.5, "mouthRollUpper": 1.5, "mouthShrugLower": 1.4, "mouthShrugUpper": 1.1,
    "mouthDimple": 1.4, "mouthSmile": 1.25, "cheekSquint": 1.25,
    "browInnerUp": 1.2, "browOuterUp": 1.2, "browDown": 1.2,
}  # fmt: skip


def _liveliness() -> Array:
    gains = np.ones(len(FEATURES), np.float32)
    for index, name in enumerate(FEATURES):
        gains[index] = _LIVELY.get(name.removesuffix("Left").removesuffix("Right"), 1.0)
    return gains


_GAINS = _liveliness()
_AT_REST = _GAINS.copy()
_AT_REST[_MOUTH] = 0.3


def enliven(features: Array, usual: Array, quiet: Array) -> Array:
    """Draw the face's movements `[T, 52]` out from where the controls alone would have it.

    A mouth that has nothing to say comes to rest: `quiet` [T] in [0, 1] is how long the voice has
    been gone, as the cue `since_end` has it.
    """
    rested = (quiet**2)[:, None]
    gains = _GAINS + rested * (_AT_REST - _GAINS)
    return np.asarray(usual + gains * (features - usual), np.float32)


def meet(features: Array, closure: Array) -> Array:
    """Bring lips together in features `[T, 52]` where p, b or m is heard, `closure` [T] in [0, 1].

    A viewer forgives a timid vowel and never a /b/ with open lips; whatever was drawn, what is
    heard for certain is done.
    """
    sure = np.clip((closure - _HEARD[0]) / (_HEARD[1] - _HEARD[0]), 0.0, 1.0)
    sure = sure * sure * (3.0 - 2.0 * sure)
    met = features.copy()
    met[:, _JAW] *= 1.0 - 0.3 * sure
    met[:, _CLOSE] = np.maximum(met[:, _CLOSE], sure * met[:, _JAW])
    # Lips that are pressed together harder than the jaw is open would pass through each other.
    met[:, _CLOSE] = np.minimum(met[:, _CLOSE], np.maximum(met[:, _JAW], 0.0))
    met[:, _APART] *= 1.0 - sure[:, None]
    return met


def strengthen(features: Array, anchor: Array, controls: ControlTracks) -> Array:
    """Apply strengths to features `[T, 52]`.

    Mouth and the play of the face are scaled from rest; head and gaze from their anchors, so that
    at strength 0 the head stays where emotion, gaze and distance put it and the eyes stay on what
    they are told to look at.
    """
    changed = features.copy()
    changed[:, _MOUTH] *= controls.mouth_strength[:, None]
    changed[:, _PLAY] *= controls.expression_strength[:, None]
    head, gaze = controls.head_strength[:, None], controls.gaze_strength[:, None]
    changed[:, HEAD] = anchor[:, HEAD] + head * (features[:, HEAD] - anchor[:, HEAD])
    changed[:, GAZE] = anchor[:, GAZE] + gaze * (features[:, GAZE] - anchor[:, GAZE])
    return changed


_INERTIA = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0


class Neck:
    """Gives a head the inertia that keeps it from trembling: each frame is an average over five,
    80 ms late, with nothing left above 8 Hz.
    """

    def __init__(self) -> None:
        self._last: npt.NDArray[np.float64] | None = None  # [4, 6]

    def carry(self, head: Array) -> Array:
        """Return rotation and translation `[T, 6]` of a head that has weight."""
        if not len(head):
            return head
        if self._last is None:
            self._last = np.repeat(head[:1].astype(np.float64), len(_INERTIA) - 1, 0)
        row = np.concatenate([self._last, head])
        self._last = row[-len(_INERTIA) + 1 :]
        taps = range(len(_INERTIA))
        return np.asarray(
            sum(_INERTIA[tap] * row[tap : tap + len(head)] for tap in taps), np.float32
        )


_BEGUN, _OVER = 0.18, 0.12  # lids this far above where they rest are in a blink
_SINK, _RISE = 0.30, 0.02  # how fast the level of open lids is followed, down and up, a frame
_SHORTEST_GAP = round(0.7 * FPS)
# A blink on frames: lids fall in a tenth of a second and rise in a fifth (Guitton et al., 1991).
_BLINK = np.array([0.30, 0.85, 1.0, 0.86, 0.55, 0.25, 0.08])


class Blinks:
    """Makes lids blink more or less often than the model would, frame by frame.

    Below the natural rate every blink is left out with the chance that the rate asks for, as it
    begins; above it blinks are put in between, never sooner than .7 s after another.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._frame = 0
        self._rest: npt.NDArray[np.float64] | None = None
        self._left_out: bool | None = None  # None: no blink at present
        self._put_in = len(_BLINK)  # how far the one that is being put in has come
        self._since = 0
        self._depth = 1.0

    def pace(self, features: Array, rate_hz: Array) -> Array:
        """Return features `[T, 52]` whose lids blink at `rate_hz` `[T]`."""
        changed = features.copy()
        for row, (lids, rate) in enumerate(zip(features[:, _LIDS], rate_hz, strict=True)):
            changed[row, _LIDS] = self._step(lids.astype(np.float64), float(rate))
        return changed

    def _step(self, lids: npt.NDArray[np.float64], rate: float) -> npt.NDArray[np.float64]:
        if self._rest is None:
            self._rest = np.minimum(lids, _BEGUN)
        frame, self._frame = self._frame, self._frame + 1
        self._since += 1
        wanted = rate - NATURAL_BLINK_HZ
        above = float((lids - self._rest).mean())
        if self._left_out is None and above > _BEGUN:
            chance = np.random.Generator(np.random.Philox(key=self._seed, counter=[frame, 1, 0, 0]))
            self._left_out = bool(chance.random() >= rate / NATURAL_BLINK_HZ)
        elif self._left_out is not None and above < _OVER:
            self._left_out = None
        if self._left_out is None:
            slow = np.where(lids < self._rest, _SINK, _RISE)
            self._rest = self._rest + slow * (lids - self._rest)
        shown = np.minimum(lids, self._rest + _OVER) if self._left_out else lids
        if self._left_out is False:
            self._since = 0
        if self._put_in < len(_BLINK):
            shown = np.maximum(shown, self._depth * _BLINK[self._put_in])
            self._put_in += 1
            self._since = 0
        elif wanted > 0.0 and self._left_out is None and self._since > _SHORTEST_GAP:
            chance = np.random.Generator(np.random.Philox(key=self._seed, counter=[frame, 2, 0, 0]))
            # A gap is the forced .7 s and a wait; the wait is drawn so that the mean is right.
            free = max(1.0 / rate - _SHORTEST_GAP / FPS, 0.04)
            share = wanted / rate
            if chance.random() < share / (free * FPS):
                self._put_in, self._depth = 0, float(chance.uniform(0.93, 1.0))
        return shown
