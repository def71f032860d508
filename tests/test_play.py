"""The face beside speech: moods settle, mouths rest, brows move with stress."""

import numpy as np

from obverse.generator.direction import Style
from obverse.generator.emotions import emotion_vector
from obverse.generator.motion import FPS, expression_index
from obverse.generator.play import add, brows, mood, resting_jaw, scale, settled, swallows, uneven
from obverse.generator.prosody import Prosody

FRAMES = 40 * FPS


def _prosody(accents: int = 0, phrases: tuple[tuple[float, float], ...] = ()) -> Prosody:
    voice = np.zeros(FRAMES)
    for start, end in phrases:
        voice[int(start * FPS) : int(end * FPS)] = 1.0
    beats = np.linspace(1.0, 38.0, accents)
    return Prosody(
        voice=voice,
        effort=np.ones(FRAMES),
        accent_seconds=beats,
        accent_strengths=np.ones(accents),
        phrase_starts=np.array([start for start, _ in phrases]),
        phrase_ends=np.array([end for _, end in phrases]),
    )


def test_names_without_a_side_stand_for_both() -> None:
    table = np.zeros((4, 52))
    add(table, np.ones(4), mouthSmile=0.5, jawOpen=0.2)
    scale(table, 0.5, "mouthSmile")
    left, right = (expression_index(f"mouthSmile{side}") for side in ("Left", "Right"))
    assert (table[:, [left, right]] == 0.25).all()
    assert table.sum() == 4 * (0.25 + 0.25 + 0.2)


def test_settling_begins_settled_and_ends_where_it_was_told() -> None:
    track = np.ones((200, 2))
    track[100:, 0] = 3.0
    followed = settled(track, 0.2)
    np.testing.assert_allclose(followed[:100], 1.0, atol=1e-9)
    np.testing.assert_allclose(followed[-1], [3.0, 1.0], atol=1e-3)
    assert (np.diff(followed[:, 0]) >= -1e-12).all()


def test_brows_move_with_stress() -> None:
    rng = np.random.default_rng(0)
    still = brows(_prosody(), np.ones(FRAMES), rng)
    lively = brows(_prosody(accents=40), np.ones(FRAMES), rng)
    assert lively.sum() > 3.0 * still.sum()
    assert not brows(_prosody(accents=40), np.zeros(FRAMES), rng).any()


def test_a_mouth_parts_before_speech_and_closes_after_it() -> None:
    phrases = ((10.0, 14.0), (25.0, 28.0))
    style = Style(parted=0.0)
    rests = np.mean(
        [
            resting_jaw(_prosody(phrases=phrases), style, np.random.default_rng(seed))
            for seed in range(20)
        ],
        0,
    )
    assert rests[: 8 * FPS].max() < 0.01
    assert rests[round(9.85 * FPS)] > 0.05
    assert rests[round(28.3 * FPS)] > 0.02
    assert rests[round(33.0 * FPS) :].max() < 0.01


def test_swallows_are_rare_and_never_in_speech() -> None:
    calm = np.zeros(FRAMES)
    silent = [swallows(_prosody(), calm, np.random.default_rng(seed)) for seed in range(20)]
    busy = [swallows(_prosody(), calm + 1.0, np.random.default_rng(seed)) for seed in range(20)]
    assert 0.0 < np.mean([table.sum() for table in silent]) < np.mean([t.sum() for t in busy])
    talking = _prosody(phrases=((0.0, 40.0),))
    assert not any(swallows(talking, calm, np.random.default_rng(s)).any() for s in range(5))


def test_a_mood_wavers_about_what_was_told() -> None:
    emotion = np.tile(emotion_vector([("sad", 0.8)]), (FRAMES, 1)).astype(float)
    frown = expression_index("mouthFrownLeft")
    table = mood(
        emotion, np.zeros(FRAMES), np.ones(FRAMES), Style(warmth=1.0), np.random.default_rng(1)
    )
    assert 0.7 < table[:, frown].mean() < 0.9
    assert 0.01 < table[:, frown].std() < 0.2
    assert table[:, expression_index("mouthSmileLeft")].max() < 0.05  # no smile shines through


def test_no_face_is_even() -> None:
    table = np.full((FRAMES, 52), 0.5)
    uneven(table, Style(lean=0.8), np.random.default_rng(2))
    left, right = (table[:, expression_index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    assert left.mean() > right.mean() + 0.03
