"""A `Portrait` and a `Motion` become frames: the portrait's own pixels, moved.

A frame is laid together from the back: the filled background, what lies behind lips and lids, and
the portrait's sheet, turned in depth and bent by the expression. All that depends on the portrait
alone is prepared in `Renderer`.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.back_layer import BackLayer, make_back_layer
from obverse.generator.canvas import Atlas, Canvas
from obverse.generator.eye_patch import EyePatch, make_eye
from obverse.generator.fit import SKIN_LANDMARKS, FittedHead, eased, fit_head
from obverse.generator.head import HeadModel
from obverse.generator.lids import make_lid
from obverse.generator.motion import EXPRESSIONS, Motion, rotation_matrix
from obverse.generator.mouth import Mouth, make_mouth
from obverse.generator.portrait import Portrait
from obverse.generator.relief import Opening, Relief, build_relief
from obverse.generator.softening import blurred, mix, stroke
from obverse.generator.warp import Field, hang, part, turned

__all__ = ["FramePainter", "RenderConfig", "Renderer"]

FloatArray = npt.NDArray[np.float32]

_CAMERA_DISTANCE = 14.0  # interocular distances, about 0.9 m: the perspective of a portrait lens
# Interocular distances that a head may come nearer and go away, and move aside near a border.
_NEAREST, _FARTHEST, _LEAST_ROOM = 6.0, 12.0, 0.25
_CUT_ROOM = 0.12  # and down from an upper border that cuts the head off
_LEAN = 1.0  # interocular distances that a head leans towards or away; then the body comes along
_UNSEEN_PX = 0.005  # of the output; what a whole coefficient moves by less stays
# What a still smiles, frowns or raises already counts: together with it there is no more than this
# of a coefficient, though always a little more than there was.
_SUMMED = ("mouthSmile", "mouthFrown", "mouthDimple", "brow", "cheekSquint", "noseSneer", "eyeWide")
_TOGETHER, _LEAST_MORE = 1.2, 0.2
# Sine of the head's yaw from which its far cheek might be seen through its mouth.
_ASIDE = float(np.sin(np.deg2rad(15.0)))
_RIM_PX = 1.3  # softness of lips' and lids' edges in output pixels
_EDGE, _APART = 0.02, 0.08  # interocular distances: see _hang_rims
_SEAL = 0.010  # interocular distances; lips and lids nearer than this touch
_MOUTH_BLUR_PX, _EDGE_BLUR_PX = 0.8, 0.8
_EDGE_PX = 3.4  # of an edge that is softened
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
        gains = (self.expression_gain, self.head_gain)
        if not all(np.isfinite(gain) and gain >= 0 for gain in gains):
            raise ConfigError(
                f"the gains are {gains}; they must be numbers from 0, and 0 is no movement."
            )


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
        self._canvas = Canvas(self.width, self.height)
        self._edge_px = _EDGE * self.fitted.scale_px * self._scale * _ATLAS_FACTOR
        self._atlas = Atlas.of(self._prepare_atlas())
        self._palette = Atlas.of(self.mouth.palette)
        self._paints = [Atlas.of(lid.paint) for lid in self.lids]
        self._sheet_field = Field.of(self.relief.basis, _UNSEEN_PX / self._scale)
        self._mouth_field = Field.of(self.mouth.basis, _UNSEEN_PX / self._scale)
        self._moving = self._moving_triangles()
        self._canvas.image[..., :3] = _resized(self.portrait.background, self.width, self.height)
        self._background = self._canvas.pixels.copy()
        self._plate = self._prepare_plate()
        self._room = self._free_room()
        self._most = _most_beyond(self.fitted.expression)
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
        coefficients = self._felt(expression)
        turn, move = self._rigid(rotation, translation)
        body = self._lean(move)
        np.copyto(self._canvas.pixels, self._background if body else self._plate)
        sheet = self._sheet(coefficients, turn, move, body)
        self._draw_back(turn, move, body)
        layers = self._whole_sheet if body else self._moving_sheet
        aside = abs(float(turn[2] @ self.fitted.rotation[:, 0])) > _ASIDE
        if aside:
            self._canvas.draw(sheet, layers.around, self._sheet_attributes, self._atlas)
        self._draw_eyes(sheet, coefficients, turn, move)
        self._draw_mouth(sheet, coefficients, turn, move)
        self._draw_face(sheet, self._seen(sheet, layers.face) if aside else layers.both)
        self._draw_lids(sheet)
        image = self._canvas.rgb()
        if self._painter is not None:
            self._painter.paint(image, sheet, coefficients)
        return image

    def points(
        self, expression: npt.ArrayLike, rotation: npt.ArrayLike, translation: npt.ArrayLike
    ) -> FloatArray:
        """Return where `frame` draws the sheet [V, 3], output px; the first 468 are landmarks."""
        turn, move = self._rigid(rotation, translation)
        return self._sheet(self._felt(expression), turn, move, self._lean(move))

    def rest_points(self) -> FloatArray:
        """Return the sheet [V, 3] in output px as it lies in the still, lips as they were."""
        points = np.column_stack([self.relief.texture, self.relief.rest[:, 2]])
        return self._to_output(np.asarray(points, np.float32))

    def _felt(self, expression: npt.ArrayLike) -> FloatArray:
        """Return coefficients [52] that the still can add to its own."""
        coefficients = np.asarray(expression, np.float32) * np.float32(self.config.expression_gain)
        felt: FloatArray = np.minimum(coefficients, self._most)
        return felt

    def _lean(self, move: FloatArray) -> float:
        """Return how far a shift takes the body along, px away from the camera."""
        return float(move[2]) - eased(float(move[2]), _LEAN * self.fitted.scale_px)

    def _sheet(
        self, coefficients: FloatArray, turn: FloatArray, move: FloatArray, body: float
    ) -> FloatArray:
        points = self._sheet_field.displace(self.relief.rest, coefficients)
        for opening in self._openings():
            seal_px = _SEAL * self.fitted.scale_px
            part(points, opening.upper, opening.lower, self.relief.down, seal_px)
        return self._place(points, self.relief.head_weight, turn, move, body)

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

    def _prepare_plate(self) -> npt.NDArray[np.uint32]:
        """Return the background with the parts of the person that never move."""
        canvas = self._canvas
        np.copyto(canvas.pixels, self._background)
        still = np.setdiff1d(np.arange(len(self.relief.triangles)), self._moving)
        points = self._to_output(self.relief.rest)
        canvas.draw(points, self.relief.triangles[still], self._sheet_attributes, self._atlas)
        return canvas.pixels.copy()

    def _free_room(self) -> tuple[tuple[float, float], ...]:
        """Return how far the head may move either way along x, y and z, in picture px, before the
        face leaves the frame.
        """
        height, width = self.portrait.picture.shape[:2]
        low, high = self.portrait.landmarks.min(0), self.portrait.landmarks.max(0)
        unit = self.fitted.scale_px
        least = _LEAST_ROOM * unit  # a face that the border cuts may still stir
        x, y = (
            (max(least, float(low[axis])), max(least, float(size - high[axis])))
            for axis, size in enumerate((width, height))
        )
        if (self.portrait.matte[0] > 0.5).any():  # the crown is cut off: little of it can be shown
            y = y[0], _CUT_ROOM * unit
        return x, y, (_NEAREST * unit, _FARTHEST * unit)

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
        for axis, (low, high) in enumerate(self._room):
            shift[axis] = eased(shift[axis], low if shift[axis] < 0 else high)
        return (rest @ own @ rest.T).astype(np.float32), shift.astype(np.float32)

    def _place(
        self,
        points: FloatArray,
        weight: FloatArray | None,
        turn: FloatArray,
        shift: FloatArray,
        body: float = 0.0,
    ) -> FloatArray:
        """Turn points [V, 3] (picture px) with the head, take the rest `body` px away from the
        camera, and project them to output px.
        """
        placed: FloatArray = turned(
            points,
            _WHOLLY if weight is None else weight,
            turn,
            shift,
            self.relief.pivot,
            self.fitted.origin_px,
            _CAMERA_DISTANCE * self.fitted.scale_px,
            self._scale,
            body,
        )
        return placed

    def _to_output(self, points: FloatArray) -> FloatArray:
        scaled = points * np.float32(self._scale)
        scaled[:, :2] += np.float32(0.5 * self._scale - 0.5)
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def _to_atlas(self, points: FloatArray) -> FloatArray:
        factor = self._scale * _ATLAS_FACTOR
        return np.asarray(points * factor + (0.5 * factor - 0.5), np.float32)

    def _outline(self, sheet: FloatArray, opening: Opening) -> FloatArray:
        return sheet[opening.contour, :2]

    @functools.cached_property
    def _moving_sheet(self) -> "_Layers":
        return self._split(self.relief.triangles[self._moving])

    @functools.cached_property
    def _whole_sheet(self) -> "_Layers":
        return self._split(self.relief.triangles)

    def _split(self, triangles: npt.NDArray[np.int32]) -> "_Layers":
        rims = [rim for each in self._openings() for rim in (each.upper_rim, each.lower_rim)]
        own = np.concatenate([np.arange(SKIN_LANDMARKS), *rims])
        face = np.isin(triangles, own).all(1)
        parts = (triangles, triangles[~face], triangles[face])
        return _Layers(*(np.ascontiguousarray(part) for part in parts))

    @functools.cached_property
    def _frontal(self) -> FloatArray:
        """The landmarks [468, 2] of a head that faces the camera."""
        return self.model.landmarks(self.model.vertices)[:SKIN_LANDMARKS, :2]

    def _seen(self, sheet: FloatArray, triangles: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Leave out what shows its back behind the open mouth: the far cheek of a turned head."""
        mouth = self.relief.mouth
        if np.array_equal(sheet[mouth.upper], sheet[mouth.lower]):
            return triangles  # the lips are sealed
        lips = sheet[mouth.contour, :2]
        low, high = lips.min(0), lips.max(0)
        corners = sheet[triangles, :2]
        near = (corners.max(1) > low).all(1) & (corners.min(1) < high).all(1)
        near &= (triangles < SKIN_LANDMARKS).all(1)
        back = near.nonzero()[0]
        back = back[_turns(corners[back]) * _turns(self._frontal[triangles[back]]) < 0]
        return np.delete(triangles, back, 0) if len(back) else triangles

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

    def _draw_face(self, sheet: FloatArray, triangles: npt.NDArray[np.int32]) -> None:
        attributes = self._sheet_attributes.copy()
        for opening in self._openings():
            self._hang_rims(sheet, attributes, opening)
        self._canvas.draw(sheet, triangles, attributes, self._atlas)
        for opening in self._openings():
            self._soften(sheet, opening)

    def _soften(self, sheet: FloatArray, opening: Opening) -> None:
        """Take the staircase out of an opening's cut edges: along them pixels are mixed with their
        neighbours.
        """
        x0, y0, x1, y1 = self._canvas.window(self._outline(sheet, opening))
        if x0 >= x1 or y0 >= y1:
            return
        patch = self._canvas.image[y0:y1, x0:x1]
        band = np.zeros(patch.shape[:2], np.uint8)
        for line in (opening.upper, opening.lower):
            stroke(band, sheet, line, (x0, y0), _EDGE_PX)
        mix(patch, blurred(patch, _EDGE_BLUR_PX), band)

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

    def _draw_back(self, turn: FloatArray, move: FloatArray, body: float) -> None:
        """Draw what shows only where a turn of the head uncovers it."""
        placed = self._place(self.back.rest, self.back.head_weight, turn, move, body)
        self._canvas.draw(placed, self.back.triangles, self._back_attributes, self._atlas)

    def _draw_lids(self, sheet: FloatArray) -> None:
        """Lay the painted lids over eyes that shut."""
        for lid, paint in zip(self.lids, self._paints, strict=True):
            drawn = lid.drawn(sheet, self.relief.down, self.fitted.scale_px * self._scale)
            if drawn is not None:
                self._canvas.draw(drawn[0], lid.triangles, drawn[1], paint)

    def _draw_mouth(
        self,
        sheet: FloatArray,
        coefficients: FloatArray,
        turn: FloatArray,
        move: FloatArray,
    ) -> None:
        mouth, lips = self.mouth, self.relief.mouth
        if not (sheet[lips.upper, :2] != sheet[lips.lower, :2]).any():
            return  # the lips are sealed
        points = self._mouth_field.displace(mouth.rest, coefficients)
        placed = self._place(points, None, turn, move)
        opening = self._outline(sheet, lips)
        self._canvas.draw(placed, mouth.triangles, mouth.attributes, self._palette, opening)
        # Teeth of a few pixels have hard edges; the portrait's own pixels do not. The sheet then
        # covers the rest.
        x0, y0, x1, y1 = self._canvas.window(opening)
        inside = self._canvas.image[y0 : max(y0, y1), x0 : max(x0, x1)]
        if inside.size:
            inside[:] = blurred(inside, _MOUTH_BLUR_PX)

    def _gaze(self, expression: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return where each eye looks, as a unit vector in the head's frame."""
        forward = np.array([0, 0, -1], np.float32)
        return {
            side: self.model.gaze_rotation(expression, index) @ forward
            for index, side in enumerate(("left", "right"))
        }

    def _draw_eyes(
        self,
        sheet: FloatArray,
        coefficients: FloatArray,
        turn: FloatArray,
        move: FloatArray,
    ) -> None:
        gaze = self._gaze(coefficients)
        for side, eye in self.eyes.items():
            aside = self.fitted.direction(gaze[side] - self._straight[side])
            attributes = np.ones((len(eye.rest), 3), np.float32)
            attributes[:, :2] = self._to_atlas(eye.texture(aside[:2] * self.model.eye_radius))
            placed = self._place(eye.rest, None, turn, move)
            opening = self._outline(sheet, self.relief.eyes[side])
            self._canvas.draw(placed, eye.triangles, attributes, self._atlas, opening)


class _Layers(NamedTuple):
    """The sheet's triangles. Seen from the side, the far cheek and what is beyond it lie behind an
    open mouth, and are drawn before what is in there.
    """

    both: npt.NDArray[np.int32]  # [F, 3]
    around: npt.NDArray[np.int32]  # [A, 3] what lies around the face
    face: npt.NDArray[np.int32]  # [F - A, 3]


def _most_beyond(own: FloatArray) -> FloatArray:
    """Return how much of each coefficient [52] a still can add to what its face does already."""
    most = np.full(len(EXPRESSIONS), np.inf, np.float32)
    for index, name in enumerate(EXPRESSIONS):
        if name.startswith(_SUMMED):
            most[index] = max(_TOGETHER - float(own[index]), _LEAST_MORE)
    return most


def _turns(corners: FloatArray) -> FloatArray:
    """Return twice the signed areas [F] of triangles [F, 3, 2]."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0], np.float32)


def _resized(image: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    if image.shape[1] == width and image.shape[0] == height:
        return image.copy()
    interpolation = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
