"""Weights and the cards that describe them.

Every weight file `NAME.EXT` lies beside `NAME.card.yaml`, which names its sha256, licence, source,
preprocessing, training command, data, measured results and unwanted uses. A file that is not the
one on its card is refused.
"""

import functools
import hashlib
import importlib.resources
import os
from pathlib import Path
from typing import Any

import yaml

from obverse.errors import ConfigError, WeightsError

__all__ = ["DEVICE_VARIABLE", "card", "onnx_session", "sha256_file", "weight_path"]

DEVICE_VARIABLE = "OBVERSE_DEVICE"  # where ONNX models run: auto (a GPU if there is one), cpu, cuda

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


def _providers() -> list[str]:
    """Return where models run, best first: a GPU where onnxruntime can use one."""
    import onnxruntime

    wanted = os.environ.get(DEVICE_VARIABLE, "auto")
    if wanted not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"{DEVICE_VARIABLE} is {wanted!r}; it must be auto, cpu or cuda.")
    there = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if wanted == "cuda" and not there:
        raise ConfigError(
            f"{DEVICE_VARIABLE} is cuda, but this onnxruntime knows no CUDA; install "
            "onnxruntime-gpu in its place."
        )
    cpu = ["CPUExecutionProvider"]
    return ["CUDAExecutionProvider", *cpu] if there and wanted != "cpu" else cpu


def onnx_session(path: Path, threads: int = 1) -> Any:
    """Open an ONNX model; returns an `onnxruntime.InferenceSession`.

    It runs on a GPU where this onnxruntime can use one, else on the CPU with `threads` threads; the
    environment variable OBVERSE_DEVICE (auto, cpu or cuda) says otherwise.

    Raises:
        ConfigError: the variable has another value, or asks for what is not there.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=_providers())
