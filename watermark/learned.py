"""The learned mark: the classical one, its reading and its gain worked out by two small networks.

Carriers, code and search are those of every other mark of obverse, and so are the keys and the
p-values: they hold for any picture that was made without the key, whatever made it.

A folder holds the networks: `mark_reader.onnx`, and `mark_gain.onnx` where the gain is learned too,
each beside its card. `obverse train mark` makes one.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from obverse.errors import ConfigError, WeightsError
from obverse.watermark.pool import PLANES
from obverse.weights import onnx_session, sha256_file

__all__ = ["GAIN", "READER", "Networks", "load_networks"]

READER, GAIN = "mark_reader.onnx", "mark_gain.onnx"

Image = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _ReaderOnnx:
    """A `Reader` of `obverse.watermark.pool`."""

    session: Any

    def __call__(self, means: Image) -> Image:
        made = self.session.run(None, {"means": np.ascontiguousarray(means[None], np.float32)})[0]
        return np.ascontiguousarray(made[0, 0], np.float32)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _GainOnnx:
    """A `Gain` of `obverse.watermark.embed`."""

    session: Any

    def __call__(self, small: Image, even: Image) -> Image:
        fed = {
            "luma": np.ascontiguousarray(small[None, None], np.float32),
            "even": np.ascontiguousarray(even[None, None], np.float32),
        }
        return np.ascontiguousarray(self.session.run(None, fed)[0][0, 0], np.float32)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """What a folder of a learned mark holds."""

    reader: _ReaderOnnx
    gain: _GainOnnx | None


def load_networks(folder: Path) -> Networks:
    """Open the networks of a learned mark.

    Raises:
        WeightsError: the folder lacks the reader, a file is not the one on its card, or it is not
            such a network.
    """
    if not (folder / READER).is_file():
        raise WeightsError(
            f"{folder} holds no {READER}; give the folder of a finished `obverse train mark`."
        )
    reader = _ReaderOnnx(_session(folder / READER, {"means": len(PLANES)}))
    gain = None
    if (folder / GAIN).is_file():
        gain = _GainOnnx(_session(folder / GAIN, {"luma": 1, "even": 1}))
    return Networks(reader, gain)


def _session(path: Path, planes: dict[str, int]) -> Any:
    """Open one network whose inputs have these names and numbers of planes."""
    _check_card(path)
    try:
        session = onnx_session(path)
        found = {item.name: item.shape[1] for item in session.get_inputs()}
    except ConfigError:
        raise
    except Exception as error:  # onnxruntime raises many kinds, of no common one
        raise WeightsError(f"{path} is no ONNX network, or is damaged; train it anew.") from error
    if found != planes:
        raise WeightsError(
            f"{path} takes {', '.join(found)}; a network of the learned mark takes "
            f"{', '.join(planes)}."
        )
    return session


def _check_card(path: Path) -> None:
    card = path.with_suffix(".card.yaml")
    if not card.is_file():
        raise WeightsError(f"{path} lacks its card {card.name}; copy both, or train it anew.")
    try:
        stated = yaml.safe_load(card.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise WeightsError(f"the card {card} cannot be read; train the mark anew.") from error
    if sha256_file(path) != stated:
        raise WeightsError(f"{path} is not the file on its card; copy both, or train it anew.")
