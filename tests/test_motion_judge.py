"""The measures of the motion model's card, on motion whose answer is known."""

import numpy as np
import numpy.typing as npt
import pytest

from obverse.generator.motion import expression_index
from obverse.generator.motion_judge import dynamics, held_out, lip_closure, seams
from obverse.generator.phones import Phone

Array = npt.NDArray[np.float32]


def still(frames: int) -> Array:
    return np.zeros((frames, 58), np.float32)


def test_lips_that_meet_for_one_of_two_closures_have_half_the_recall() -> None:
    table = still(50)
    table[:, expression_index("jawOpen")] = 0.3
    table[12:15, expression_index("mouthClose")] = 0.3
    phones = (
        Phone("open", 0.0, 0.48),
        Phone("bilabial", 0.48, 0.6),
        Phone("open", 0.6, 1.2),
        Phone("bilabial", 1.2, 1.3),
        Phone("open", 1.3, 2.0),
    )
    assert lip_closure(table, phones) == {"recall": 0.5, "precision": 1.0}
    table[42:44, expression_index("mouthClose")] = 0.3  # in the middle of a vowel
    assert lip_closure(table, phones) == {"recall": 0.5, "precision": 0.5}


def test_blinks_and_the_head_are_measured() -> None:
    table = still(1500)  # a minute
    lids = [expression_index("eyeBlinkLeft"), expression_index("eyeBlinkRight")]
    for start in range(40, 1500, 100):
        table[start : start + 4, lids] = 1.0
    table[:, 53] = np.deg2rad(6.0) * np.sin(2.0 * np.pi * np.arange(1500) / 25.0)  # 1 Hz
    found = dynamics(table)
    assert found["blinks_per_minute"] == pytest.approx(15.0)
    assert found["blink_seconds"] == pytest.approx(0.16)
    assert found["head_deg"] == pytest.approx(6.0 / np.sqrt(2.0) / 3.0, rel=0.01)
    assert found["head_share_0.5_2_hz"] > 0.99


def test_a_jump_between_hops_is_a_seam_and_noise_is_none() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2000, 58)).astype(np.float32)
    assert seams(noise) == pytest.approx(1.0, abs=0.1)
    steps = np.repeat(rng.standard_normal((400, 58)), 5, 0).astype(np.float32)
    assert seams(steps + 0.1 * noise) > 3.0


def test_the_held_out_voice_says_closures() -> None:
    utterances = held_out()
    assert len(utterances) >= 3
    assert sum(p.sound == "bilabial" for u in utterances for p in u.phones) > 20
