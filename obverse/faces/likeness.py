"""Whether two pictures show one face: an embedding and its cosine, CSIM.

The network is SFace (Zhong, Deng, Hu, Zhao, Li and Wen, "SFace: Sigmoid-constrained hypersphere
loss for robust face recognition", 2021) as the OpenCV Zoo publishes it (Apache-2.0). It is here to
say whether a generated clip still looks like its own portrait, not to find out who somebody is.
"""

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, WeightsError
from obverse.faces.landmarks import Face
from obverse.weights import weight_path

__all__ = ["DIMENSIONS", "LikenessReader", "csim"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

DIMENSIONS = 128
# The five points that the network's alignment takes, in its order, each the mean of landmarks: the
# eye at the picture's left and at its right, the tip of the nose, the mouth's left and right
# corner. Corners of the eyes, not irises: a glance is not another person.
ALIGNMENT_POINTS: tuple[tuple[int, ...], ...] = ((33, 133), (362, 263), (4,), (61,), (291,))


@functools.cache
def _recogniser() -> Any:
    path = weight_path("obverse.faces", "sface.onnx")
    if not hasattr(cv2, "FaceRecognizerSF"):
        raise WeightsError(
            f"OpenCV {cv2.__version__} cannot run sface.onnx; install opencv-python-headless "
            "4.10 or newer, below 5."
        )
    try:
        return cv2.FaceRecognizerSF.create(str(path), "")
    except cv2.error as error:
        raise WeightsError(
            f"OpenCV {cv2.__version__} cannot run sface.onnx; install opencv-python-headless "
            "4.10 or newer, below 5."
        ) from error


class LikenessReader:
    """Embeds faces that were read by `FaceReader`. 17 ms of CPU a face."""

    def embed(self, image: Image, face: Face) -> Floats:
        """Return what a face looks like as a vector `[128]` of length 1.

        Args:
            image: `[H, W, 3] uint8 RGB`, the picture in which `face` was read.
            face: the face in it.
        """
        points = face.landmarks[:, :2]
        five = np.concatenate([points[list(chosen)].mean(axis=0) for chosen in ALIGNMENT_POINTS])
        row = np.zeros((1, 15), np.float32)  # as OpenCV's detector writes it: box, points, score
        row[0, :2] = face.box[:2]
        row[0, 2:4] = face.box[2:] - face.box[:2]
        row[0, 4:14] = five
        row[0, 14] = face.score
        network = _recogniser()
        aligned = network.alignCrop(np.ascontiguousarray(image[..., ::-1]), row)
        vector = np.asarray(network.feature(aligned), np.float32).reshape(-1)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def csim(a: npt.NDArray[np.floating[Any]], b: npt.NDArray[np.floating[Any]]) -> float:
    """Return the cosine of two embeddings `[D]`, in [-1, 1]: 1 is the same picture.

    The card of `sface.onnx` says what copies of one picture and pictures of two people score.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ConfigError(
            f"embeddings have shapes {list(first.shape)} and {list(second.shape)}; "
            "give two vectors of one length."
        )
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    if length == 0 or not np.isfinite(length):
        raise ConfigError("an embedding is zero or not finite; give one of LikenessReader's.")
    return float(np.clip(first @ second / length, -1.0, 1.0))
