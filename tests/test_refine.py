"""The mouth refiner at run time."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from obverse.errors import InputError, WeightsError
from obverse.generator.contours import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from obverse.generator.motion import expression_index
from obverse.generator.portrait import Portrait, make_portrait
from obverse.generator.refine import (
    APPEARANCE,
    CROP_HEIGHT,
    CROP_WIDTH,
    NET_HEIGHT,
    NET_WIDTH,
    MouthNet,
    Refiner,
    crop_mouth,
    mouth_appearance,
)
from obverse.generator.refine_data import Witness
from obverse.generator.render import Renderer
from obverse.generator.sitters.sitter import Sitter

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return make_portrait(Sitter.from_seed(3).still(512), "0" * 64)


@pytest.fixture(scope="module")
def drawn(portrait: Portrait) -> tuple[npt.NDArray[np.uint8], Floats, Floats]:
    """A frame with an open mouth, its landmarks, and its coefficients."""
    witness = Witness()
    face = np.zeros(52, np.float32)
    face[expression_index("jawOpen")] = 0.35
    frame = Renderer(portrait, painter=witness).frame(face, np.zeros(3), np.zeros(3))
    return frame, witness.sheet, face


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> MouthNet:
    """A network that lightens what is dark and darkens what is light, by a third."""
    planes = helper.make_tensor_value_info(
        "planes", TensorProto.FLOAT, [1, 4, NET_HEIGHT, NET_WIDTH]
    )
    told = helper.make_tensor_value_info("appearance", TensorProto.FLOAT, [1, len(APPEARANCE)])
    change = helper.make_tensor_value_info(
        "change", TensorProto.FLOAT, [1, 3, NET_HEIGHT, NET_WIDTH]
    )
    weight = np.zeros((3, 4, 1, 1), np.float32)
    weight[range(3), range(3)] = -1 / 3
    constants = [
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.full(3, 1 / 6, np.float32), "bias"),
    ]
    node = helper.make_node("Conv", ["planes", "weight", "bias"], ["change"])
    graph = helper.make_graph([node], "grey", [planes, told], [change], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("net") / "grey.onnx"
    onnx.save(model, path)
    return MouthNet(path)


@pytest.fixture(scope="module")
def refiner(
    portrait: Portrait, drawn: tuple[npt.NDArray[np.uint8], Floats, Floats], net: MouthNet
) -> Refiner:
    frame, sheet, _ = drawn
    return Refiner(portrait, sheet, frame.shape[1], frame.shape[0], net=net)


def lips(gap: float, roll: float = 0.0, size: float = 100.0) -> Floats:
    """A face whose lips are parted by a rhombus, `gap` interocular distances high."""
    sheet = np.zeros((468, 3), np.float32)
    sheet[[362, 263]] = (200 + size / 2, 150, 0)
    sheet[[33, 133]] = (200 - size / 2, 150, 0)
    share = np.linspace(-1, 1, len(LIPS_INNER_UPPER))
    for contour, side in ((LIPS_INNER_UPPER, -1), (LIPS_INNER_LOWER, 1)):
        sheet[list(contour), 0] = 200 + 0.4 * size * share
        sheet[list(contour), 1] = 260 + side * 0.5 * gap * size * (1 - np.abs(share))
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    sheet[:, :2] = (sheet[:, :2] - 200) @ turn + 200
    return sheet


def test_sealed_lips_have_no_crop() -> None:
    assert crop_mouth(lips(0.0)) is None
    assert crop_mouth(lips(0.01)) is None
    assert crop_mouth(lips(0.1)) is not None


def test_the_region_grows_from_nothing_as_the_lips_part() -> None:
    crops = [crop_mouth(lips(gap)) for gap in (0.0125, 0.03, 0.08)]
    peaks = [float(crop.region.max()) for crop in crops if crop is not None]
    assert peaks[0] < 0.05
    assert peaks == sorted(peaks)
    assert peaks[-1] > 0.95


def test_a_crop_is_aligned_with_the_mouth_whatever_its_roll_and_size() -> None:
    upright, turned = crop_mouth(lips(0.2)), crop_mouth(lips(0.2, roll=0.5, size=60.0))
    assert upright is not None
    assert turned is not None
    assert np.abs(upright.opening - turned.opening).mean() < 0.01
    # The same point of the crop is the same point of the mouth.
    middle = turned.to_frame @ ((CROP_WIDTH - 1) / 2, (CROP_HEIGHT - 1) / 2, 1)
    inner = lips(0.2, roll=0.5, size=60.0)[[*LIPS_INNER_UPPER, *LIPS_INNER_LOWER], :2]
    assert np.allclose(middle, inner.mean(0), atol=0.01)


def test_the_region_never_touches_the_crops_border() -> None:
    crop = crop_mouth(lips(0.9))
    assert crop is not None
    border = np.concatenate(
        [crop.region[0], crop.region[-1], crop.region[:, 0], crop.region[:, -1]]
    )
    assert border.max() < 0.01


def test_adding_what_was_cut_gives_it_back() -> None:
    frame = np.full((400, 400, 3), 90, np.uint8)
    crop = crop_mouth(lips(0.3, roll=0.2))
    assert crop is not None
    change = np.repeat(crop.region[..., None] * np.float32(60), 3, 2)
    crop.add(frame, change)
    again = crop.cut(frame).astype(np.float32)
    assert np.abs(again - 90 - change).max() < 4


def test_adding_saturates_and_leaves_the_rest_alone() -> None:
    frame = np.full((400, 400, 3), 250, np.uint8)
    crop = crop_mouth(lips(0.3))
    assert crop is not None
    crop.add(frame, np.repeat(crop.region[..., None] * np.float32(200), 3, 2))
    assert frame.max() == 255
    assert (frame[:150] == 250).all()
    assert (frame[:, :100] == 250).all()


def test_a_mouth_beyond_the_frame_is_no_error() -> None:
    frame = np.zeros((120, 120, 3), np.uint8)
    crop = crop_mouth(lips(0.3))
    assert crop is not None
    crop.add(frame, np.ones((CROP_HEIGHT, CROP_WIDTH, 3), np.float32))
    assert frame.shape == (120, 120, 3)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(InputError, match="468"):
        crop_mouth(np.zeros((10, 3), np.float32))


def test_appearance_has_its_columns_and_range(portrait: Portrait) -> None:
    told = mouth_appearance(portrait)
    assert told.shape == (len(APPEARANCE),)
    assert ((told >= 0) & (told <= 1)).all()


def test_painting_is_deterministic_and_stays_near_the_mouth(
    refiner: Refiner, drawn: tuple[npt.NDArray[np.uint8], Floats, Floats]
) -> None:
    frame, sheet, face = drawn
    first, second = frame.copy(), frame.copy()
    refiner.paint(first, sheet, face)
    refiner.paint(second, sheet, face)
    assert (first == second).all()
    changed = np.abs(first.astype(int) - frame).max(-1) > 0
    assert changed.any()
    rows, columns = np.nonzero(changed)
    size = float(np.linalg.norm(sheet[33] - sheet[263]))
    middle = sheet[[*LIPS_INNER_UPPER, *LIPS_INNER_LOWER], :2].mean(0)
    assert np.abs(columns - middle[0]).max() < 0.8 * size
    assert np.abs(rows - middle[1]).max() < 0.6 * size


def test_a_change_has_the_portraits_colours_and_never_outshines_its_white(net: MouthNet) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (CROP_HEIGHT, CROP_WIDTH, 3)).astype(np.uint8)
    everywhere = np.ones((CROP_HEIGHT, CROP_WIDTH), np.float32)
    golden = np.array([0.8, 0.6, 0.3, 0.0, 0.0, 0.0, 0.0], np.float32)
    change = net.change(pixels, everywhere, everywhere, golden)
    painted = pixels + change
    assert (painted <= np.maximum(pixels, 255 * golden[:3]) + 0.01).all()
    assert painted.min() > -0.01
    # What becomes darker keeps its hue, and half of its light and more.
    darker = (change < 0).all(-1)
    assert darker.any()
    kept = painted[darker] / np.maximum(pixels[darker], 1)
    assert kept.min() > 0.5
    hue = np.ptp(kept, axis=-1)[pixels[darker].min(-1) > 0]
    assert hue.max() < 1e-3
    # Teeth that the still shows may be as light as they are there.
    seen = np.array([0.8, 0.6, 0.3, 0.9, 0.85, 0.8, 1.0], np.float32)
    more = net.change(pixels, everywhere, everywhere, seen)
    assert ((pixels + more > 255 * golden[:3] + 1) & (more > 0)).any()


def test_the_weights_that_ship_paint_an_open_mouth(
    portrait: Portrait, drawn: tuple[npt.NDArray[np.uint8], Floats, Floats]
) -> None:
    frame, sheet, face = drawn
    painted = frame.copy()
    Refiner(portrait, sheet, frame.shape[1], frame.shape[0]).paint(painted, sheet, face)
    assert (painted != frame).any()
    renderer = Renderer(portrait)
    assert renderer.config.refine
    assert (renderer.frame(face, np.zeros(3), np.zeros(3)) == painted).all()


def test_sealed_lips_are_left_as_drawn(portrait: Portrait, refiner: Refiner) -> None:
    witness = Witness()
    face = np.zeros(52, np.float32)
    frame = Renderer(portrait, painter=witness).frame(face, np.zeros(3), np.zeros(3))
    painted = frame.copy()
    refiner.paint(painted, witness.sheet, face)
    assert (painted == frame).all()


def test_small_and_large_frames_are_painted_alike(
    refiner: Refiner, drawn: tuple[npt.NDArray[np.uint8], Floats, Floats]
) -> None:
    import cv2

    frame, sheet, face = drawn
    large = cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    placed = sheet * np.float32(2)
    placed[:, :2] += 0.5
    painted, enlarged = frame.copy(), np.asarray(large, np.uint8)
    refiner.paint(painted, sheet, face)
    refiner.paint(enlarged, placed, face)
    reduced = cv2.resize(enlarged, frame.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.astype(int) - painted).mean() < 1.0


def test_weights_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(part: str, name: str) -> Path:
        raise WeightsError(f"{part} lacks the weights {name}.")

    monkeypatch.setattr("obverse.generator.refine.weight_path", absent)
    with pytest.raises(WeightsError, match=r"refiner\.onnx"):
        MouthNet()
