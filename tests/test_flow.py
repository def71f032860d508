"""The learned model at run time, with a small network that nobody has trained."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from obverse.errors import ConfigError, WeightsError
from obverse.generator.controls import NATURAL_BLINK_HZ, ControlTracks
from obverse.generator.cues import CUES
from obverse.generator.flow import FlowMotionModel, FlowPerformer, Guidance
from obverse.generator.flow_export import export
from obverse.generator.flow_net import FlowNet, FlowNetConfig
from obverse.generator.flow_play import Blinks, enliven
from obverse.generator.motion import EXPRESSIONS, Motion, expression_index
from obverse.generator.motion_examples import lay_out
from obverse.generator.motion_space import FEATURES
from obverse.generator.shards import Shard
from obverse.generator.speech import RATE_HZ, read_speech_features

FRAMES = 83


def moving_shard(seed: int, frames: int = 400) -> Shard:
    """Return somebody who moves as the controls say, and a little on top."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / 25.0
    waves = np.sin(time[:, None] * rng.uniform(0.5, 6.0, 58) + rng.uniform(0.0, 6.0, 58))
    motion = 0.05 + 0.04 * waves
    gaze = np.tile(rng.uniform(-0.2, 0.2, 2), (frames, 1))
    distance = np.full(frames, rng.uniform(0.8, 1.4))
    for up, down, axis in (("OutLeft", "InLeft", 0), ("InRight", "OutRight", 0)):
        turn = gaze[:, axis] / np.deg2rad(30.0)
        motion[:, expression_index(f"eyeLook{up}")] = np.clip(turn, 0.0, 1.0)
        motion[:, expression_index(f"eyeLook{down}")] = np.clip(-turn, 0.0, 1.0)
    motion[:, 52:55] = 0.03 * waves[:, 52:55]
    motion[:, 57] = 14.0 * (distance - 1.0) + 0.02 * waves[:, 57]
    emotion = np.zeros((frames, 8))
    emotion[:, seed % 8] = 1.0
    return Shard(
        rng.random((frames, len(CUES))).astype(np.float32),
        motion.astype(np.float32),
        emotion.astype(np.float32),
        gaze.astype(np.float32),
        distance.astype(np.float32),
        np.ones(3, bool),
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    space = lay_out([moving_shard(seed) for seed in range(12)]).space
    torch.manual_seed(1)
    size = FlowNetConfig(
        components=space.components, cues=len(CUES), width=24, layers=2, heads=2, reach=3
    )
    net = FlowNet(size)
    torch.nn.init.normal_(net.leave.weight, std=0.2)
    path = tmp_path_factory.mktemp("weights") / "motion.onnx"
    export(net, space, path)
    return path


def heard(seed: int = 0, frames: int = FRAMES) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random((frames, len(CUES))).astype(np.float32)


def columns(motion: Motion) -> npt.NDArray[np.float32]:
    return np.concatenate([motion.expression, motion.rotation, motion.translation], 1)


def performed(
    weights: Path,
    controls: ControlTracks | None = None,
    *,
    seed: int = 5,
    guidance: Guidance | None = None,
    cuts: tuple[int, ...] = (FRAMES,),
    frames: int = FRAMES,
) -> npt.NDArray[np.float32]:
    controls = controls or ControlTracks.natural(frames)
    performer = FlowPerformer(seed, guidance, weights=weights)
    cues, parts, first = heard(frames=frames), [], 0
    for last in (*cuts, frames):
        parts.append(performer.push(cues[first:last], controls.slice(first, last)))
        first = last
    parts.append(performer.finish())
    return np.concatenate([columns(part) for part in parts])


def test_however_it_is_fed_the_same_frames_leave(weights: Path) -> None:
    guidance = Guidance(steps=3, cues=0.5, prefix=0.3)
    whole = performed(weights, guidance=guidance)
    assert whole.shape == (FRAMES, 58)
    for cuts in (tuple(range(1, FRAMES)), (0, 2, 2, 50), (7, 14, 80)):
        assert np.array_equal(performed(weights, guidance=guidance, cuts=cuts), whole)


def test_hops_leave_as_soon_as_they_are_complete(weights: Path) -> None:
    performer = FlowPerformer(0, weights=weights)
    controls = ControlTracks.natural(FRAMES)
    assert [
        len(performer.push(heard()[a:b], controls.slice(a, b)))
        for a, b in ((0, 4), (4, 5), (5, 16), (16, 18))
    ] == [0, 5, 10, 0]
    assert len(performer.finish()) == 3
    assert len(performer.finish()) == 0


def test_seeds_differ_and_repeat(weights: Path) -> None:
    first = performed(weights, seed=1)
    assert np.array_equal(first, performed(weights, seed=1))
    assert np.abs(first - performed(weights, seed=2)).mean() > 1e-3


def test_motion_is_such_as_a_face_can_make(weights: Path) -> None:
    motion = performed(weights, frames=400, cuts=(400,))
    assert motion[:, :52].min() >= 0.0
    assert motion[:, :52].max() <= 1.0
    assert np.isfinite(motion).all()


def test_guidance_of_weight_zero_is_no_guidance_and_others_change_the_motion(weights: Path) -> None:
    plain = performed(weights)
    assert np.array_equal(performed(weights, guidance=Guidance(cues=0.0)), plain)
    for name in ("cues", "emotion", "gaze", "distance", "prefix"):
        told: dict[str, Any] = {name: 1.0}
        guidance = Guidance(**told)
        assert not np.allclose(performed(weights, guidance=guidance), plain)


def test_gaze_and_distance_are_followed_without_a_jump(weights: Path) -> None:
    natural = ControlTracks.natural(200)
    told = dataclasses.replace(
        natural,
        gaze=np.where(np.arange(200)[:, None] < 100, 0.0, [[0.15, 0.05]]).astype(np.float32),
        distance=np.where(np.arange(200) < 100, 1.0, 1.3).astype(np.float32),
    )
    plain = performed(weights, natural, frames=200, cuts=(200,))
    moved = performed(weights, told, frames=200, cuts=(200,))
    assert np.array_equal(plain[:100], moved[:100])
    eye = expression_index("eyeLookOutLeft")
    assert moved[150:, 57].mean() - plain[150:, 57].mean() == pytest.approx(4.2, abs=0.2)
    assert (moved - plain)[150:, eye].mean() > 0.0
    assert np.abs(np.diff(moved[:, 57])).max() < 1.0


def test_strengths_scale_what_they_are_named_for(weights: Path) -> None:
    def with_strength(**strengths: float) -> npt.NDArray[np.float32]:
        tracks: dict[str, Any] = {n: np.full(FRAMES, v, np.float32) for n, v in strengths.items()}
        return performed(weights, dataclasses.replace(ControlTracks.natural(FRAMES), **tracks))

    plain = with_strength()
    still = with_strength(head_strength=0.0)
    assert np.ptp(still[10:, 52:], axis=0).max() < 1e-4
    jaw, brow = expression_index("jawOpen"), expression_index("browInnerUp")
    assert np.array_equal(still[:, jaw], plain[:, jaw])
    mute = with_strength(mouth_strength=0.0)
    assert mute[:, jaw].max() == 0.0
    assert np.array_equal(mute[:, brow], plain[:, brow])
    assert with_strength(expression_strength=0.5)[:, brow] == pytest.approx(plain[:, brow] / 2)


def test_another_pose_replaces_the_head_and_leaves_the_mouth(weights: Path) -> None:
    pose = Motion.still(FRAMES)
    pose.rotation[:, 1] = np.linspace(0.0, 0.3, FRAMES)
    controls = dataclasses.replace(ControlTracks.natural(FRAMES), pose=pose)
    plain = performed(weights)
    cut = performed(weights, controls, cuts=(13, 41))
    assert cut[:, 53] == pytest.approx(pose.rotation[:, 1])
    mouth = [i for i, name in enumerate(EXPRESSIONS) if name.startswith(("jaw", "mouth"))]
    assert np.array_equal(cut[:, mouth], plain[:, mouth])


def test_blinks_come_as_often_as_asked() -> None:
    lids = [FEATURES.index("eyeBlinkLeft"), FEATURES.index("eyeBlinkRight")]
    frames = 25 * 600
    features = np.zeros((frames, len(FEATURES)), np.float32)
    features[:, lids] = 0.05
    shape = np.array([0.3, 0.85, 1.0, 0.9, 0.6, 0.3, 0.1])
    starts = np.arange(40, frames - 10, round(25 / NATURAL_BLINK_HZ))
    for start in starts:
        features[start : start + 7, lids] = np.maximum(0.05, shape)[:, None]

    def count(rate: float) -> int:
        track = np.full(frames, rate, np.float32)
        shut = Blinks(3).pace(features, track)[:, lids].mean(1) > 0.5
        return int((np.diff(shut.astype(int)) == 1).sum())

    assert count(0.0) == 0
    assert count(NATURAL_BLINK_HZ) == len(starts)
    assert abs(count(NATURAL_BLINK_HZ / 2) - len(starts) / 2) < 4.0 * np.sqrt(len(starts)) / 2
    assert 0.75 < count(0.6) / (0.6 * 600) < 1.25


def test_speech_is_performed_to_its_last_frame(weights: Path) -> None:
    rng = np.random.default_rng(0)
    speech = read_speech_features(0.1 * rng.standard_normal(RATE_HZ + 100).astype(np.float32))
    controls = ControlTracks.natural(speech.frames)
    model = FlowMotionModel(weights=weights)
    motion = model.perform(speech, 3, controls)
    assert len(motion) == speech.frames == 26
    assert np.array_equal(columns(model.perform(speech, 3, controls)), columns(motion))


def test_what_does_not_fit_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="do not fit"):
        FlowPerformer(0, weights=weights).push(heard()[:3], ControlTracks.natural(4))
    with pytest.raises(ConfigError, match="seed"):
        FlowPerformer(-1, weights=weights)
    with pytest.raises(ConfigError, match="guidance of cues"):
        Guidance(cues=9.0)
    with pytest.raises(ConfigError, match="steps"):
        Guidance(steps=0)
    other = tmp_path / "other.onnx"
    import onnx

    model = onnx.load(str(weights))
    for row in model.metadata_props:
        if row.key == "cues":
            row.value = '["loudness"]'
    onnx.save(model, str(other))
    with pytest.raises(WeightsError, match="other cues"):
        FlowPerformer(0, weights=other)


def test_a_mouth_that_has_nothing_to_say_comes_to_rest() -> None:
    features = np.full((3, len(FEATURES)), 0.2, np.float32)
    usual = np.full_like(features, 0.1)
    drawn = enliven(features, usual, np.array([0.0, 0.5, 1.0], np.float32))
    jaw, brow = FEATURES.index("jawOpen"), FEATURES.index("browInnerUp")
    assert drawn[:, jaw] == pytest.approx([0.24, 0.2125, 0.13], abs=1e-6)
    assert drawn[:, brow] == pytest.approx([0.22] * 3, abs=1e-6)


def test_silence_is_not_mouthed() -> None:
    silence = read_speech_features(np.zeros(10 * RATE_HZ, np.float32))
    performed = FlowMotionModel().perform(silence, 0, ControlTracks.natural(silence.frames))
    jaw = performed.expression[:, expression_index("jawOpen")].astype(np.float64)
    spans = np.lib.stride_tricks.sliding_window_view(jaw, 5)
    assert (np.ptp(spans, axis=1) > 0.05).mean() < 0.2
