"""Weights and the cards that describe them.

Every weight file `NAME.EXT` lies beside `NAME.card.yaml`, which names its sha256, licence, source,
preprocessing, training command, data, measured results and unwanted uses. A file that is not the
one on its card is refused.
"""

import functools
import hashlib
import importlib.resources
from pathlib import Path
from typing import Any

import yaml

from obverse.errors import WeightsError

__all__ = ["card", "onnx_session", "sha256_file", "weight_path"]

_CHUNK_BYTES = 1 << 20


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _directory(part: str) -> Path:
    # Joined first: a part is a namespace package, which has no single path of its own.
    return Path(str(importlib.resources.files(part) / "weights"))


def card(part: str, name: str) -> dict[str, Any]:
    """Read the card of weight file `name` in `part`, such as `card("obverse.faces",
    "landmarks.onnx")`.
    """
    path = _directory(part) / f"{Path(name).stem}.card.yaml"
    if not path.is_file():
        raise WeightsError(
            f"{part} has no card for {name}: expected {path.name}; run make weights."
        )
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, dict) or "sha256" not in loaded:
        raise WeightsError(f"the card {path.name} does not state a sha256; run make weights.")
    return loaded


@functools.cache
def weight_path(part: str, name: str) -> Path:
    """Return the path of weight file `name` in `part` once its bytes agree with its card.

    Raises:
        WeightsError: the file or its card is absent, or the sha256 differs.
    """
    path = _directory(part) / name
    if not path.is_file():
        raise WeightsError(
            f"{part} lacks the weights {name}; reinstall obverse or run make weights."
        )
    if sha256_file(path) != card(part, name)["sha256"]:
        raise WeightsError(
            f"{part}'s {name} is not the file on its card; reinstall or run make weights."
        )
    return path


def onnx_session(path: Path, threads: int = 1) -> Any:
    """Open an ONNX model on the CPU with `threads` threads; returns an
    `onnxruntime.InferenceSession`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
