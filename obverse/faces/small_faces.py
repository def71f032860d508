"""Finds faces of any size in one look: YuNet over the whole picture.

BlazeFace (`obverse.faces.detection`) is made for faces that fill a good part of the picture and
searches tiles for others; YuNet finds faces from about 16 px of its input on, in crowds too (Wu,
Peng and Yu, "YuNet: a tiny millisecond-level face detector", 2023; the OpenCV Zoo's network, MIT).
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, WeightsError
from obverse.faces.detection import Detection
from obverse.weights import weight_path

__all__ = ["SEARCH_PX", "SmallFaceDetector"]

Image = npt.NDArray[np.uint8]

SEARCH_PX = 640  # longer side of what the network sees; larger pictures are shrunk to it
SCORE_MIN = 0.6
OVERLAP = 0.3  # intersection over union above which two boxes are one face
MOST_FACES = 200
# YuNet's box reaches from the hairline to the chin, ours from the brows: how far down its middle
# must go, and what is left of its height. Means over 50 pictures.
LOWER, SHORTER = 0.045, 0.89


class SmallFaceDetector:
    """Finds upright faces of any size in a picture, 4 ms of CPU at 320 px, 15 ms at 640."""

    def __init__(self, search_px: int = SEARCH_PX) -> None:
        """Open the network.

        Args:
            search_px: longer side of the picture that the network sees.
        """
        if not 64 <= search_px <= 4096:
            raise ConfigError(f"search_px is {search_px}; it must lie between 64 and 4096.")
        self._search_px = search_px
        path = str(weight_path("obverse.faces", "yunet.onnx"))
        if not hasattr(cv2, "FaceDetectorYN"):
            raise WeightsError(
                f"OpenCV {cv2.__version__} cannot run yunet.onnx; install opencv-python-headless "
                "4.10 or newer, below 5."
            )
        self._network: Any = cv2.FaceDetectorYN.create(
            path, "", (320, 320), SCORE_MIN, OVERLAP, MOST_FACES
        )

    def detect(self, image: Image) -> list[Detection]:
        """Return the faces of a picture `[H, W, 3] uint8 RGB`, best score first.

        The two tragions among the key points are not found: the corners of the mouth stand there.
        """
        height, width = image.shape[:2]
        scale = min(1.0, self._search_px / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = image
        if size != (width, height):
            small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        self._network.setInputSize(size)
        _, rows = self._network.detect(np.ascontiguousarray(small[..., ::-1]))
        if rows is None:
            return []
        stretch = np.array([width / size[0], height / size[1]], np.float32)
        return [_detection(row, stretch) for row in sorted(rows, key=lambda row: -row[14])]


def _detection(row: npt.NDArray[np.float32], stretch: npt.NDArray[np.float32]) -> Detection:
    """Turn a row (x, y, width, height, five points, score) into a detection in the picture."""
    # The network counts from the picture's corner, we from the first pixel's centre.
    corner, extent = row[:2] * stretch - 0.5, row[2:4] * stretch
    points = row[4:14].reshape(5, 2) * stretch - 0.5
    middle = corner + extent / 2 + (0, LOWER * extent[1])
    half = np.array([extent[0], extent[1] * SHORTER], np.float32) / 2
    key_points = np.stack(
        [points[0], points[1], points[2], (points[3] + points[4]) / 2, points[3], points[4]]
    )
    return Detection(
        np.concatenate([middle - half, middle + half]).astype(np.float32),
        key_points.astype(np.float32),
        float(min(max(row[14], 0.0), 1.0)),
        float(2 * half.max()),
    )
