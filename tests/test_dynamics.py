"""Synthetic landmark tracks whose measures are known."""

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError
from obverse.eval import dynamics
from obverse.eval.dynamics import FPS, LEVEL_HZ
from obverse.faces.pose import canonical_face

Points = npt.NDArray[np.float64]
EYE_PX = 100.0


def face(frames: int) -> Points:
    """The mean face, still, its eyes 100 px apart, in a frame of 512: `[T, 478, 3]`."""
    vertices = canonical_face().vertices
    points = np.zeros((478, 3))
    points[:468] = vertices
    points[468:] = vertices[[33, 133, 362, 263, 1, 33, 133, 362, 263, 1]]
    return np.repeat((points * EYE_PX + 256)[None], frames, axis=0)


def moved(track: Points, points: tuple[int, ...], axis: int, by: Points) -> Points:
    track = track.copy()
    track[:, list(points), axis] += by[:, None]
    return track


def wave(frames: int, hz: float, amplitude: float) -> Points:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(frames) / FPS)


def test_a_still_has_no_dynamics() -> None:
    still = face(100)
    degrees, place = np.zeros((100, 3)), np.full((100, 2), 256.0)
    assert dynamics.lip_dynamics(still, 512) == pytest.approx(0, abs=1e-9)
    assert dynamics.head_motion(degrees, place, 512) == 0
    assert dynamics.head_smoothness(degrees) == 0
    assert dynamics.delta_pose(degrees) == 0
    assert dynamics.brow_dynamics(still) == pytest.approx(0, abs=1e-12)
    assert dynamics.silent_lip(still, np.zeros(100, bool)) == pytest.approx(0, abs=1e-12)
    assert dynamics.blinks(dynamics.eye_opening(still)) == []
    assert dynamics.jitter(still) == pytest.approx(0, abs=1e-9)


def test_lips_that_swell_have_the_spread_of_their_distances() -> None:
    # Every distance d between lip points becomes d (1 + s): its deviation over time is d std(s).
    frames = 200
    still = face(frames)
    lips = list(dynamics.LIPS)
    scale = wave(frames, 2.5, 0.1)
    middle = still[0, lips].mean(axis=0)
    track = still.copy()
    track[:, lips] = middle + (still[:, lips] - middle) * (1 + scale)[:, None, None]
    points = still[0, lips, :2]
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    mean = apart[np.triu_indices(40, 1)].mean()
    expected = mean * np.std(scale) * 256 / 512
    assert dynamics.lip_dynamics(track, 512) == pytest.approx(expected)
    # The same film at twice the size is the same motion.
    assert dynamics.lip_dynamics(2 * track, 1024) == pytest.approx(expected)


def test_head_motion_is_its_formula_and_counts_place_in_a_frame_of_512() -> None:
    frames = 250
    degrees = np.stack([wave(frames, 0.5, a) for a in (2.0, 6.0, 1.0)], axis=1)
    place = np.stack([256 + wave(frames, 0.4, 20.0), 256 + wave(frames, 0.8, 10.0)], axis=1)
    expected = np.sqrt(
        np.mean([np.std(d) for d in degrees.T]) * np.mean([np.var(np.diff(d)) for d in degrees.T])
        + (np.var(place[:, 0]) + np.var(place[:, 1])) / 2
    )
    assert dynamics.head_motion(degrees, place, 512) == pytest.approx(expected)
    assert dynamics.head_motion(degrees, place / 2, 256) == pytest.approx(expected)
    # Whole periods: variance a^2 / 2, and the place outweighs the angles by far.
    assert dynamics.head_motion(degrees * 0, place, 512) == pytest.approx(np.sqrt(125))


def test_a_head_that_turns_evenly_has_that_speed() -> None:
    degrees = np.stack([np.arange(50) * 0.6, np.arange(50) * -0.3, np.zeros(50)], axis=1)
    assert dynamics.delta_pose(degrees) == pytest.approx(0.3)
    assert dynamics.head_smoothness(degrees) == pytest.approx(0)
    degrees[20] = np.nan  # a frame without a face takes both its differences along
    assert dynamics.delta_pose(degrees) == pytest.approx(0.3)


def test_brows_that_rise_and_fall_move_by_so_much_a_frame() -> None:
    frames = 101
    by = np.where(np.arange(frames) % 2, -3.0, 0.0)  # 3 px up, straight above the eyes, and back
    track = moved(face(frames), (*dynamics.BROWS[0], *dynamics.BROWS[1]), 1, by)
    points = track[0, :, :2]
    eyes = [points[list(eye)].mean(axis=0) for eye in dynamics.EYES]
    brows = [points[list(brow)].mean(axis=0) for brow in dynamics.BROWS]
    low = [np.linalg.norm(b - e) for b, e in zip(brows, eyes, strict=True)]
    high = [np.linalg.norm(b - [0, 3] - e) for b, e in zip(brows, eyes, strict=True)]
    expected = np.mean(np.subtract(high, low)) / np.linalg.norm(eyes[0] - eyes[1])
    assert dynamics.brow_dynamics(track) == pytest.approx(expected)


def opened(gap_px: Points) -> Points:
    """A face whose lips' inner edges are `gap_px [T]` apart everywhere."""
    track = face(len(gap_px))
    for upper, lower in zip(dynamics.UPPER_LIP, dynamics.LOWER_LIP, strict=True):
        track[:, lower, 1] = track[:, upper, 1] + gap_px
    return track


def outer_px() -> float:
    points = face(1)[0, :, :2]
    return float(np.linalg.norm(points[33] - points[263]))


def test_the_gap_is_a_share_of_the_outer_eyes_and_silence_counts_its_median() -> None:
    gap = np.where(np.arange(100) % 2, 6.0, 2.0)  # 2 px about its mean, always
    track = opened(gap)
    assert dynamics.mouth_gap(track) == pytest.approx(gap / outer_px())
    spoken = np.zeros(100, bool)
    assert dynamics.silent_lip(track, spoken) == pytest.approx(2 / outer_px())
    spoken[:] = True
    assert np.isnan(dynamics.silent_lip(track, spoken))
    spoken[40:47] = False  # .28 s: too short to be a pause
    assert np.isnan(dynamics.silent_lip(track, spoken))
    spoken[40:48] = False
    assert dynamics.silent_lip(track, spoken) == pytest.approx(2 / outer_px())


def test_lips_that_follow_the_volume_agree_with_it_and_opposite_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    loudness = rng.random(200)
    spoken = np.ones(200, bool)
    assert dynamics.lip_sync(opened(3 + 10 * loudness), loudness, spoken) == pytest.approx(
        0, abs=1e-6
    )
    unit = (loudness - loudness.min()) / np.ptp(loudness)
    opposite = dynamics.lip_sync(opened(13 - 10 * loudness), loudness, spoken)
    assert opposite == pytest.approx(np.abs(2 * unit - 1).mean(), abs=1e-6)
    spoken[15:] = False  # speech in 7.5 % of the clip says nothing
    assert np.isnan(dynamics.lip_sync(opened(3 + 10 * loudness), loudness, spoken))


@pytest.mark.parametrize("late", [-0.2, -0.04, 0.0, 0.08, 0.3])
def test_sound_that_is_shifted_gives_the_shift(late: float) -> None:
    def level(seconds: Points) -> Points:
        tones = ((0.7, 0.3), (1.9, 1.1), (3.1, 2.0), (2.3, 0.5))
        return np.asarray(sum(np.sin(2 * np.pi * hz * seconds + p) for hz, p in tones))

    gap = 10 + level(np.arange(250) / FPS - late)
    found, correlation = dynamics.lip_lag(opened(gap), level(np.arange(1000) / LEVEL_HZ))
    assert found == pytest.approx(late, abs=0.01)
    assert correlation > 0.97


def test_lips_that_have_nothing_to_do_with_the_sound_have_no_lag() -> None:
    rng = np.random.default_rng(1)
    lag, correlation = dynamics.lip_lag(opened(5 + rng.random(1500)), rng.random(6000))
    assert np.isnan(lag)
    assert abs(correlation) < 0.2
    assert np.isnan(dynamics.lip_lag(opened(np.full(250, 5.0)), rng.random(1000))).all()


def test_closures_are_counted_where_the_lips_meet() -> None:
    gap = np.full(100, 15.0)
    gap[30:32] = 0.0
    closed, total = dynamics.closure_rate(opened(gap), [(1.2, 1.28), (2.4, 2.5)], 0.03)
    assert (closed, total) == (1, 2)


def test_blinks_are_found_with_their_length_and_other_closings_are_not() -> None:
    frames = 500
    opening = np.full(frames, 0.3)
    for at in (100, 250, 400):  # triangles 12 frames wide at their foot: 6 at half their depth
        slope = np.abs(np.arange(frames) - at) / 6
        opening = np.minimum(opening, 0.3 * np.clip(slope, 0.05, 1))
    opening[300:340] = 0.05  # eyes shut for 1.6 s
    opening[450:460] = 0.25  # a narrowing
    found = dynamics.blinks(opening)
    assert [blink.seconds for blink in found] == pytest.approx([4.0, 10.0, 16.0])
    assert [blink.duration_seconds for blink in found] == pytest.approx([0.24] * 3, abs=0.02)
    opening = np.full(frames, 0.05)
    opening[250:] = 0.3  # eyes that open, once
    assert dynamics.blinks(opening) == []


def test_jitter_is_what_lies_above_six_hertz() -> None:
    frames = 500
    everything = tuple(range(478))
    slow = moved(face(frames), everything, 0, wave(frames, 1.0, 20.0))
    assert dynamics.jitter(slow) < 0.5
    fast = moved(slow, everything, 1, wave(frames, 10.0, 2.0))
    # 2 px / sqrt 2 in thousandths of 100 px; the filter's ends cost a little.
    assert dynamics.jitter(fast) == pytest.approx(1000 * 2 / np.sqrt(2) / EYE_PX, rel=0.03)


def test_speech_is_spoken_through_short_pauses_and_short_sounds_are_none() -> None:
    activity = np.zeros(600)
    activity[100:200] = activity[205:300] = 1  # a pause of .05 s
    activity[400:410] = 1  # a click of .1 s
    frames = dynamics.speech_frames(activity, 150)
    assert frames[26:74].all()
    assert not frames[:24].any()
    assert not frames[78:].any()


def test_tracks_of_another_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match="landmarks have shape"):
        dynamics.mouth_gap(np.zeros((5, 68, 2)))


def test_nothing_read_is_not_zero() -> None:
    nothing = np.full((50, 478, 3), np.nan)
    assert np.isnan(dynamics.lip_dynamics(nothing, 512))
    assert np.isnan(dynamics.brow_dynamics(nothing))
    assert np.isnan(dynamics.jitter(nothing))
    assert np.isnan(dynamics.delta_pose(np.full((50, 3), np.nan)))
    assert np.isnan(dynamics.silent_lip(nothing, np.zeros(50, bool)))
