from pathlib import Path

import numpy as np
import pytest

from obverse.errors import ConfigError
from obverse.faces.landmarks import FaceReader
from obverse.generator.head import HeadModel
from obverse.generator.motion import EXPRESSIONS, Motion, expression_index
from obverse.generator.sitters.identity import MACROS, draw_identity
from obverse.generator.sitters.pack import shape_targets
from obverse.generator.sitters.sitter import Sitter, SitterFrame
from obverse.weights import card, weight_path

PART = "obverse.generator.sitters"
MEGABYTE = 1_000_000
SEED = 40
REST = np.zeros(3, np.float32)


@pytest.fixture(scope="module")
def sitter() -> Sitter:
    return Sitter.from_seed(SEED)


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader()


def coefficients(**values: float) -> np.ndarray:
    expression = np.zeros(len(EXPRESSIONS), np.float32)
    for name, value in values.items():
        expression[expression_index(name)] = value
    return expression


def gap(frame: SitterFrame) -> float:
    eyes = np.linalg.norm(frame.landmarks[468, :2] - frame.landmarks[473, :2])
    return float((frame.landmarks[14, 1] - frame.landmarks[13, 1]) / eyes)


def test_the_packs_are_small_free_and_hold_adults_only() -> None:
    total = 0
    for name in ("head.npz", "looks.npz"):
        total += weight_path(PART, name).stat().st_size
        assert card(PART, name)["licence"] == "CC0-1.0"
    assert total < 25 * MEGABYTE
    assert not any("child" in name or "baby" in name for name in MACROS)
    assert min(draw_identity(np.random.default_rng(seed), ()).years for seed in range(300)) >= 25


def test_a_seed_is_a_sitter(sitter: Sitter) -> None:
    again = Sitter.from_seed(SEED)
    assert np.array_equal(sitter.still(192), again.still(192))
    assert sitter.attributes == again.attributes
    other = Sitter.from_seed(SEED + 1)
    assert np.abs(other.neutral - sitter.neutral).max() > 0.05
    with pytest.raises(ConfigError, match="negative"):
        Sitter.from_seed(-1)
    with pytest.raises(ConfigError, match="wide"):
        sitter.still(16)


def test_the_landmarker_agrees_with_the_ground_truth(sitter: Sitter, reader: FaceReader) -> None:
    for expression, yaw in (
        (coefficients(), 0.0),
        (coefficients(jawOpen=0.6), 0.2),
        (coefficients(), -0.25),
    ):
        frame = sitter.frame(expression, (0.0, yaw, 0.0), REST)
        face = reader.read(frame.image)[0]
        eyes = np.linalg.norm(frame.landmarks[468, :2] - frame.landmarks[473, :2])
        distance = np.linalg.norm(face.landmarks[:, :2] - frame.landmarks[:, :2], axis=1) / eyes
        assert distance.mean() < 0.07
        assert np.quantile(distance, 0.95) < 0.16


def test_expressions_read_back(sitter: Sitter, reader: FaceReader) -> None:
    still = reader.read(sitter.frame(coefficients(), REST, REST).image)[0].expression
    for name, others in (
        ("jawOpen", ()),
        ("eyeBlinkLeft", ("eyeBlinkRight",)),
        ("mouthSmileRight", ("mouthSmileLeft",)),
    ):
        face = reader.read(sitter.frame(coefficients(**{name: 0.9}), REST, REST).image)[
            0
        ].expression
        gain = face - still
        assert gain[expression_index(name)] > 0.15
        assert all(gain[expression_index(name)] > gain[expression_index(other)] for other in others)


def test_ground_truth_follows_the_performance(sitter: Sitter) -> None:
    assert gap(sitter.frame(coefficients(jawOpen=0.8), REST, REST, 128)) > 0.25
    assert gap(sitter.frame(coefficients(), REST, REST, 128)) < 0.08
    resting = sitter.frame(coefficients(), REST, REST, 128)
    turned = sitter.frame(coefficients(), (0.0, 0.3, 0.0), REST, 128)
    assert turned.landmarks[1, 0] > resting.landmarks[1, 0] + 3
    moved = sitter.frame(coefficients(), REST, (0.2, 0.0, 0.0), 128)
    eyes = resting.landmarks[473, 0] - resting.landmarks[468, 0]
    assert moved.landmarks[1, 0] - resting.landmarks[1, 0] == pytest.approx(0.2 * eyes, rel=0.25)


def test_the_mask_covers_the_face_and_not_the_corners(sitter: Sitter) -> None:
    frame = sitter.frame(coefficients(), REST, REST, 256)
    columns, rows = np.round(frame.landmarks[:, :2]).astype(int).T
    assert (frame.mask[rows, columns] > 200).mean() > 0.97
    assert frame.mask[:6, :6].max() == 0
    assert frame.mask.dtype == np.uint8
    assert frame.image.shape == (256, 256, 3)


def test_shoulders_stay_while_the_head_turns(sitter: Sitter) -> None:
    first = sitter.frame(coefficients(), (0.0, -0.2, 0.0), REST, 256).image.astype(int)
    second = sitter.frame(coefficients(), (0.0, 0.2, 0.0), REST, 256).image.astype(int)
    assert np.abs(first[:40, :40] - second[:40, :40]).max() <= 8  # only the grain moves
    assert np.abs(first[248:, 20:60] - second[248:, 20:60]).mean() < 6


def test_perform_draws_each_frame_in_order(sitter: Sitter) -> None:
    jaw = np.linspace(0, 0.8, 7)
    motion = Motion.still(7).with_expression(jawOpen=jaw)
    frames = list(sitter.perform(motion, 128))
    assert len(frames) == 7
    gaps = [gap(frame) for frame in frames]
    assert np.all(np.diff(gaps) > 0)
    alone = sitter.frame(motion.expression[3], motion.rotation[3], motion.translation[3], 128, 3)
    assert np.array_equal(alone.image, frames[3].image)


def test_attributes_cut_the_slices() -> None:
    seen: dict[str, set[str]] = {
        name: set() for name in ("age_band", "presentation", "skin_tone", "hair_style", "glasses")
    }
    names = shape_targets()[3]
    from obverse.generator.sitters.wardrobe import draw_appearance

    for seed in range(60):
        identity = draw_identity(np.random.default_rng([seed, 1]), names)
        attributes = draw_appearance(identity, np.random.default_rng([seed, 2])).attributes(
            identity
        )
        for name, values in seen.items():
            values.add(attributes[name])
    assert all(len(values) >= 2 for values in seen.values())
    assert len(seen["hair_style"]) >= 5
    assert seen["skin_tone"] == {"dark", "medium", "light"}


def test_neutral_has_the_head_models_topology(sitter: Sitter) -> None:
    model = HeadModel.load()
    assert sitter.neutral.shape == model.vertices.shape
    assert Path(weight_path(PART, "head.npz")).name == "head.npz"
