"""Paints the mouth of a rendered frame: what the geometry draws between the lips is a few shaded
triangles; a small network turns it into enamel, gum and shadow.

The network sees one crop, aligned by the lips and sized by the face, and answers with a change of
colour that is nothing away from the opening. Sealed lips are left alone without asking it, so teeth
never appear on a closed mouth.
"""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import InputError
from obverse.generator.contours import (
    EYE_UPPER,
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
)
from obverse.generator.mouth import light_of
from obverse.generator.portrait import Portrait
from obverse.weights import onnx_session, weight_path

__all__ = [
    "APPEARANCE",
    "CROP_HEIGHT",
    "CROP_WIDTH",
    "INNER",
    "NET_HEIGHT",
    "NET_WIDTH",
    "SPAN",
    "MouthCrop",
    "MouthNet",
    "Refiner",
    "crop_mouth",
    "mouth_appearance",
]

FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

CROP_WIDTH, CROP_HEIGHT = 128, 80  # px
_MARGIN = 8  # px of the crop's border where nothing changes but for the feather
# The network sees what may change and no more.
_BORDER = 4  # px
NET_WIDTH, NET_HEIGHT = CROP_WIDTH - 2 * _BORDER, CROP_HEIGHT - 2 * _BORDER
INNER = np.s_[_BORDER : CROP_HEIGHT - _BORDER, _BORDER : CROP_WIDTH - _BORDER]
SPAN = 1.3  # interocular distances across the crop: a wide smile with its corners
_LANDMARKS = 468
# Interocular distances between the lips: below the first the mouth is shut and left alone, from the
# second on the network's word counts in full.
_SHUT, _OPEN = 0.012, 0.05
_RIM_PX = 4  # of the crop: how far outside the opening lips may change
_FEATHER_PX = 2.0
_DARKENED = 0.45  # of its light that a pixel may lose: a groove between teeth is no slit
_SUBPIXEL_BITS = 4
_LUMA = np.array([0.299, 0.587, 0.114])
_LUMA32 = _LUMA.astype(np.float32)
# The colour of white in the picture's light, that of the teeth the still shows, and whether it
# shows any; colours in [0, 1].
APPEARANCE = (
    "white_red", "white_green", "white_blue",
    "teeth_red", "teeth_green", "teeth_blue", "teeth_seen",
)  # fmt: skip
_TEETH_GAP = 0.06  # interocular distances; a still's lips nearer than this show no teeth to measure


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class MouthCrop:
    """Where a frame's mouth lies, and how far it is open."""

    to_frame: npt.NDArray[np.float64]  # [2, 3] from crop px to frame px
    opening: FloatArray  # [CROP_HEIGHT, CROP_WIDTH] in [0, 1], 1 between the lips
    region: FloatArray  # [CROP_HEIGHT, CROP_WIDTH] in [0, 1], where pixels may change

    def cut(self, image: Image) -> Image:
        """Return the crop `[CROP_HEIGHT, CROP_WIDTH, 3]` of a frame."""
        return np.asarray(
            cv2.warpAffine(
                image,
                self.to_frame,
                (CROP_WIDTH, CROP_HEIGHT),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.uint8,
        )

    def add(self, image: Image, change: FloatArray) -> None:
        """Add a change of colour `[CROP_HEIGHT, CROP_WIDTH, 3]` in [-255, 255] to a frame, in
        place.
        """
        corners = np.array(
            [[0, 0], [CROP_WIDTH, 0], [0, CROP_HEIGHT], [CROP_WIDTH, CROP_HEIGHT]], np.float64
        )
        placed = corners @ self.to_frame[:, :2].T + self.to_frame[:, 2]
        limits = np.array([image.shape[1], image.shape[0]])
        x0, y0 = np.clip(np.floor(placed.min(0)).astype(int), 0, limits).tolist()
        x1, y1 = np.clip(np.ceil(placed.max(0)).astype(int) + 1, 0, limits).tolist()
        if x0 >= x1 or y0 >= y1:
            return
        here = self.to_frame.copy()
        here[:, 2] -= (x0, y0)
        moved = cv2.warpAffine(
            change, here, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        patch = image[y0:y1, x0:x1]
        # OpenCV rounds and saturates.
        patch[:] = cv2.add(patch, moved, dtype=cv2.CV_8U)


def crop_mouth(sheet: FloatArray) -> MouthCrop | None:
    """Find the mouth of a frame by the landmarks' places in it; None when the lips are sealed.

    Args:
        sheet: `[V, 3]` frame px, the first 468 of them the landmarks; z has the same scale.

    Raises:
        InputError: there are fewer points than landmarks.
    """
    if len(sheet) < _LANDMARKS:
        raise InputError(f"a sheet holds {len(sheet)} points; the landmarks alone are 468.")
    upper, lower = sheet[list(LIPS_INNER_UPPER), :2], sheet[list(LIPS_INNER_LOWER), :2]
    size = _interocular(sheet)
    gap = float(np.linalg.norm(lower - upper, axis=1).max()) / size
    if gap <= _SHUT:
        return None
    across = (upper[-1] - upper[0]).astype(np.float64)
    length = max(float(np.linalg.norm(across)), 1e-6)
    unit = across / length
    step = SPAN * size / CROP_WIDTH
    to_frame = np.empty((2, 3))
    to_frame[:, 0] = unit * step
    to_frame[:, 1] = np.array([-unit[1], unit[0]]) * step
    middle = 0.5 * (upper.mean(0) + lower.mean(0))
    to_frame[:, 2] = middle - to_frame[:, :2] @ (
        (CROP_WIDTH - 1) / 2,
        (CROP_HEIGHT - 1) / 2,
    )
    outline = np.concatenate([upper, lower[-2:0:-1]]) - to_frame[:, 2]
    outline = outline @ np.linalg.inv(to_frame[:, :2]).T
    opening = np.zeros((CROP_HEIGHT, CROP_WIDTH), np.uint8)
    shape = np.round(outline * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(opening, [shape], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    region = cv2.dilate(opening, _DISC)
    region[:_MARGIN] = region[-_MARGIN:] = 0
    region[:, :_MARGIN] = region[:, -_MARGIN:] = 0
    soft = cv2.GaussianBlur(region, (0, 0), _FEATHER_PX).astype(np.float32)
    soft *= min((gap - _SHUT) / (_OPEN - _SHUT), 1.0) / 255.0
    return MouthCrop(to_frame, opening.astype(np.float32) / 255.0, soft)


_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _RIM_PX + 1, 2 * _RIM_PX + 1))


def _interocular(points: npt.NDArray[np.floating]) -> float:
    """Return the distance between the eyes' corners' middles in three dimensions, so that a turn
    hides nothing of it.
    """
    ends = [
        points[[EYE_UPPER[side][0], EYE_UPPER[side][-1]]].mean(0, dtype=np.float64)
        for side in ("left", "right")
    ]
    return max(float(np.linalg.norm(ends[0] - ends[1])), 1e-3)


def mouth_appearance(portrait: Portrait) -> FloatArray:
    """Return what the network is told of a portrait, `[len(APPEARANCE)]` in [0, 1]."""
    white = light_of(portrait) / 255.0
    points = portrait.landmarks[:, :2]
    upper, lower = points[list(LIPS_INNER_UPPER)], points[list(LIPS_INNER_LOWER)]
    gap = np.linalg.norm(lower - upper, axis=1).max() / portrait.interocular_px
    teeth, seen = np.zeros(3), 0.0
    if gap > _TEETH_GAP:
        outline = np.concatenate([upper, lower[-2:0:-1]])
        low = np.maximum(np.floor(outline.min(0)).astype(int), 0)
        high = np.ceil(outline.max(0)).astype(int) + 1
        patch = portrait.picture[low[1] : high[1], low[0] : high[0]]
        inside = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.round(outline - low).astype(np.int32)], 1)
        colours = patch[inside > 0].astype(np.float64) / 255.0
        if len(colours) >= 16:
            luma = colours @ _LUMA
            brightest = colours[luma >= np.quantile(luma, 0.75)].mean(0)
            # Only what is about as light as enamel in this light is enamel.
            if float(brightest @ _LUMA) > 0.5 * float(white @ _LUMA):
                teeth, seen = brightest, 1.0
    return np.asarray([*white, *teeth, seen], np.float32)


class MouthNet:
    """The network itself, on one thread."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the weights that ship, or those of a training of one's own.

        Raises:
            WeightsError: the weights are absent or not the ones on their card.
        """
        path = path or weight_path("obverse.generator", "refiner.onnx")
        self._session: Any = onnx_session(path)
        self._planes = np.empty((1, 4, NET_HEIGHT, NET_WIDTH), np.float32)

    def change(
        self, pixels: Image, opening: FloatArray, region: FloatArray, appearance: FloatArray
    ) -> FloatArray:
        """Return what to add to a mouth crop `[CROP_HEIGHT, CROP_WIDTH, 3]`, in [-255, 255].

        Args:
            pixels: `[CROP_HEIGHT, CROP_WIDTH, 3]` RGB as drawn.
            opening: `[CROP_HEIGHT, CROP_WIDTH]` of a `MouthCrop`.
            region: `[CROP_HEIGHT, CROP_WIDTH]` of a `MouthCrop`.
            appearance: `[len(APPEARANCE)]` of `mouth_appearance`.
        """
        planes = self._planes
        np.multiply(pixels[INNER].transpose(2, 0, 1), np.float32(1 / 255), out=planes[0, :3])
        planes[0, 3] = opening[INNER]
        (change,) = self._session.run(
            ["change"], {"planes": planes, "appearance": appearance[None]}
        )
        scaled = np.zeros((CROP_HEIGHT, CROP_WIDTH, 3), np.float32)
        may_change = np.flatnonzero(region[INNER].any(1))
        if not len(may_change):
            return scaled
        rows = slice(int(may_change[0]), int(may_change[-1]) + 1)
        # Light and detail are the network's, colour is not: what becomes darker keeps its own, what
        # becomes lighter takes that of white in the portrait's light, and never more of it.
        lightest = np.maximum(appearance[:3], appearance[3:6] * appearance[6]) * np.float32(255.0)
        own = pixels[INNER][rows].astype(np.float32)
        luma = own @ _LUMA32
        lighter = np.tensordot(_LUMA32, change[0, :, rows], 1)
        lighter *= region[INNER][rows] * np.float32(255.0)
        np.maximum(lighter, luma * np.float32(-_DARKENED), out=lighter)
        tint = own / np.maximum(luma, np.float32(1.0))[..., None]
        tint[lighter > 0] = lightest / max(float(lightest @ _LUMA32), 1.0)
        ceiling = np.maximum(lightest - own, np.float32(0.0))
        np.minimum(lighter[..., None] * tint, ceiling, out=scaled[INNER][rows])
        return scaled


class Refiner:
    """Paints the mouth of one portrait's frames. Deterministic; no frame depends on another."""

    def __init__(
        self,
        portrait: Portrait,
        rest_points: FloatArray,
        width: int,
        height: int,
        *,
        net: MouthNet | None = None,
    ) -> None:
        """Open the network and measure the portrait's colours.

        Args:
            portrait: whose frames will be painted.
            rest_points: `[V, 3]` frame px, the sheet as it lies in the still.
            width: of the frames, px.
            height: of the frames, px.
            net: a network that is open already; the one that ships without it.

        Raises:
            WeightsError: the weights are absent or not the ones on their card.
        """
        del rest_points, width, height  # the crop is found anew in every frame
        self._net = net or MouthNet()
        self._appearance = mouth_appearance(portrait)

    def paint(self, image: Image, points: FloatArray, coefficients: FloatArray) -> None:
        """Improve a frame in place, given where its landmarks lie.

        Args:
            image: `[height, width, 3] uint8 RGB`.
            points: `[V, 3]` frame px, the first 468 of them the landmarks; z has the same scale.
            coefficients: `[52]` of the frame; the lips' places say all that is used of them.
        """
        del coefficients
        crop = crop_mouth(points)
        if crop is None:
            return
        change = self._net.change(crop.cut(image), crop.opening, crop.region, self._appearance)
        crop.add(image, change)
