"""A summary counts everything, and measures only what has a number."""

import dataclasses

import pytest

from obverse.clip import Clip, Score
from obverse.errors import ConfigError
from obverse.eval.summary import summarise


def table(people: int) -> tuple[list[Clip], list[Score]]:
    clips, scores = [], []
    for person in range(people):
        for synthetic in (False, True):
            name = f"{person}{synthetic}"
            clips.append(
                Clip(
                    id=name,
                    path=name,
                    label="synthetic" if synthetic else "pristine",
                    kind="rendered",
                    identity=str(person),
                    split="test" if person % 2 else "train",
                )
            )
            value = 0.6 + 0.01 * person if synthetic else 0.3 + 0.02 * person
            scores.append(Score(clip=name, detector="d", status="ok", score=value))
    return clips, scores


def test_everything_is_counted() -> None:
    clips, scores = table(4)
    scores[0] = Score(clip=scores[0].clip, detector="d", status="missing")
    scores[3] = Score(clip=scores[3].clip, detector="d", status="error", reason="damaged")
    summary = summarise(clips, scores, samples=50)
    assert (summary.synthetic, summary.pristine) == (3, 3)
    assert (summary.missing, summary.errors, summary.identities) == (1, 1, 4)
    assert summary.auc is not None
    assert summary.auc.value == 1
    assert summary.auc.low < 0.8
    assert summary.eer == 0
    assert summary.to_json()["auc"]["value"] == 1


def test_few_clips_and_few_people_are_cautioned_against() -> None:
    few = summarise(*table(4), samples=50).caution
    assert few is not None
    assert "4 synthetic and 4 pristine clips say little" in few
    some, told = table(20)
    clips = [
        c.replace(id=f"{n}{c.id}", identity=f"{n}{c.identity}") for n in range(6) for c in some
    ]
    parted = [0.8 if clip.label == "synthetic" else 0.2 for clip in clips]
    scores = [
        dataclasses.replace(told[0], clip=clip.id, score=score)
        for clip, score in zip(clips, parted, strict=True)
    ]
    assert summarise(clips, scores, samples=50).caution is None
    same = [clip.replace(identity=str(number % 6)) for number, clip in enumerate(clips)]
    assert "6 people are few" in str(summarise(same, scores, samples=50).caution)
    unknown = [clips[0].replace(identity=None), *clips[1:]]
    assert "who is on screen" in str(summarise(unknown, scores, samples=50).caution)


def test_a_split_is_taken_alone() -> None:
    summary = summarise(*table(10), split="test", samples=50)
    assert (summary.synthetic, summary.pristine, summary.identities) == (5, 5, 5)


def test_a_synthetic_voice_counts_for_what_hears() -> None:
    clips, scores = table(4)
    clips[0] = clips[0].replace(sound="synthetic")
    eye = summarise(clips, scores, samples=50)
    ear = summarise(clips, scores, judged="picture and sound", samples=50)
    assert (eye.judged, eye.synthetic, eye.pristine) == ("picture", 4, 4)
    assert (ear.judged, ear.synthetic, ear.pristine) == ("picture and sound", 5, 3)
    assert eye.auc is not None
    assert ear.auc is not None
    assert eye.auc.value == 1
    assert ear.auc.value == 0.8  # it has the lowest score of all


def test_one_class_has_counts_and_no_auc() -> None:
    clips, scores = table(4)
    chosen = [score for score in scores if score.clip.endswith("True")]
    summary = summarise(clips, chosen)
    assert (summary.synthetic, summary.pristine, summary.auc, summary.eer) == (4, 0, None, None)


def test_scores_of_nothing_and_of_two_detectors_are_refused() -> None:
    clips, scores = table(2)
    with pytest.raises(ConfigError, match="none of the"):
        summarise(clips[:1], scores[2:])
    other = Score(clip=clips[0].id, detector="e", status="ok", score=0.5)
    with pytest.raises(ConfigError, match="d, e"):
        summarise(clips, [*scores[1:], other])
