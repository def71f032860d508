"""A `Portrait` and a `Motion` become frames: the portrait's own pixels, moved.

A frame is laid together from the back: the filled background, what lies behind lips and lids, and
the portrait's sheet, turned in depth and bent by the expression. All that depends on the portrait
alone is prepared in `Renderer`.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.back_layer import BackLayer, make_back_layer
from obverse.generator.eye_patch import EyePatch, make_eye
from obverse.generator.fit import FittedHead, fit_head
from obverse.generator.head import HeadModel
from obverse.generator.lids import make_lid
from obverse.generator.motion import Motion, rotation_matrix
from obverse.generator.mouth import Mouth, make_mouth
from obverse.generator.portrait import Portrait
from obverse.generator.relief import Opening, Relief, build_relief
from obverse.generator.warp import blend, displaced, hang, mix, rasterise, turned

__all__ = ["FramePainter", "RenderConfig", "Renderer"]

FloatArray = npt.NDArray[np.float32]

_CAMERA_DISTANCE = 14.0  # interocular distances, about 0.9 m: the perspective of a portrait lens
_RIM_PX = 1.3  # softness of lips' and lids' edges in output pixels
_MARGIN_PX = 3  # around an opening
_EDGE, _APART = 0.02, 0.08  # interocular distances: see _hang_rims
_SEAL = 0.010  # interocular distances; lips and lids nearer than this touch
_MOUTH_BLUR_PX, _EDGE_BLUR_PX = 0.8, 0.8
_SOCKET = 0.03  # interocular distances that the eyes lie behind the lids
# The atlas has twice the output's resolution, so that bilinear sampling loses nothing.
_ATLAS_FACTOR = 2
_WHOLLY = np.ones(1, np.float32)


@dataclasses.dataclass(frozen=True, slots=True)
class RenderConfig:
    """What the frames look like."""

    size: Literal[256, 512, 1024] | int = 512  # px of the frame's longer side, even
    expression_gain: float = 1.0  # 1 moves the face as the motion says
    head_gain: float = 1.0
    refine: bool = True  # let a small network repaint the open mouth

    def __post_init__(self) -> None:
        """Refuse sizes that video cannot hold."""
        if not 128 <= self.size <= 2048 or self.size % 2:
            raise ConfigError(
                f"the frame size is {self.size}; it must be even, from 128 to 2048 px."
            )
        if self.expression_gain < 0 or self.head_gain < 0:
            raise ConfigError("gains must not be negative; 0 switches a movement off.")


class FramePainter(Protocol):
    """What may go over a frame once it is drawn, such as the refiner's network."""

    def paint(
        self, image: npt.NDArray[np.uint8], points: FloatArray, coefficients: FloatArray
    ) -> None:
        """Paint over a frame in place.

        Args:
            image: `[height, width, 3] uint8 RGB`.
            points: `[V, 3]` the sheet as drawn: x and y in output px, depth in px. The first 468
                are the landmarks, so that `obverse.generator.contours` indexes them.
            coefficients: `[52]` of the expression, gains applied.
        """
        ...


class Renderer:
    """Renders one portrait. Not shared between threads: it reuses its buffers."""

    def __init__(
        self,
        portrait: Portrait,
        config: RenderConfig | None = None,
        painter: FramePainter | None = None,
    ) -> None:
        """Fit the head; prepare the sheet, the mouth, the eyes and the atlas (about a second).

        `painter` takes the place of the refiner that `config.refine` would load.
        """
        self.config = config or RenderConfig()
        self.portrait = portrait
        model = HeadModel.load()
        self.model = model
        self.fitted: FittedHead = fit_head(portrait, model)
        self.relief: Relief = build_relief(portrait, self.fitted, model)
        self.back: BackLayer = make_back_layer(portrait, self.fitted, self.relief)
        self.mouth: Mouth = make_mouth(portrait, self.fitted, model, self.relief)
        self.eyes = {side: self._prepare_eye(side) for side in ("left", "right")}
        lids = (make_lid(portrait, self.fitted, self.relief, side) for side in ("left", "right"))
        self.lids = [lid for lid in lids if lid is not None]
        height, width = portrait.picture.shape[:2]
        self._scale = self.config.size / max(height, width)
        self.width, self.height = (round(s * self._scale / 2) * 2 for s in (width, height))
        shape = (self.height, self.width)
        self._depth = np.zeros(shape, np.float32)
        self._where = np.zeros((*shape, 2), np.float32)
        self._opacity = np.zeros(shape, np.float32)
        self._edge_px = _EDGE * self.fitted.scale_px * self._scale * _ATLAS_FACTOR
        self._atlas = self._prepare_atlas()
        self._moving = self._moving_triangles()
        self._plate = self._prepare_plate()
        self._straight = self._gaze(np.zeros(52, np.float32))
        self._painter = painter or self._refiner()

    def frames(self, motion: Motion) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield one `[height, width, 3] uint8 RGB` frame for each of the motion's."""
        for index in range(len(motion)):
            yield self.frame(
                motion.expression[index], motion.rotation[index], motion.translation[index]
            )

    def frame(
        self, expression: npt.ArrayLike, rotation: npt.ArrayLike, translation: npt.ArrayLike
    ) -> npt.NDArray[np.uint8]:
        """Render one frame.

        Args:
            expression: `[52]` coefficients.
            rotation: `[3]` pitch, yaw, roll in radians, relative to how the still holds its head.
            translation: `[3]` in interocular distances.
        """
        coefficients = np.asarray(expression, np.float32) * np.float32(self.config.expression_gain)
        turn, move = self._rigid(rotation, translation)
        image = self._plate.copy()
        points = displaced(self.relief.rest, self.relief.basis, coefficients)
        for opening in self._openings():
            _part(points, opening, self.relief.down, _SEAL * self.fitted.scale_px)
        sheet = self._place(points, self.relief.head_weight, turn, move)
        self._draw_back(image, turn, move)
        self._draw_eyes(image, sheet, coefficients, turn, move)
        self._draw_mouth(image, sheet, coefficients, turn, move)
        self._draw_sheet(image, sheet)
        self._draw_lids(image, sheet)
        if self._painter is not None:
            self._painter.paint(image, sheet, coefficients)
        return image

    def rest_points(self) -> FloatArray:
        """Return the sheet [V, 3] in output px as it lies in the still, lips as they were."""
        points = np.column_stack([self.relief.texture, self.relief.rest[:, 2]])
        return self._to_output(np.asarray(points, np.float32))

    def _refiner(self) -> FramePainter | None:
        if not self.config.refine:
            return None
        from obverse.generator.refine import Refiner  # loads its network

        painter: FramePainter = Refiner(self.portrait, self.rest_points(), self.width, self.height)
        return painter

    def _prepare_atlas(self) -> npt.NDArray[np.uint8]:
        rgba = np.dstack(
            [
                self.portrait.foreground,
                np.clip(self.portrait.matte * 255 + 0.5, 0, 255).astype(np.uint8),
            ]
        )
        return _resized(_resized(rgba, self.width, self.height), *self._atlas_size())

    def _atlas_size(self) -> tuple[int, int]:
        return self.width * _ATLAS_FACTOR, self.height * _ATLAS_FACTOR

    def _prepare_plate(self) -> npt.NDArray[np.uint8]:
        """Return the background with the parts of the person that never move."""
        plate = _resized(self.portrait.background, self.width, self.height)
        still = np.setdiff1d(np.arange(len(self.relief.triangles)), self._moving)
        points = self._to_output(self.relief.rest)
        self._draw(plate, points, self.relief.triangles[still], self._sheet_attributes, self._atlas)
        return plate

    def _moving_triangles(self) -> npt.NDArray[np.intp]:
        moves = (self.relief.head_weight > 1e-3) | (np.abs(self.relief.basis).max((0, 2)) > 0.02)
        return np.flatnonzero(moves[self.relief.triangles].any(1))

    def _prepare_eye(self, side: str) -> EyePatch:
        lids = self.relief.rest[self.relief.eyes[side].upper, 2]
        return make_eye(self.portrait, side, float(lids.mean()) + _SOCKET * self.fitted.scale_px)

    def _rigid(
        self, rotation: npt.ArrayLike, translation: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Return the head's rotation in the camera's frame and its shift in picture pixels."""
        turn = np.asarray(rotation, np.float64) * self.config.head_gain
        own = rotation_matrix(self.fitted.within_reach(turn))
        rest = self.fitted.rotation.astype(np.float64)
        shift = np.asarray(translation, np.float64) * self.fitted.scale_px * self.config.head_gain
        return (rest @ own @ rest.T).astype(np.float32), shift.astype(np.float32)

    def _place(
        self, points: FloatArray, weight: FloatArray | None, turn: FloatArray, shift: FloatArray
    ) -> FloatArray:
        """Turn points [V, 3] (picture px) with the head and project them to output px."""
        placed: FloatArray = turned(
            points,
            _WHOLLY if weight is None else weight,
            turn,
            shift,
            self.relief.pivot,
            self.fitted.origin_px,
            _CAMERA_DISTANCE * self.fitted.scale_px,
            self._scale,
        )
        return placed

    def _to_output(self, points: FloatArray) -> FloatArray:
        scaled = points * np.float32(self._scale)
        scaled[:, :2] += np.float32(0.5 * self._scale - 0.5)
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def _draw(
        self,
        image: npt.NDArray[np.uint8],
        points: FloatArray,
        triangles: npt.NDArray[np.int32],
        attributes: FloatArray,
        atlas: npt.NDArray[np.uint8],
        outline: FloatArray | None = None,
        *,
        sparse: bool = True,
    ) -> None:
        """Draw triangles over the image; with an outline [n, 2] only inside it."""
        window = self._window(points if outline is None else outline)
        if window[0] >= window[2] or window[1] >= window[3]:
            return
        rasterise(points, triangles, attributes, self._depth, self._where, self._opacity, window)
        if outline is not None:
            self._clip(window, outline)
        blend(image, self._where, self._opacity, self._depth, atlas, window, sparse=sparse)

    def _window(self, points: FloatArray) -> tuple[int, int, int, int]:
        """Return the box (x0, y0, x1, y1) around points, a little wider, within the frame."""
        low = np.floor(points[:, :2].min(0)).astype(int) - _MARGIN_PX
        high = np.ceil(points[:, :2].max(0)).astype(int) + _MARGIN_PX + 1
        x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
        return x0, y0, min(int(high[0]), self.width), min(int(high[1]), self.height)

    def _clip(self, window: tuple[int, int, int, int], outline: FloatArray) -> None:
        """Make what was rasterised transparent outside the outline."""
        x0, y0, x1, y1 = window
        inside = np.zeros((y1 - y0, x1 - x0), np.float32)
        shape = np.round((outline - np.array([x0, y0], np.float32)) * 16).astype(np.int32)
        cv2.fillPoly(inside, [shape], 1.0, shift=4)
        cv2.polylines(inside, [shape], True, 1.0, thickness=_MARGIN_PX, shift=4)
        self._opacity[y0:y1, x0:x1] *= inside

    def _to_atlas(self, points: FloatArray) -> FloatArray:
        factor = self._scale * _ATLAS_FACTOR
        return np.asarray(points * factor + (0.5 * factor - 0.5), np.float32)

    def _outline(self, sheet: FloatArray, opening: Opening) -> FloatArray:
        return np.concatenate([sheet[opening.upper, :2], sheet[opening.lower[-2:0:-1], :2]])

    @functools.cached_property
    def _moving_sheet(self) -> npt.NDArray[np.int32]:
        return np.ascontiguousarray(self.relief.triangles[self._moving])

    @functools.cached_property
    def _sheet_attributes(self) -> FloatArray:
        opacity = np.ones(len(self.relief.rest), np.float32)
        for opening in self._openings():
            opacity[opening.upper_rim] = 0
            opacity[opening.lower_rim] = 0
        return np.ascontiguousarray(
            np.column_stack([self._to_atlas(self.relief.texture), opacity]), dtype=np.float32
        )

    def _openings(self) -> tuple[Opening, ...]:
        return (self.relief.mouth, *self.relief.eyes.values())

    def _draw_sheet(self, image: npt.NDArray[np.uint8], sheet: FloatArray) -> None:
        attributes = self._sheet_attributes.copy()
        for opening in self._openings():
            self._hang_rims(sheet, attributes, opening)
        self._draw(image, sheet, self._moving_sheet, attributes, self._atlas, sparse=False)
        for opening in self._openings():
            _soften(image, sheet[opening.upper, :2], sheet[opening.lower, :2])

    def _hang_rims(self, placed: FloatArray, attributes: FloatArray, opening: Opening) -> None:
        """Let the soft edges reach a pixel or so into the opening, no further than its middle."""
        apart_px = _APART * self.fitted.scale_px * self._scale
        inwards = self.relief.down * np.float32(self._edge_px)
        sides = (
            (opening.upper, opening.lower, opening.upper_rim, -inwards),
            (opening.lower, opening.upper, opening.lower_rim, inwards),
        )
        for edge, other, rim, step in sides:
            hang(placed, attributes, edge, other, rim, _RIM_PX, apart_px, step)

    @functools.cached_property
    def _back_attributes(self) -> FloatArray:
        texture = self._to_atlas(self.back.texture)
        return np.column_stack([texture, np.ones(len(texture), np.float32)]).astype(np.float32)

    def _draw_back(self, image: npt.NDArray[np.uint8], turn: FloatArray, move: FloatArray) -> None:
        """Draw what shows only where a turn of the head uncovers it."""
        placed = self._place(self.back.rest, self.back.head_weight, turn, move)
        self._draw(image, placed, self.back.triangles, self._back_attributes, self._atlas)

    def _draw_lids(self, image: npt.NDArray[np.uint8], sheet: FloatArray) -> None:
        """Lay the painted lids over eyes that shut."""
        for lid in self.lids:
            drawn = lid.drawn(sheet, self.relief.down, self.fitted.scale_px * self._scale)
            if drawn is not None:
                self._draw(image, drawn[0], lid.triangles, drawn[1], lid.paint)

    def _draw_mouth(
        self,
        image: npt.NDArray[np.uint8],
        sheet: FloatArray,
        coefficients: FloatArray,
        turn: FloatArray,
        move: FloatArray,
    ) -> None:
        mouth, lips = self.mouth, self.relief.mouth
        if not (sheet[lips.upper, :2] != sheet[lips.lower, :2]).any():
            return  # the lips are sealed
        points = displaced(mouth.rest, mouth.basis, coefficients)
        placed = self._place(points, None, turn, move)
        opening = self._outline(sheet, lips)
        self._draw(image, placed, mouth.triangles, mouth.attributes, mouth.palette, opening)
        # Teeth of a few pixels have hard edges; the portrait's own pixels do not. The sheet then
        # covers the rest.
        x0, y0, x1, y1 = self._window(opening)
        inside = image[y0 : max(y0, y1), x0 : max(x0, x1)]
        if inside.size:
            cv2.GaussianBlur(inside, (0, 0), _MOUTH_BLUR_PX, dst=inside)

    def _gaze(self, expression: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return where each eye looks, as a unit vector in the head's frame."""
        forward = np.array([0, 0, -1], np.float32)
        return {
            side: self.model.gaze_rotation(expression, index) @ forward
            for index, side in enumerate(("left", "right"))
        }

    def _draw_eyes(
        self,
        image: npt.NDArray[np.uint8],
        sheet: FloatArray,
        coefficients: FloatArray,
        turn: FloatArray,
        move: FloatArray,
    ) -> None:
        gaze = self._gaze(coefficients)
        for side, eye in self.eyes.items():
            turned = (gaze[side] - self._straight[side])[None]
            shift = self.fitted.direction(turned)[0, :2] * self.model.eye_radius
            uv = self._to_atlas(eye.texture(shift))
            attributes = np.column_stack([uv, np.ones(len(uv), np.float32)]).astype(np.float32)
            placed = self._place(eye.rest, None, turn, move)
            opening = self._outline(sheet, self.relief.eyes[side])
            self._draw(image, placed, eye.triangles, attributes, self._atlas, opening)


def _part(points: FloatArray, opening: Opening, down: FloatArray, seal_px: float) -> None:
    """Keep the two contours of an opening from crossing: where they would, or nearly touch, they
    meet halfway.
    """
    upper, lower = opening.upper[1:-1], opening.lower[1:-1]
    gap = (points[lower, :2] - points[upper, :2]) @ down
    shut = gap < seal_px
    middle = 0.5 * (points[upper[shut]] + points[lower[shut]])
    points[upper[shut]] = middle
    points[lower[shut]] = middle


def _soften(image: npt.NDArray[np.uint8], *lines: FloatArray) -> None:
    """Take the staircase out of cut edges, in place: along the lines pixels are mixed with their
    neighbours.
    """
    points = np.concatenate(lines)
    limits = np.array([image.shape[1], image.shape[0]])
    x0, y0 = np.clip(np.floor(points.min(0)).astype(int) - 3, 0, limits)
    x1, y1 = np.clip(np.ceil(points.max(0)).astype(int) + 4, 0, limits)
    if x0 >= x1 or y0 >= y1:
        return
    patch = image[y0:y1, x0:x1]
    band = np.zeros(patch.shape[:2], np.uint8)
    shapes = [np.round((line - np.array([x0, y0])) * 16).astype(np.int32) for line in lines]
    cv2.polylines(band, shapes, False, 255, thickness=2, lineType=cv2.LINE_AA, shift=4)
    mix(patch, cv2.GaussianBlur(patch, (0, 0), _EDGE_BLUR_PX), band)


def _resized(image: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    if image.shape[1] == width and image.shape[0] == height:
        return image.copy()
    interpolation = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
