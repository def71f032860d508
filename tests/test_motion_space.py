"""The motion model's space: everything in it can be undone."""

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import WeightsError
from obverse.generator.motion import EXPRESSIONS, expression_index
from obverse.generator.motion_space import (
    FEATURES,
    GAZE,
    HEAD,
    HOP_FRAMES,
    LAGS,
    MEMORY,
    ControlFollower,
    Memory,
    MotionSpace,
    anchors_of,
    fit_anchor,
    fit_components,
    fit_predictor,
    from_features,
    pack_controls,
    to_features,
)

Array = npt.NDArray[np.float32]


def smooth_motion(frames: int, seed: int) -> Array:
    """Return motion [T, 58] that moves slowly; opposite columns are never both above 0."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.standard_normal((frames, 58)), 0)
    walk = walk - walk.mean(0)
    motion: Array = (0.5 + 0.4 * np.sin(walk / 8.0)).astype(np.float32)
    pairs = [("eyeLookOut", "eyeLookIn"), ("eyeLookDown", "eyeLookUp")]
    names = [(f"{a}{s}", f"{b}{s}") for a, b in pairs for s in ("Left", "Right")]
    for up, down in [*names, ("jawRight", "jawLeft"), ("mouthRight", "mouthLeft")]:
        both = 0.6 * np.sin(walk[:, expression_index(up)] / 8.0)
        motion[:, expression_index(up)] = np.clip(both, 0.0, 1.0)
        motion[:, expression_index(down)] = np.clip(-both, 0.0, 1.0)
    motion[:, len(EXPRESSIONS) :] = 0.1 * np.sin(walk[:, -6:] / 8.0)
    return motion


def test_features_lead_back_to_the_motion() -> None:
    motion = smooth_motion(300, 0)
    assert np.abs(from_features(to_features(motion)) - motion).max() < 1e-6


def test_eyes_that_stay_on_the_camera_while_the_head_turns_do_not_wander() -> None:
    motion = np.zeros((2, 58), np.float32)
    motion[1, 53] = 0.2  # yaw to the picture's right; the eyes turn back to the left
    turn = 0.95 * 0.2 / np.deg2rad(30.0)
    motion[1, expression_index("eyeLookInLeft")] = turn
    motion[1, expression_index("eyeLookOutRight")] = turn
    gaze = to_features(motion)[:, GAZE]
    assert np.abs(gaze).max() < 1e-6


def test_anchors_find_how_the_controls_act_and_keep_to_the_known_without_data() -> None:
    rng = np.random.default_rng(1)
    held = np.repeat(np.arange(100), 40)  # every wish is held for a while
    emotion = rng.dirichlet(np.full(8, 0.3), 100).astype(np.float32)[held]
    gaze = rng.uniform(-0.3, 0.3, (100, 2)).astype(np.float32)[held]
    distance = rng.uniform(0.8, 1.5, 100).astype(np.float32)[held]
    controls = pack_controls(emotion, gaze, distance)
    followed = ControlFollower().follow(controls)
    truth = np.zeros((11, len(FEATURES)), np.float32)
    smile, z = FEATURES.index("mouthSmileLeft"), FEATURES.index("z")
    truth[0, smile], truth[10, smile], truth[9, z], truth[8, HEAD.start] = 0.7, 0.1, 1.0, 0.3
    fitted = fit_anchor(anchors_of(truth, followed), followed)
    assert np.abs(fitted - truth)[[0, 8, 9, 10]].max() < 0.08
    still = np.zeros((50, 13), np.float32)
    still[:, 10] = 1.0
    fitted = fit_anchor(np.zeros((50, len(FEATURES)), np.float32), still)
    assert fitted[7, GAZE.start] == pytest.approx(1.0)
    assert fitted[9, z] == pytest.approx(1.0)


def test_the_follower_gives_the_same_however_it_is_fed_and_arrives() -> None:
    controls = pack_controls(
        np.tile(np.eye(8, dtype=np.float32)[1], (60, 1)),
        np.full((60, 2), 0.2, np.float32),
        np.full(60, 1.5, np.float32),
    )
    controls[:10] = 0.0
    whole = ControlFollower().follow(controls)
    follower = ControlFollower()
    parts = [follower.follow(controls[a:b]) for a, b in ((0, 3), (3, 4), (4, 31), (31, 60))]
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole[0, 0] == 0.0
    assert np.abs(np.diff(whole[:, :10], axis=0)).max() < 1.0  # 7 distances in all
    assert whole[-1, 0] == pytest.approx(1.0, abs=1e-3)
    assert whole[11, 11] > 0.9 * 0.2  # eyes are there in two frames


def test_components_and_hops_lead_back_and_white_noise_moves_as_motion_does() -> None:
    motion = np.concatenate([smooth_motion(1500, seed) for seed in range(3)])
    wander = to_features(motion) - to_features(motion).mean(0)
    encode, decode, floors = fit_components(wander)
    parts = wander @ encode
    assert np.abs(parts @ decode - wander).max() < 0.05
    windows = np.lib.stride_tricks.sliding_window_view(parts, LAGS + HOP_FRAMES, 0)[::3]
    predict, spread, first = fit_predictor(windows.swapaxes(1, 2).astype(np.float32), floors)
    size = parts.shape[1]
    space = MotionSpace(
        anchor=np.zeros((11, len(FEATURES)), np.float32),
        speech_in=np.zeros((17 + 5, 4), np.float32),
        speech_mid=np.zeros((5, 4), np.float32),
        speech_out=np.zeros((5, len(FEATURES)), np.float32),
        encode=encode,
        decode=decode,
        predict=predict,
        spread=spread,
        first_spread=first,
        style_spread=np.eye(8, dtype=np.float32),
        style_scale=np.ones((2, 8), np.float32),
        floors=floors,
        rest=np.zeros(size, np.float32),
    )
    back = MotionSpace.unpack(space.pack())
    for field in dataclasses.fields(space):
        assert np.array_equal(getattr(space, field.name), getattr(back, field.name))
    with pytest.raises(WeightsError, match="anchor"):
        MotionSpace.unpack({})
    rng = np.random.default_rng(2)
    past = parts[100 : 100 + LAGS]
    drawn = np.stack(
        [space.place(rng.standard_normal((HOP_FRAMES, size), np.float32), past) for _ in range(400)]
    )
    real = windows[:, :, LAGS:] - np.einsum("kld,ndl->ndk", predict, windows[:, :, :LAGS])
    ratio = (drawn - drawn.mean(0)).std((0, 1)) / real.std((0, 2))
    assert np.all((ratio > 0.6) & (ratio < 3.0))


def test_memory_knows_when_lids_shut_and_where_the_head_was() -> None:
    memory = Memory()
    features = np.zeros(len(FEATURES), np.float32)
    turned = features.copy()
    turned[HEAD.start + 1] = 0.1
    for _ in range(100):
        memory.note(turned, turned)
    before = memory.read()
    assert before.shape == (MEMORY,)
    assert before[1] > 1.5  # the yaw over two seconds
    assert before[12] < 0.1  # the last blink is long ago
    blink = features.copy()
    blink[FEATURES.index("eyeBlinkLeft")] = blink[FEATURES.index("eyeBlinkRight")] = 1.0
    memory.note(turned, blink)
    assert memory.read()[12] == 1.0
