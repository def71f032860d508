"""Sitters.

Virtual adults that are rendered, still or performing a motion, with exact ground truth.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from obverse.errors import ConfigError
from obverse.generator.head import EYE_LEFT, EYE_RIGHT, SKIN, HeadModel
from obverse.generator.motion import EXPRESSIONS, Motion
from obverse.generator.sitters.identity import Identity, draw_identity
from obverse.generator.sitters.light import background
from obverse.generator.sitters.pack import shape_targets
from obverse.generator.sitters.scene import Rendering, Scene
from obverse.generator.sitters.wardrobe import Appearance, draw_appearance, dress

__all__ = ["Sitter", "SitterFrame", "attributes_of", "neutral_vertices"]

FloatArray = npt.NDArray[np.float32]
_SMALLEST, _LARGEST = 64, 2048
_THREADS = 2


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SitterFrame:
    """One rendered frame and what is true of it."""

    image: npt.NDArray[np.uint8]  # [H, W, 3] RGB
    mask: npt.NDArray[np.uint8]  # [H, W] 255 where the sitter covers the background, soft at edges
    # [478, 3] pixels whose centres are integers; z in the same scale, smaller is nearer
    landmarks: FloatArray


def eyeball_centres(vertices: FloatArray) -> npt.NDArray[np.float64]:
    """Return the centres [2, 3] of the spheres through the eyeballs' vertices."""
    model = HeadModel.load()
    centres = []
    for part in (EYE_LEFT, EYE_RIGHT):
        ball = vertices[model.vertex_parts == part].astype(np.float64)
        system = np.c_[2 * ball, np.ones(len(ball))]
        centres.append(np.linalg.lstsq(system, (ball**2).sum(1), rcond=None)[0][:3])
    return np.array(centres)


def neutral_vertices(identity: Identity) -> tuple[FloatArray, FloatArray, float]:
    """Return an identity's vertices [V, 3], unit interocular distance, eyes' midpoint as origin.

    Also returns the offset [3] and scale that led there from the packed base head: v = (raw -
    offset) * scale.
    """
    base, macros, sliders, _ = shape_targets()
    raw = base + np.tensordot(identity.macros, macros, 1)
    raw += np.tensordot(np.maximum(-identity.sliders, 0), sliders[:, 0], 1)
    raw += np.tensordot(np.maximum(identity.sliders, 0), sliders[:, 1], 1)
    centres = eyeball_centres(raw)
    offset, scale = centres.mean(0), 1 / np.linalg.norm(centres[0] - centres[1])
    placed = ((raw - offset) * scale).astype(np.float32)
    return _broadened(placed, identity), offset.astype(np.float32), float(scale)


def _broadened(vertices: FloatArray, identity: Identity) -> FloatArray:
    """Widen shoulders that MakeHuman's slighter bodies leave too narrow for the head."""
    model = HeadModel.load()
    chest = (model.head_weight < 0.02) & (model.vertex_parts == SKIN)
    width = float(np.quantile(np.abs(vertices[chest, 0]), 0.9))
    usual = float(np.quantile(np.abs(model.vertices[chest, 0]), 0.9))
    wanted = usual * (0.95 + 0.09 * identity.masculinity)
    gain = float(np.clip(wanted / width, 1.0, 1.6)) - 1
    reach = np.clip((np.abs(vertices[:, 0]) - 0.7) / 1.2, 0, 1) * (1 - model.head_weight)
    broad = vertices.copy()
    broad[:, 0] *= 1 + gain * reach
    return broad


def _drawn(seed: int) -> tuple[Identity, Appearance]:
    if seed < 0:
        raise ConfigError(f"a sitter's seed is {seed}; it must not be negative.")
    shape_rng, look_rng = (np.random.default_rng([seed, stream]) for stream in (1, 2))
    identity = draw_identity(shape_rng, shape_targets()[3])
    return identity, draw_appearance(identity, look_rng)


def attributes_of(seed: int) -> Mapping[str, str]:
    """Return what `Sitter.from_seed(seed).attributes` would be, without making the sitter.

    Raises:
        ConfigError: the seed is negative.
    """
    identity, appearance = _drawn(seed)
    return appearance.attributes(identity)


class Sitter:
    """One virtual adult before one camera.

    Identity, looks, clothes, light and background, all by seed.
    """

    def __init__(self, identity: Identity, appearance: Appearance, seed: int) -> None:
        """Prepare everything that does not change from frame to frame (about a second)."""
        self.seed = seed
        self.identity = identity
        self.appearance = appearance
        neutral, offset, scale = neutral_vertices(identity)
        self._scene: Scene = dress(identity, appearance, neutral, offset, scale)
        self._backdrops: dict[int, FloatArray] = {}

    @classmethod
    def from_seed(cls, seed: int) -> Self:
        """Draw a sitter. The same seed gives the same sitter, pixel for pixel.

        Raises:
            ConfigError: the seed is negative.
        """
        return cls(*_drawn(seed), seed)

    @property
    def attributes(self) -> Mapping[str, str]:
        """Return what fairness slices are cut by.

        Age band, skin tone, presentation, hair, glasses and so on.
        """
        return self.appearance.attributes(self.identity)

    @property
    def neutral(self) -> FloatArray:
        """Return the sitter's neutral vertices [V, 3] of the head model."""
        return self._scene.neutral

    def still(self, size: int = 512, *, grain: bool = True) -> npt.NDArray[np.uint8]:
        """Return a picture [size, size, 3] RGB of the sitter at rest, with the sitter's own slight
        smile."""
        resting = self.appearance.resting
        return self.frame(resting, np.zeros(3), np.zeros(3), size, grain=grain).image

    def frame(
        self,
        expression: npt.ArrayLike,
        rotation: npt.ArrayLike,
        translation: npt.ArrayLike,
        size: int = 512,
        index: int = 0,
        *,
        grain: bool = True,
    ) -> SitterFrame:
        """Render one pose: expression [52], rotation [3] and translation [3] as in `Motion`; with a
        camera's grain, the `index`-th of its pictures, or without."""
        coefficients = np.asarray(expression, np.float32)
        if coefficients.shape != (len(EXPRESSIONS),):
            raise ConfigError(
                f"an expression has shape {coefficients.shape}; it must be [{len(EXPRESSIONS)}]."
            )
        drawn: Rendering = self._scene.draw(
            coefficients, rotation, translation, self._backdrop(size), index, grain
        )
        return SitterFrame(drawn.image, drawn.mask, drawn.landmarks)

    def screen(
        self,
        expression: npt.ArrayLike,
        rotation: npt.ArrayLike,
        translation: npt.ArrayLike,
        size: float,
    ) -> FloatArray:
        """Return where the head model's vertices are seen.

        [V, 3] pixels (edges are integers) and 1/z.
        """
        _, turned, _ = self._scene.pose(np.asarray(expression, np.float32), rotation, translation)
        return self._scene.camera.project(turned, size)

    def perform(
        self, motion: Motion, size: int = 512, *, grain: bool = True
    ) -> Iterator[SitterFrame]:
        """Render a motion, one frame each; two threads work ahead of the reader."""
        self._backdrop(size)
        # The products are too small to share out: BLAS threads would only spin beside the two here.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(_THREADS) as pool:
            waiting = []
            for index in range(len(motion)):
                waiting.append(
                    pool.submit(
                        self.frame,
                        motion.expression[index],
                        motion.rotation[index],
                        motion.translation[index],
                        size,
                        index,
                        grain=grain,
                    )
                )
                if len(waiting) > 2 * _THREADS:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()

    def _backdrop(self, size: int) -> FloatArray:
        if not _SMALLEST <= size <= _LARGEST:
            raise ConfigError(
                f"a sitter's picture is {size} px wide; choose {_SMALLEST} to {_LARGEST}."
            )
        if size not in self._backdrops:
            rng = np.random.default_rng([self.seed, 3])
            self._backdrops[size] = background(size, self.appearance.lighting, rng)
        return self._backdrops[size]
