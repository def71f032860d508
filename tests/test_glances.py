"""Eyes and lids: saccades are fast, fixations are held, blinks come as often as they are asked."""

import numpy as np
import pytest

from obverse.generator.glances import blink_lids, draw_blinks, look_around
from obverse.generator.motion import FPS
from obverse.generator.prosody import Prosody

FRAMES = 60 * FPS


def _prosody(frames: int = FRAMES) -> Prosody:
    voice = (np.arange(frames) // (4 * FPS) % 2 == 0).astype(float)
    return Prosody(
        voice=voice,
        effort=np.ones(frames),
        accent_seconds=np.zeros(0),
        accent_strengths=np.zeros(0),
        phrase_starts=np.arange(0.0, frames / FPS, 8.0),
        phrase_ends=np.arange(4.0, frames / FPS, 8.0),
    )


def test_eyes_mostly_rest_and_shift_within_two_frames() -> None:
    glances = look_around(_prosody(), np.ones(FRAMES), 1.0, np.random.default_rng(0))
    angles = np.rad2deg(glances.angles)
    steps = np.abs(np.diff(angles, axis=0)).max(1)
    assert np.mean(steps < 0.4) > 0.8  # fixations
    assert steps.max() > 3.0  # saccades
    for at in glances.shifts[1:-1]:
        first = int(at * FPS)
        before, after = angles[first - 1], angles[first + 3]
        nearly = angles[first + 2]
        assert np.abs(after - nearly).max() < 0.35 * max(1.0, np.abs(after - before).max())
    assert np.abs(angles.mean(0)).max() < 1.5


def test_who_averts_the_eyes_looks_away_more() -> None:
    def away(aversion: float) -> float:
        track = np.full(FRAMES, aversion)
        spread = [
            np.abs(look_around(_prosody(), track, 1.0, np.random.default_rng(seed)).angles).mean()
            for seed in range(6)
        ]
        return float(np.mean(spread))

    assert away(2.2) > 1.4 * away(0.35)


@pytest.mark.parametrize("rate", [0.15, 0.3, 0.5])
def test_lids_shut_as_often_as_asked(rate: float) -> None:
    times = [
        len(
            draw_blinks(_prosody(), np.full(FRAMES, rate), np.zeros(0), np.random.default_rng(seed))
        )
        for seed in range(12)
    ]
    assert np.mean(times) == pytest.approx(60.0 * rate, rel=0.25)


def test_nobody_blinks_at_rate_zero() -> None:
    rng = np.random.default_rng(0)
    assert len(draw_blinks(_prosody(), np.zeros(FRAMES), np.zeros(0), rng)) == 0
    assert not blink_lids(np.zeros(0), 50, rng).any()


def test_a_blink_falls_fast_and_rises_slowly() -> None:
    rng = np.random.default_rng(4)
    tracks = [blink_lids(np.array([1.0]), 50, rng) for _ in range(40)]
    full = [track for track in tracks if track.max() > 0.85]
    assert 30 <= len(full) < 40  # a few are incomplete
    for track in full:
        peak = int(track.argmax())
        assert (track[peak:] > 0.1).sum() > (track[: peak + 1] > 0.1).sum()
        seconds = (track > 0.1).sum() / FPS
        assert 0.15 <= seconds <= 0.55
        assert track[:25].max() < 0.5
