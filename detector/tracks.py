"""Links the faces of successive pictures to tracks: one person, one track, one verdict.

Faces are matched by how much their boxes overlap, else by how far they have moved; a face may be
out of sight for a while. A change of shot ends every track: who is who is not asked of their
features, so that a person who comes back after a cut begins a new track.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from obverse.detector.recipe import CropRecipe
from obverse.faces.landmarks import Face

__all__ = ["Linker", "overlap"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

THUMBNAIL_PX = 32
SAME_SHOT = 0.4  # correlation of two thumbnails below which there was a cut
SIZE_RATIO = 1.8  # by which a face may have grown or shrunk


def overlap(a: Floats, b: Floats) -> float:
    """Return the intersection over union of two boxes x0, y0, x1, y1."""
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    whole = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return float(shared / max(whole, 1e-9))


@dataclasses.dataclass(slots=True)
class _Open:
    number: int
    box: Floats
    moment: int


class Linker:
    """Gives each face of each picture the number of its track."""

    def __init__(self, recipe: CropRecipe) -> None:
        self._recipe = recipe
        self._open: list[_Open] = []
        self._count = 0
        self._thumbnail: npt.NDArray[np.float32] | None = None

    def link(self, moment: int, image: Image, faces: Sequence[Face]) -> list[int]:
        """Return the track of each face of a picture.

        Args:
            moment: which moment of the film this is; pictures of one burst share it.
            image: the picture, in which a change of shot is looked for.
            faces: in the picture.
        """
        if self._cut(image):
            self._open = []
        self._open = [t for t in self._open if moment - t.moment <= self._recipe.gap + 1]
        numbers = [-1] * len(faces)
        if faces and self._open:
            kinship = np.array(
                [[self._kinship(t.box, face.box) for t in self._open] for face in faces]
            )
            if kinship.shape == (1, 1) and kinship[0, 0] == 0 and self._alike(faces[0]):
                kinship[0, 0] = 1e-6  # one face before and one now, in one shot
            for row, column in zip(*linear_sum_assignment(-kinship), strict=True):
                if kinship[row, column] > 0:
                    track = self._open[column]
                    numbers[row] = track.number
                    track.box, track.moment = faces[row].box, moment
        for row, number in enumerate(numbers):
            if number < 0:
                numbers[row] = self._count
                self._open.append(_Open(self._count, faces[row].box, moment))
                self._count += 1
        return numbers

    def _cut(self, image: Image) -> bool:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        size = (THUMBNAIL_PX, THUMBNAIL_PX)
        thumbnail = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        thumbnail -= thumbnail.mean()
        before, self._thumbnail = self._thumbnail, thumbnail
        if before is None:
            return False
        power = float(np.linalg.norm(before) * np.linalg.norm(thumbnail))
        return power > 0 and float((before * thumbnail).sum()) / power < SAME_SHOT

    def _kinship(self, before: Floats, now: Floats) -> float:
        shared = overlap(before, now)
        if shared >= self._recipe.link:
            return 1 + shared
        sides = [float((box[2:] - box[:2]).mean()) for box in (before, now)]
        if max(sides) > SIZE_RATIO * max(min(sides), 1e-6):
            return 0.0
        moved = float(np.linalg.norm((before[:2] + before[2:] - now[:2] - now[2:]) / 2))
        reach = self._recipe.reach * sum(sides) / 2
        return max(0.0, 1 - moved / reach) if reach > 0 else 0.0

    def _alike(self, face: Face) -> bool:
        before = float((self._open[0].box[2:] - self._open[0].box[:2]).mean())
        return 1 / SIZE_RATIO < face.side / max(before, 1e-6) < SIZE_RATIO
