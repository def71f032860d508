"""Eyes: irises painted by seed, the lids' lines that shade them, and lashes."""

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt

from obverse.generator.head import SKIN, SOCKET, HeadModel
from obverse.generator.sitters.surface import noise

__all__ = ["EYE_COLOURS", "LidLines", "eye_texture"]

FloatArray = npt.NDArray[np.float32]
_SIZE = 384
_REACH_DEGREES = 112.0  # of the eyeball's azimuthal texture, see anatomy.py
_IRIS_DEGREES = 28.5
EYE_COLOURS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {  # outer, inner sRGB
    "dark brown": ((46, 26, 16), (74, 42, 24)),
    "brown": ((70, 40, 20), (118, 72, 36)),
    "hazel": ((78, 66, 36), (134, 92, 44)),
    "green": ((62, 84, 62), (126, 122, 74)),
    "blue": ((62, 92, 122), (132, 158, 176)),
    "grey": ((82, 94, 102), (146, 154, 156)),
}


def eye_texture(colour: str, years: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Paint an eyeball's front, [384, 384, 8] uint8 texels.

    White, veins, limbus, iris fibres and pupil.
    """
    y, x = np.mgrid[:_SIZE, :_SIZE].astype(np.float32)
    x, y = (x + 0.5) / _SIZE * 2 - 1, (y + 0.5) / _SIZE * 2 - 1
    radius = np.hypot(x, y) * _REACH_DEGREES / _IRIS_DEGREES  # 1 at the iris's rim
    angle = np.arctan2(y, x)
    seed = int(rng.integers(1 << 30))
    around = np.stack([np.cos(angle) * 9, np.sin(angle) * 9, radius * 0.9], -1).astype(np.float32)
    fibres = noise(around, 1.6, seed, 3)
    broad = noise(around, 0.5, seed + 5, 2)
    outer, inner = (np.array(c, np.float32) for c in EYE_COLOURS[colour])
    ring = np.clip((radius - 0.32) / 0.5, 0, 1)[..., None]
    iris = inner * (1 - ring) + outer * ring
    iris *= (1 + 0.30 * fibres + 0.14 * broad)[..., None]
    iris *= (1 - 0.55 * np.clip((radius - 0.78) / 0.22, 0, 1) ** 1.5)[..., None]  # limbal ring
    pupil_size = float(rng.uniform(0.30, 0.40))
    pupil = np.clip(0.5 - (radius - pupil_size) * 12, 0, 1)
    iris = iris * (1 - pupil[..., None]) + 6 * pupil[..., None]
    plane = np.stack([x, y, np.zeros_like(x)], -1)
    white = np.array((214, 206, 198), np.float32) - np.array((4, 14, 26), np.float32) * float(
        np.clip((years - 35) / 50, 0, 1)
    )
    white = np.broadcast_to(white, (*radius.shape, 3)).copy()
    far = np.clip((radius - 1.1) / 1.4, 0, 1)
    veins = np.clip(1 - np.abs(noise(plane, 7.0, seed + 9, 4)) * 9, 0, 1) * far
    white -= veins[..., None] * np.array((10, 46, 44), np.float32) * float(rng.uniform(0.4, 1.0))
    white -= (far**2)[..., None] * np.array((14, 40, 42), np.float32)  # pinker to the corners
    edge = np.clip(0.5 - (radius - 1.0) * 5, 0, 1)[..., None]
    image = iris * edge + white * (1 - edge)
    texels = np.full((_SIZE, _SIZE, 8), 128, np.uint8)
    texels[..., :3] = np.clip(cv2.GaussianBlur(image, (0, 0), 0.6), 0, 255).astype(np.uint8)
    texels[..., 6:] = 255
    return texels


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class LidLines:
    """The vertices of the lids' rims, as they border on the eye sockets."""

    upper: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # left, right eye
    lower: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

    @classmethod
    def find(cls, model: HeadModel) -> "LidLines":
        """Find the rims in the head model."""
        skin = np.unique(model.triangles[model.parts == SKIN])
        socket = np.unique(model.triangles[model.parts == SOCKET])
        rim = np.intersect1d(skin, socket)
        upper, lower = [], []
        for side in range(2):
            points = model.vertices[rim]
            own = rim[(points[:, 0] > 0) == (side == 0)]
            points = model.vertices[own]
            inner, outer = points[:, 0].argmin(), points[:, 0].argmax()
            along = (points[:, 0] - points[inner, 0]) / (points[outer, 0] - points[inner, 0])
            chord = points[inner, 1] + along * (points[outer, 1] - points[inner, 1])
            upper.append(own[points[:, 1] <= chord + 1e-5])
            lower.append(own[points[:, 1] >= chord - 1e-5])
        return cls((upper[0], upper[1]), (lower[0], lower[1]))

    def parabolas(self, vertices: FloatArray, centres: FloatArray) -> FloatArray:
        """Return [2, 7].

        For each eye upper (c0, c1, c2), lower (c0, c1, c2) in y over x - centre, and the centre.
        """
        found = np.zeros((2, 7), np.float32)
        for side in range(2):
            middle = centres[side, 0]
            for start, rim in ((0, self.upper[side]), (3, self.lower[side])):
                points = vertices[rim]
                found[side, start : start + 3] = np.polyfit(points[:, 0] - middle, points[:, 1], 2)[
                    ::-1
                ]
            found[side, 6] = middle
        return found
