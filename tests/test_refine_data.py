"""Pairs of drawn and true mouths."""

from pathlib import Path

import numpy as np
import pytest

from obverse.errors import InputError
from obverse.generator.motion import EXPRESSIONS
from obverse.generator.portrait import Portrait, read_portrait
from obverse.generator.refine import CROP_HEIGHT, CROP_WIDTH
from obverse.generator.refine_data import (
    MouthPairs,
    RefineDataConfig,
    build_pairs,
    draw_speech_faces,
    flat_mouth,
    is_held_out,
    photograph_pairs,
    reopening,
    sitter_pairs,
)
from obverse.generator.render import Renderer

PHOTOGRAPHS = Path(__file__).resolve().parents[2] / "shared" / "portraits" / "synthetic"
SMILING, TONGUE_OUT = "28cbdb1ae7.jpg", "314cefabb3.jpg"


def test_one_source_in_eight_is_held_out_and_stays_so() -> None:
    names = [f"photograph-{index}" for index in range(4000)]
    held = [is_held_out(name) for name in names]
    assert 0.11 < np.mean(held) < 0.14
    assert held == [is_held_out(name) for name in names]


def test_speech_faces_are_valid_and_move_slowly() -> None:
    faces = draw_speech_faces(np.random.default_rng(0), 200)
    assert faces.shape == (200, 2, len(EXPRESSIONS))
    assert faces.min() >= 0
    assert faces.max() <= 1
    assert np.abs(faces[:, 1] - faces[:, 0]).max() < 0.25
    assert 0.08 < faces[..., EXPRESSIONS.index("jawOpen")].mean() < 0.3


def test_a_flat_mouth_keeps_the_layout_and_loses_the_gaps_between_teeth() -> None:
    white = np.array([0.8, 0.8, 0.8])
    truth = np.full((80, 128, 3), (150, 90, 80), np.uint8)
    truth[24:56, 20:108] = (20, 8, 8)
    truth[24:42, 20:108] = (200, 195, 180)
    truth[24:42, 20:108:11] = (60, 50, 45)  # gaps
    opening = np.zeros((80, 128), np.uint8)
    opening[24:56, 20:108] = 255
    drawn = np.full_like(truth, 100)
    flat = flat_mouth(truth, drawn, opening, white)
    assert (flat[:20] == 100).all()
    row = flat[33, 40:88].astype(float).mean(-1)
    assert row.min() > 110  # enamel without a gap
    assert flat[50, 40:88].max() < 60  # and the dark below it


def test_a_closed_flat_mouth_is_what_was_drawn() -> None:
    drawn = np.random.default_rng(1).integers(0, 255, (80, 128, 3)).astype(np.uint8)
    flat = flat_mouth(drawn[::-1], drawn, np.zeros((80, 128), np.uint8), (0.8, 0.8, 0.8))
    assert (flat == drawn).all()


@pytest.mark.slow
def test_a_sitters_pairs_meet_at_the_lips(tmp_path: Path) -> None:
    pairs = sitter_pairs(1, 2, np.random.default_rng(0))
    assert pairs is not None
    assert pairs.drawn.shape[1:] == (2, CROP_HEIGHT, CROP_WIDTH, 3)
    assert pairs.truth.shape == pairs.drawn.shape
    outside = pairs.region == 0
    # Away from the mouth rendered and true frame show the same skin in the same place.
    apart = np.abs(pairs.drawn.astype(float) - pairs.truth)[outside].mean()
    assert apart < 14
    pairs.save(tmp_path / "one.npz")
    again = MouthPairs.load(tmp_path / "one.npz")
    assert again.source == "sitter-1"
    assert (again.truth == pairs.truth).all()
    assert not list(tmp_path.glob("*.part"))


def test_lips_that_are_closed_in_a_still_serve_for_nothing() -> None:
    picture = np.zeros((128, 128, 3), np.uint8)
    points = np.zeros((478, 3), np.float32)
    points[[33, 133], 0] = -30
    points[[362, 263], 0] = 30
    portrait = Portrait(
        picture=picture,
        landmarks=points,
        rotation=np.zeros(3, np.float32),
        expression=np.zeros(52, np.float32),
        matte=np.ones((128, 128), np.float32),
        foreground=picture,
        background=picture,
        source_sha256="0" * 64,
    )
    assert photograph_pairs("photograph-x", portrait, 1, np.random.default_rng(0)) is None


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="the photographs are not here")
def test_a_smiling_photograph_is_closed_and_opened_again() -> None:
    portrait = read_portrait(PHOTOGRAPHS / SMILING)
    coefficients, miss = reopening(Renderer(portrait))
    assert coefficients.max() > 0.1
    assert miss < 0.03
    pairs = photograph_pairs("photograph-x", portrait, 1, np.random.default_rng(0))
    assert pairs is not None
    inside = pairs.opening > 250
    assert inside.mean() > 0.03
    # Its own teeth are brighter than what the renderer puts there; skin and lips are the same.
    outside = pairs.region == 0
    assert np.abs(pairs.drawn.astype(float) - pairs.truth)[outside].mean() < 6
    assert np.abs(pairs.drawn.astype(float) - pairs.truth)[inside].mean() > 15


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="the photographs are not here")
def test_a_tongue_that_is_put_out_teaches_nothing() -> None:
    portrait = read_portrait(PHOTOGRAPHS / TONGUE_OUT)
    assert photograph_pairs("photograph-x", portrait, 1, np.random.default_rng(0)) is None


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    config = RefineDataConfig(work=tmp_path, sitters=1, pairs=1)
    (tmp_path / "sitter-0.none").touch()
    assert build_pairs(config) == []


def test_no_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data"):
        RefineDataConfig(work=tmp_path, pairs=0)
