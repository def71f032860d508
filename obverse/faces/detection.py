"""Finds faces: BlazeFace over the whole picture, over tiles of it, and over turned copies.

Coordinates are pixels whose centres are integers, (0, 0) being the centre of the top left one, as
`cv2.remap` has it.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.weights import onnx_session, weight_path

__all__ = ["Detection", "Detector"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

INPUT_PX = 128
STRIDES = ((8, 2), (16, 6))  # grid step in px, anchors a cell
SCORE_MIN = 0.5  # Google's own
SEARCH_SCORE_MIN = (
    0.65  # in tiles and turned views, of which there are many: flowers and folds of cloth reach .6
)
OVERLAP = 0.3  # intersection over union above which two boxes are one face, Google's own
CONTAINED = 0.6  # share of the smaller box inside a bigger one: seen again at another scale
TILE_MIN_PX = 160  # smaller tiles would be enlarged
DEEP_TILES = (
    7  # tiles along the longer side that are always tried; more only when nothing was found
)
MARGIN = 0.5  # of the longer side, added around a picture that the face may fill
UPRIGHT_SCORE = 0.9  # from here on, a face is not looked at turned
UPRIGHT_GAIN = 0.02  # by which a turned view must score better
TURNS = (
    90.0,
    -90.0,
    45.0,
    -45.0,
    180.0,
)  # degrees, tried in this order when nothing was found upright


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One face found: a box and six key points, in pixels of the picture."""

    box: Floats  # [4] x0, y0, x1, y1, upright, around brows, chin and cheeks
    points: Floats  # [6, 2] eye at the picture's left, at its right, nose tip, mouth, two tragions
    score: float  # [0, 1]
    side: float  # of the box in the view in which it was found, px of the picture


@dataclasses.dataclass(frozen=True, slots=True)
class _View:
    """A square of the picture that is shown to the network: its centre, side and turn."""

    x: float
    y: float
    side: float
    degrees: float = 0.0

    def to_picture(self) -> npt.NDArray[np.float64]:
        """Return the affine map [2, 3] from the view's pixels to the picture's."""
        scale = self.side / INPUT_PX
        cos, sin = (
            np.cos(np.radians(self.degrees)) * scale,
            np.sin(np.radians(self.degrees)) * scale,
        )
        middle = (INPUT_PX - 1) / 2
        x, y = self.x - (cos - sin) * middle, self.y - (sin + cos) * middle
        return np.array([[cos, -sin, x], [sin, cos, y]])


@functools.cache
def _anchors() -> npt.NDArray[np.float32]:
    """Return the centres [896, 2] of the network's anchors in its input, px."""
    centres = []
    for stride, count in STRIDES:
        steps = (np.arange(INPUT_PX // stride) + 0.5) * stride
        y, x = np.meshgrid(steps, steps, indexing="ij")
        centres.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), count, axis=0))
    return np.concatenate(centres).astype(np.float32)


class _Pyramid:
    """A picture at halving sizes, so that views of any size are sampled without aliasing."""

    def __init__(self, image: Image) -> None:
        self.levels = [image]

    def crop(self, view: _View) -> Image:
        level = max(0, int(np.log2(max(view.side / INPUT_PX, 1.0)) + 0.01))
        while len(self.levels) <= level and min(self.levels[-1].shape[:2]) > 1:
            height, width = self.levels[-1].shape[:2]
            half = (max(width // 2, 1), max(height // 2, 1))
            self.levels.append(
                np.asarray(
                    cv2.resize(self.levels[-1], half, interpolation=cv2.INTER_AREA), np.uint8
                )
            )
        level = min(level, len(self.levels) - 1)
        small, image = self.levels[level], self.levels[0]
        # Pixel centres are integers: x_small = (x + 1/2) / f - 1/2.
        fx, fy = image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]
        matrix = view.to_picture()
        matrix[0] /= fx
        matrix[1] /= fy
        matrix[:, 2] += (0.5 / fx - 0.5, 0.5 / fy - 0.5)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(small, matrix, (INPUT_PX, INPUT_PX), flags=flags), np.uint8
        )


def _tiles(width: int, height: int, across: int) -> Iterator[_View]:
    """Yield half-overlapping squares that cover the picture, `across` along its longer side."""
    side = 2 * max(width, height) / (across + 1)
    counts = [max(1, int(np.ceil(2 * length / side - 1 - 1e-6))) for length in (width, height)]
    spans = [
        [length / 2] if count == 1 else np.linspace(side / 2, length - side / 2, count).tolist()
        for length, count in zip((width, height), counts, strict=True)
    ]
    for y, x in itertools.product(spans[1], spans[0]):
        yield _View(x - 0.5, y - 0.5, side)


def _whole(image: Image) -> list[_View]:
    """Return views of the whole picture: as it is, and with a margin for a face that fills it."""
    height, width = image.shape[:2]
    x, y, longer = (width - 1) / 2, (height - 1) / 2, max(width, height)
    return [_View(x, y, longer), _View(x, y, longer * (1 + 2 * MARGIN))]


def _overlaps(box: Floats, boxes: Floats) -> npt.NDArray[np.bool_]:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(
        (shared > OVERLAP * (area + areas - shared))
        | (shared > CONTAINED * np.minimum(area, areas)),
        np.bool_,
    )


def merge(found: Sequence[Detection]) -> list[Detection]:
    """Weighted non-maximum suppression: boxes that overlap become one, the mean weighted by score.

    A box found at another scale lies inside or around the first; the best score decides, and only
    boxes of about its size take part in the mean.
    """
    rest = sorted(found, key=lambda detection: -detection.score)
    kept = []
    while rest:
        best = rest[0]
        same = _overlaps(best.box, np.stack([d.box for d in rest]))
        group = [
            d for d, hit in zip(rest, same, strict=True) if hit and 0.7 < d.side / best.side < 1.4
        ]
        weights = np.array([d.score for d in group], np.float32)
        weights /= weights.sum()
        kept.append(
            dataclasses.replace(
                best,
                box=np.einsum("n,nk->k", weights, np.stack([d.box for d in group])),
                points=np.einsum("n,nkc->kc", weights, np.stack([d.points for d in group])),
            )
        )
        rest = [d for d, hit in zip(rest, same, strict=True) if not hit and d is not best]
    return kept


class Detector:
    """Finds faces of any size and turn in a picture."""

    def __init__(self, threads: int = 1) -> None:
        self._session: Any = onnx_session(weight_path("obverse.faces", "detector.onnx"), threads)

    def detect(self, image: Image) -> list[Detection]:
        """Return the faces of a picture `[H, W, 3] uint8 RGB`, best score first; none is empty."""
        return next((found for found in self.search(image) if found), [])

    def glance(self, image: Image) -> list[Detection]:
        """Return the faces that one quick look at the whole picture shows."""
        return merge(self._look(_Pyramid(image), _whole(image)))

    def search(self, image: Image) -> Iterator[list[Detection]]:
        """Yield what ever more patient searches find, each without what the ones before it found.

        First the whole picture and tiles of it, then smaller tiles, then the picture turned.
        """
        height, width = image.shape[:2]
        longer = max(width, height)
        pyramid = _Pyramid(image)
        found = self._look(pyramid, _whole(image))
        across = 3
        while 2 * longer / (across + 1) >= TILE_MIN_PX:
            if across > DEEP_TILES:
                yield merge(found)
                found = []
            found += self._look(pyramid, _tiles(width, height, across), SEARCH_SCORE_MIN)
            across = 2 * across + 1
        yield merge(found)
        for degrees in TURNS:
            views = _whole(image)
            if longer >= 2 * TILE_MIN_PX:
                views += _tiles(width, height, 3)
            turned = [dataclasses.replace(view, degrees=degrees) for view in views]
            yield merge(self._look(pyramid, turned, SEARCH_SCORE_MIN))

    def upright(self, image: Image, found: Detection) -> Detection:
        """Return the same face as it is found best, as it is or in a turned view around it.

        A face on its side, or upside down, is found upright with a middling score and key points
        that mislead.
        """
        if found.score >= UPRIGHT_SCORE:
            return found
        x, y = ((found.box[:2] + found.box[2:]) / 2).tolist()
        views = [
            _View(x, y, found.side * factor, degrees) for degrees in TURNS for factor in (2.0, 3.0)
        ]
        for other in self._look(_Pyramid(image), views):
            if (
                other.score > found.score + UPRIGHT_GAIN
                and _overlaps(found.box, other.box[None])[0]
            ):
                found = other
        return found

    def _look(
        self, pyramid: _Pyramid, views: Iterable[_View], score_min: float = SCORE_MIN
    ) -> list[Detection]:
        found = [detection for view in views for detection in self._view(pyramid, view)]
        return [detection for detection in found if detection.score >= score_min]

    def _view(self, pyramid: _Pyramid, view: _View) -> list[Detection]:
        crop = pyramid.crop(view).astype(np.float32) / 127.5 - 1
        boxes, logits = self._session.run(None, {"input": crop.transpose(2, 0, 1)[None]})
        logits = np.clip(logits[0, :, 0], -80, 80)
        scores = 1 / (1 + np.exp(-logits))
        chosen = scores >= SCORE_MIN
        if not chosen.any():
            return []
        raw, scores = boxes[0][chosen].reshape(-1, 8, 2), scores[chosen]
        anchors = _anchors()[chosen]
        matrix = view.to_picture().astype(np.float32)
        scale = view.side / INPUT_PX
        centres = (
            raw[:, 0] + anchors - 0.5
        )  # the network counts from the corner, we from the first pixel's centre
        points = (raw[:, 2:] + anchors[:, None] - 0.5) @ matrix[:, :2].T + matrix[:, 2]
        centres = centres @ matrix[:, :2].T + matrix[:, 2]
        sides = raw[:, 1] * scale
        found = [
            Detection(np.concatenate([c - s / 2, c + s / 2]), p, float(score), float(s.mean()))
            for c, s, p, score in zip(centres, sides, points, scores, strict=True)
            if s.min() > 0
        ]
        return merge(found)
