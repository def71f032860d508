"""Reads faces, in a picture or along a video: 478 landmarks and 52 expression coefficients.

The networks are Google's face landmarker (Apache-2.0), run in ONNX Runtime. Coordinates are pixels
whose centres are integers, x right, y down; z has the same scale, smaller is nearer, and its zero
lies at the head's middle.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import InputError
from obverse.faces.detection import Detection, Detector
from obverse.faces.pose import EYE_CORNERS
from obverse.faces.small_faces import SEARCH_PX, SmallFaceDetector
from obverse.weights import onnx_session, weight_path

__all__ = ["BLENDSHAPE_POINTS", "LANDMARKS", "Face", "FaceReader"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

LANDMARKS = 478
EXPRESSIONS = 52  # as many as obverse.generator.motion.EXPRESSIONS, in its order
INPUT_PX = 256
REGION_SCALE = 1.5  # side of the square that the network sees, in box sides
PRESENCE_MIN = 0.5  # below, what was looked at is no face
CERTAIN = 0.95  # from here on, no other way of looking is tried
PATIENT_EVERY = 12  # frames without a face between two searches of tiles and turned copies
FIRST_PRESENCE_MIN = 0.01  # below, a second look is not worth its time
# Deviations of the smoothing that strokes of a drawing are taken away with, in longer sides.
SOFTENING = (0.004, 0.008, 0.014)
OUTER_EYES = (33, 263)  # the picture's left, the picture's right
# Other squares a face is looked at in, to see how sure its landmarks are: times the side, radians,
# and shifts as shares of the side.
GLANCES = (
    (0.9, 0.12, 0.0, 0.0),
    (1.12, -0.12, 0.03, 0.0),
    (1.0, 0.2, -0.04, 0.03),
    (0.95, -0.2, 0.02, -0.04),
    (1.2, 0.0, 0.0, 0.04),
)
SAME_FACE = 0.5  # overlap above which two readings are of one face

# The landmarks that the blendshape network takes, in its order.
BLENDSHAPE_POINTS: tuple[int, ...] = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65,
    66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136,
    144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172,
    173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283,
    284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324,
    332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385,
    386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472,
    473, 474, 475, 476, 477,
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face that was read."""

    box: Floats  # [4] x0, y0, x1, y1 px, the landmarks' bounds
    score: float  # [0, 1], the detector's; along a track, the presence
    landmarks: Floats  # [478, 3] px, 468 of the mesh and 2 x 5 of the irises
    presence: float  # [0, 1], the landmark network's belief that this is a face
    expression: Floats  # [52] in [0, 1], in the order of obverse.generator.motion.EXPRESSIONS

    @property
    def side(self) -> float:
        """Mean of the box's width and height, px."""
        return float((self.box[2:] - self.box[:2]).mean())


@dataclasses.dataclass(frozen=True, slots=True)
class _Region:
    """The turned square of the picture that holds one face."""

    x: float
    y: float
    side: float
    radians: float  # roll of the face, clockwise as seen

    def to_picture(self) -> npt.NDArray[np.float64]:
        """Return the affine map [2, 3] from the network's input to the picture, px."""
        scale = self.side / INPUT_PX
        cos, sin = np.cos(self.radians) * scale, np.sin(self.radians) * scale
        middle = (INPUT_PX - 1) / 2
        x, y = self.x - (cos - sin) * middle, self.y - (sin + cos) * middle
        return np.array([[cos, -sin, x], [sin, cos, y]])


def _around(points: npt.NDArray[Any], left: npt.NDArray[Any], right: npt.NDArray[Any]) -> _Region:
    """Return the square about points `[N, 2]`, turned so that the eyes are level."""
    radians = float(np.arctan2(right[1] - left[1], right[0] - left[0]))
    cos, sin = np.cos(radians), np.sin(radians)
    level = points @ np.array([[cos, -sin], [sin, cos]])  # turned by -radians
    low, high = level.min(axis=0), level.max(axis=0)
    x, y = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return _Region(float(x), float(y), float((high - low).max()) * REGION_SCALE, radians)


def _regions_of_detection(found: Detection) -> Iterator[_Region]:
    """Yield squares about a detection, turned by the roll of its key points, likeliest first."""
    left, right, _, mouth = found.points[:4]
    x, y = (found.box[:2] + found.box[2:]) / 2
    between, down = right - left, mouth - (left + right) / 2
    by_eyes = float(np.arctan2(between[1], between[0]))
    by_mouth = float(np.arctan2(-down[0], down[1]))
    for radians in (by_eyes, by_mouth, (by_eyes + by_mouth) / 2, 0.0):
        yield _Region(float(x), float(y), found.side * REGION_SCALE, radians)


def _region_of_landmarks(landmarks: Floats) -> _Region:
    return _around(landmarks[:, :2], landmarks[OUTER_EYES[0], :2], landmarks[OUTER_EYES[1], :2])


def _share(a: Floats, b: Floats) -> float:
    """Return the intersection of two boxes over the smaller one."""
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(shared / max(min(np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2])), 1e-9))


class FaceReader:
    """Finds and reads faces on `threads` CPU threads."""

    def __init__(self, threads: int = 1) -> None:
        self._detector = Detector(threads)
        self._mesh: Any = onnx_session(weight_path("obverse.faces", "landmarks.onnx"), threads)
        self._blendshapes: Any = onnx_session(
            weight_path("obverse.faces", "blendshapes.onnx"), threads
        )
        self._small: dict[int, SmallFaceDetector] = {}

    def detect(self, image: Image) -> list[Detection]:
        """Return where faces are in a picture `[H, W, 3] uint8 RGB`, best first, unread."""
        return self._detector.detect(_checked(image))

    def read(self, image: Image, *, drawn: bool = False) -> list[Face]:
        """Return every face of a picture `[H, W, 3] uint8 RGB`, largest first.

        Args:
            image: the picture.
            drawn: it may be a drawing, an engraving or a worn print: when no face is found, look
                again at copies whose strokes and grain are smoothed away.
        """
        image = _checked(image)
        faces = self._read_as_it_is(image)
        if faces or not drawn:
            return faces
        for softened in _softened(image):
            faces = self._read_as_it_is(softened)
            if faces:
                return faces
        return []

    def survey(self, image: Image, search_px: int = SEARCH_PX) -> list[Face]:
        """Return every upright face of a picture `[H, W, 3] uint8 RGB`, largest first, small too.

        One look, without the patience that `read` has for faces on their side, in tiles or in
        drawings, and one reading a face: 15 ms of CPU and 15 more a face.

        Args:
            image: the picture.
            search_px: longer side of the copy in which faces are looked for.
        """
        image = _checked(image)
        if search_px not in self._small:
            self._small[search_px] = SmallFaceDetector(search_px)
        faces: list[Face] = []
        for found in self._small[search_px].detect(image):
            face = self._read_region(image, next(_regions_of_detection(found)), found.score)
            if face is None or face.presence < CERTAIN:
                face = self._read_twice(image, found) or face
            if face is not None and all(_share(face.box, o.box) < SAME_FACE for o in faces):
                faces.append(face)
        return sorted(faces, key=lambda face: -face.side)

    def doubt(self, image: Image, face: Face) -> Floats:
        """Return how unsure each landmark of a face is, `[478]` in distances between the eyes.

        The face is looked at from several slightly different squares; where a hand, a scarf, dark
        glasses or a grimace hides what is there, the readings scatter.
        """
        image = _checked(image)
        centre = _region_of_landmarks(face.landmarks)
        seen = []
        for scale, radians, right, down in GLANCES:
            region = _Region(
                centre.x + right * centre.side,
                centre.y + down * centre.side,
                centre.side * scale,
                centre.radians + radians,
            )
            other = self._read_region(image, region, None, presence_min=0)
            if other is not None:
                seen.append(other.landmarks[:, :2])
        if not seen:
            return np.full(LANDMARKS, np.inf, np.float32)
        left, right_eye = (face.landmarks[list(pair)].mean(0) for pair in EYE_CORNERS)
        unit = max(float(np.linalg.norm(left - right_eye)), 1e-6)
        return np.asarray(np.sqrt(np.var(np.stack(seen), axis=0).sum(-1)) / unit, np.float32)

    def _read_as_it_is(self, image: Image) -> list[Face]:
        seen: list[Face] = []
        for found in self._detector.search(image):
            faces = [self._read_twice(image, self._detector.upright(image, face)) for face in found]
            seen += [face for face in faces if face is not None]
            if any(face.presence >= CERTAIN for face in seen):
                break
        kept: list[Face] = []
        for face in sorted(seen, key=lambda face: -face.presence):
            if all(_share(face.box, other.box) < SAME_FACE for other in kept):
                kept.append(face)
        return sorted(kept, key=lambda face: -face.side)

    def track(self, frames: Iterable[Image]) -> Iterator[Face | None]:
        """Follow the largest face through a video: for each frame one `Face`, or None.

        Each frame is read where the face was in the frame before; a face that is lost is looked for
        again, in the whole frame at once, and patiently every half second or so.
        """
        face: Face | None = None
        lost = 0
        for frame in frames:
            image = _checked(frame)
            if face is not None:
                face = self._read_region(image, _region_of_landmarks(face.landmarks), None)
            if face is None:
                if lost % PATIENT_EVERY == 0:
                    face = next(iter(self.read(image)), None)
                else:
                    face = self._glance(image)
            lost = 0 if face is not None else lost + 1
            yield face

    def _glance(self, image: Image) -> Face | None:
        for detection in sorted(
            self._detector.glance(image), key=lambda detection: -detection.side
        ):
            face = self._read_twice(image, detection)
            if face is not None:
                return face
        return None

    def _read_twice(self, image: Image, found: Detection) -> Face | None:
        """Read a detection, then again in the square about its own landmarks, which fits better.

        A face near profile shows its eyes so close together that the line between them says little
        of its roll: then the line from eyes to mouth is tried, and the picture's own upright.
        """
        for region in _regions_of_detection(found):
            first = self._read_region(image, region, found.score, presence_min=FIRST_PRESENCE_MIN)
            if first is None:
                continue
            second = self._read_region(image, _region_of_landmarks(first.landmarks), found.score)
            if second is not None:
                return second
            if first.presence >= PRESENCE_MIN:
                return first
        return None

    def _read_region(
        self, image: Image, region: _Region, score: float | None, presence_min: float = PRESENCE_MIN
    ) -> Face | None:
        matrix = region.to_picture()
        crop = _sample(image, matrix, region.side / INPUT_PX)
        blob = crop.astype(np.float32).transpose(2, 0, 1)[None] / 255
        points, logit = self._mesh.run(["landmarks", "presence"], {"input": blob})
        presence = float(1 / (1 + np.exp(-np.clip(logit.item(), -50, 50))))
        if presence < presence_min:
            return None
        points = points.reshape(LANDMARKS, 3)
        landmarks = np.empty((LANDMARKS, 3), np.float32)
        landmarks[:, :2] = (points[:, :2] - 0.5) @ matrix[:, :2].T + matrix[:, 2]
        landmarks[:, 2] = points[:, 2] * (region.side / INPUT_PX)
        box = np.concatenate([landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)])
        return Face(
            box,
            presence if score is None else score,
            landmarks,
            presence,
            self._expression(landmarks),
        )

    def _expression(self, landmarks: Floats) -> Floats:
        chosen = np.ascontiguousarray(landmarks[None, BLENDSHAPE_POINTS, :2])
        values = self._blendshapes.run(None, {"input": chosen})[0]
        expression = np.zeros(EXPRESSIONS, np.float32)  # tongueOut, the last, is never read
        expression[:-1] = np.clip(values[1:], 0, 1)  # the first is _neutral
        return expression


def _softened(image: Image) -> Iterator[Image]:
    """Yield copies of a picture from which strokes, grain and hard tones are smoothed away."""
    longer = max(image.shape[:2])
    for share in SOFTENING:
        soft = cv2.GaussianBlur(image, (0, 0), max(share * longer, 0.5))
        yield np.asarray(soft, np.uint8)
        low, high = np.percentile(soft, (2, 98))
        stretched = (soft - low) * (200 / max(high - low, 1.0)) + 30
        yield np.clip(stretched, 0, 255).astype(np.uint8)


def _sample(image: Image, matrix: npt.NDArray[np.float64], shrink: float) -> Image:
    """Sample the network's input from the picture; what lies outside repeats the border."""
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    if shrink <= 2:
        return np.asarray(
            cv2.warpAffine(image, matrix, (INPUT_PX, INPUT_PX), flags=flags, borderMode=border),
            np.uint8,
        )
    # Sample finer by a whole factor, then average, lest a big face alias.
    factor = int(np.ceil(shrink / 2))
    finer = matrix.copy()
    finer[:, :2] /= factor
    finer[:, 2] -= finer[:, :2] @ np.full(2, (factor - 1) / 2)
    size = INPUT_PX * factor
    big = cv2.warpAffine(image, finer, (size, size), flags=flags, borderMode=border)
    return np.asarray(cv2.resize(big, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _checked(image: Image) -> Image:
    if (
        image.ndim != 3
        or image.shape[2] != 3
        or image.dtype != np.uint8
        or min(image.shape[:2]) < 1
    ):
        raise InputError(
            f"a picture must be [H, W, 3] uint8 RGB, not {list(image.shape)} {image.dtype}; "
            "convert it first."
        )
    return image
