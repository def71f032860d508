"""A face unlike those of the calibration is told, one like them is not."""

import json

import numpy as np
import pytest

from obverse.detector.calibration import Calibration
from obverse.detector.familiarity import FEWEST_PEOPLE, STRANGE, Familiarity
from obverse.errors import ConfigError, InputError

PEOPLE, CLIPS, FEATURES = 40, 3, 24
ELSEWHERE = np.where(np.arange(FEATURES) < 8, 5.0, 0.0)  # what other cameras would add


def faces(rng: np.random.Generator, people: int = PEOPLE) -> np.ndarray:
    """Clips `[people * 3, 24]`: people differ, clips of one person hardly."""
    each = rng.normal(6, 1, (people, 1, FEATURES))
    clips = each + rng.normal(0, 0.05, (people, CLIPS, FEATURES))
    return np.asarray(clips.reshape(-1, FEATURES))


def names(people: int = PEOPLE) -> list[str]:
    return [f"person {number // CLIPS}" for number in range(people * CLIPS)]


def learned(rng: np.random.Generator) -> Familiarity:
    made = Familiarity.fit(list(faces(rng)), names())
    assert made is not None
    return made


def test_new_people_of_the_same_kind_are_familiar_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    made = learned(rng)
    fresh = [made.p_value(face) <= STRANGE for face in faces(rng, 200)]
    assert 0.01 < np.mean(fresh) < 0.12  # one in twenty, as promised
    shifted = [made.p_value(face + ELSEWHERE) <= STRANGE for face in faces(rng, 20)]
    assert all(shifted)


def test_a_persons_own_clips_do_not_make_everybody_else_strange() -> None:
    # Distances to somebody's own other clips are tiny: by them all new people would be strange.
    rng = np.random.default_rng(1)
    clips = faces(rng)
    alone = Familiarity.fit(list(clips), [str(i) for i in range(len(clips))])
    assert alone is not None
    strange = [alone.p_value(face) <= STRANGE for face in faces(rng, 100)]
    assert np.mean(strange) > 0.9


def test_a_feature_that_never_varied_does_not_decide_alone() -> None:
    rng = np.random.default_rng(2)
    clips = faces(rng)
    clips[:, 0] = 0
    made = Familiarity.fit(list(clips), names())
    assert made is not None
    face = clips[0].copy()
    face[0] = 0.3  # little beside what the others vary by
    assert made.p_value(face) > STRANGE


def test_few_people_say_nothing() -> None:
    clips = faces(np.random.default_rng(0), FEWEST_PEOPLE - 1)
    assert Familiarity.fit(list(clips), names(FEWEST_PEOPLE - 1)) is None


def test_it_comes_back_from_json() -> None:
    rng = np.random.default_rng(3)
    made = learned(rng)
    back = Familiarity.from_json(json.loads(json.dumps(made.to_json())))
    for face in faces(rng, 5):
        assert back.p_value(face) == made.p_value(face)
        assert back.p_value(3 * face) == pytest.approx(made.p_value(face))  # length tells nothing
    with pytest.raises(ConfigError, match="24 features and this detector shows 8; calibrate"):
        back.p_value(np.zeros(8))
    with pytest.raises(InputError, match="damaged"):
        Familiarity.from_json({**made.to_json(), "count": 7})
    with pytest.raises(InputError, match="damaged"):
        Familiarity.from_json({**made.to_json(), "centre": "?"})


def test_a_calibration_has_neither_ratio_nor_verdict_for_strange_faces() -> None:
    rng = np.random.default_rng(4)
    clips = faces(rng)
    labels = [number % 2 == 0 for number in range(len(clips))]
    raw = [0.9 if label else 0.1 for label in labels]
    raw = [value + rng.normal(0, 0.02) for value in raw]
    made = Calibration.fit(raw, labels, features=list(clips), people=names())
    known = made.judge(0.95, None, clips[0])
    assert known.verdict == "synthetic"
    assert known.lr is not None
    strange = made.judge(0.95, None, clips[0] + ELSEWHERE)
    assert (strange.verdict, strange.lr) == ("cannot tell", None)
    assert strange.score == known.score  # it still orders clips
    assert strange.reason is not None
    assert "none of the 120" in strange.reason
    back = Calibration.from_json(json.loads(json.dumps(made.to_json())))
    assert back.judge(0.95, None, clips[0] + ELSEWHERE) == strange
    assert (
        Calibration.fit(raw, labels).judge(0.95, None, clips[0] + ELSEWHERE).verdict == "synthetic"
    )
