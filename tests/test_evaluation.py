"""Figures in closed form, everything counted, and the mistakes of others shown not to be made."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from obverse.errors import ConfigError, InputError
from obverse.eval.evaluation import EvalConfig, Policy, evaluate_table, log_ratios, scored
from obverse.eval.metrics import auc
from obverse.eval.score_report import evaluation_text
from obverse.eval.score_table import ScoreTable, Unit

FEW = EvalConfig(samples=50)


def table(
    truth: Sequence[int],
    scores: Sequence[float | None],
    *,
    clips: Sequence[str] | None = None,
    unit: Unit = "clip",
    groups: Mapping[str, Sequence[str | None]] | None = None,
    **more: Sequence[str | None],
) -> ScoreTable:
    return ScoreTable(
        detector="d",
        unit=unit,
        clip=np.array(clips or [f"c{i}" for i in range(len(truth))], object),
        truth=np.array(truth, bool),
        status=np.array(["missing" if score is None else "ok" for score in scores], object),
        score=np.array([np.nan if score is None else score for score in scores]),
        ratio=None,
        verdict=None,
        groups={
            name: np.array(values, object) for name, values in {**(groups or {}), **more}.items()
        },
    )


def spread(clips: int, shift: float = 1.5) -> tuple[list[int], list[float]]:
    rng = np.random.default_rng(0)
    truth = np.arange(clips) % 2
    scores = 1 / (1 + np.exp(-rng.normal(truth * shift - shift / 2, 1)))
    return truth.tolist(), scores.tolist()


def test_every_figure_has_an_interval_that_holds_it() -> None:
    truth, scores = spread(400)
    people = [f"p{i // 4}" for i in range(400)]
    found = evaluate_table(table(truth, scores, identity=people), FEW)
    assert found.figures["auc"].value == auc(truth, scores)
    for name, figure in found.figures.items():
        if name == "tpr@fpr=0.001":
            assert figure.value is None
            assert "200 pristine clips" in str(figure.refused)
            continue
        assert figure.value is not None
        assert figure.by_identity is not None
        if name not in ("ece", "cllr_min"):  # whose samples are biased
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low <= figure.value <= figure.high
    assert found.counts == {"ok": 400, "missing": 0, "error": 0, "absent": 0}
    assert found.identities == 100


def test_the_same_seed_gives_the_same_intervals() -> None:
    truth, scores = spread(60)
    one, two = (evaluate_table(table(truth, scores), FEW).to_json() for _ in range(2))
    assert one == two


def test_everything_told_apart_is_bounded_by_the_number_of_clips() -> None:
    found = evaluate_table(table([0] * 12 + [1] * 12, [0.1] * 12 + [0.9] * 12), FEW).figures
    assert found["auc"].value == 1
    assert found["auc"].low is not None
    assert found["auc"].low < 0.9
    assert found["accuracy"].low is not None
    assert found["accuracy"].low == pytest.approx(24 / (24 + 1.96**2), abs=1e-4)
    assert found["tpr@fpr=0.1"].low == pytest.approx(12 / (12 + 1.96**2), abs=1e-4)
    assert "cannot bound" in str(found["eer"].note)


def test_rows_without_a_score_follow_the_policy() -> None:
    # 10 of each; 3 synthetic clips and 1 pristine one have no score.
    truth = [0] * 10 + [1] * 10
    scores: list[float | None] = [None, *[0.2] * 9, None, None, None, *[0.8] * 7]
    made = table(truth, scores)
    known = {
        # AUC, accuracy
        "exclude": (1.0, 1.0),
        "wrong": ((7 * 9) / 100, 16 / 20),
        "synthetic": ((3 * 9.5 + 7 * 9) / 100, 19 / 20),
        "pristine": (7 * 10 / 100 + 3 * 0.5 / 100, 17 / 20),
    }
    policies: tuple[Policy, ...] = ("exclude", "wrong", "synthetic", "pristine")
    for policy in policies:
        found = evaluate_table(made, dataclasses.replace(FEW, policy=policy))
        area, right = known[policy]
        assert found.figures["auc"].value == pytest.approx(area)
        assert found.policies[policy]["auc"] == pytest.approx(area)
        assert found.figures["accuracy"].value == pytest.approx(right)
        assert found.coverage == 16 / 20
        # What a detector claims is measured where it claimed something.
        assert found.figures["brier"].value == pytest.approx(0.04)
    assert found.coverage_by_label == {"pristine": 0.9, "synthetic": 0.7}


def test_no_policy_puts_a_score_in_the_middle() -> None:
    made = table([0, 0, 1, 1], [0.1, None, 0.9, None])
    for policy in ("wrong", "synthetic", "pristine"):
        imputed = scored(made, policy).score[~made.ok]
        assert set(imputed) <= {0.0, 1.0}


def test_imputing_the_middle_lets_a_failed_detection_tell_the_labels_apart() -> None:
    """DeepfakeBench-style tables give clips without a face .5. A detector that knows nothing then
    looks as if it knew something, wherever faces are found more often in one class.
    """
    rng = np.random.default_rng(0)
    clips = 400
    truth = [0] * clips + [1] * clips
    # Says .3 of every face: it knows nothing. A face is found in all pristine clips and in half of
    # the synthetic ones.
    scores: list[float | None] = [0.3] * clips
    scores += [0.3 if found else None for found in rng.permutation(clips) < clips // 2]
    half = [0.5 if score is None else score for score in scores]
    assert auc(truth, half) == 0.75
    found = evaluate_table(table(truth, scores), FEW)
    assert found.figures["auc"].value == 0.5
    assert found.coverage_by_label == {"pristine": 1.0, "synthetic": 0.5}
    assert found.policies["wrong"]["auc"] == 0.25


def test_turning_scores_round_by_their_labels_makes_a_detector_of_none() -> None:
    """Some notebooks take 1 - score where that gives the higher AUC on the test set. Over all six
    orders of two fakes and two pristine clips, knowing nothing is then worth 3/4 and not 1/2.
    """
    scores = [0.1, 0.2, 0.3, 0.4]
    orders = [list(order) for order in sorted(set(itertools.permutations([0, 0, 1, 1])))]
    areas = [evaluate_table(table(order, scores), FEW).figures["auc"].value for order in orders]
    found = [area for area in areas if area is not None]
    assert sorted(found) == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]  # as they are, the worst too
    assert np.mean(found) == 0.5
    assert np.mean([max(area, 1 - area) for area in found]) == 0.75


def by_folder_name(rows: Sequence[tuple[str, int, float]]) -> tuple[list[int], list[float]]:
    """Group frames by the name of their folder alone, as DeepfakeBench does: the mean score, and
    the mean label rounded down.
    """
    groups: dict[str, list[tuple[int, float]]] = {}
    for path, label, score in rows:
        groups.setdefault(path.split("/")[-2], []).append((label, score))
    labels = [int(np.mean([label for label, _ in group])) for group in groups.values()]
    return labels, [float(np.mean([score for _, score in group])) for group in groups.values()]


def by_clip(rows: Sequence[tuple[str, int, float]]) -> ScoreTable:
    return table(
        [label for _, label, _ in rows],
        [score for *_, score in rows],
        clips=[path.rsplit("/", 1)[0] for path, *_ in rows],
    )


def test_grouping_by_a_folder_name_merges_methods_into_a_perfect_detector() -> None:
    """A detector that always finds one method and never the other is worth an AUC of 1/2. The two
    methods' clips of one actor share a name; merged, their mean lies above every pristine clip.
    """
    rows = []
    for actor in range(20):
        rows.append((f"real/{actor:03d}/0.png", 0, 0.4))
        rows.append((f"Deepfakes/{actor:03d}_{actor + 1:03d}/0.png", 1, 0.9))
        rows.append((f"Face2Face/{actor:03d}_{actor + 1:03d}/0.png", 1, 0.1))
    assert auc(*by_folder_name(rows)) == 1.0
    found = evaluate_table(by_clip(rows), FEW)
    assert found.figures["auc"].value == 0.5
    assert found.clips == 60


def test_grouping_by_a_folder_name_turns_fakes_into_pristine_clips() -> None:
    """Where a fake is named as its original, the two merge and their mean label is rounded to 0."""
    rows = []
    for actor in range(10):
        rows.append((f"real/{actor:03d}/0.png", 0, 0.1))
        rows.append((f"fake/{actor:03d}/0.png", 1, 0.9))
    labels, _ = by_folder_name(rows)
    assert labels == [0] * 10
    assert evaluate_table(by_clip(rows), FEW).figures["auc"].value == 1.0


def test_the_worst_generator_is_named_against_all_pristine_clips() -> None:
    truth, scores = spread(200, shift=3.0)
    method: list[str | None] = [None] * 200
    for place in range(1, 200, 2):
        method[place] = ("good", "bad", "rare")[0 if place < 100 else 1 if place < 190 else 2]
        if method[place] == "bad":
            scores[place] = 1 - scores[place]
    found = evaluate_table(table(truth, scores, method=method), FEW)
    assert [each.value for each in found.slices] == ["bad", "good", "rare"]
    bad = found.slices[0]
    assert (bad.synthetic, bad.pristine, bad.against) == (45, 100, "all")
    assert found.worst == {"method": "bad"}
    assert not found.slices[2].ranked  # five clips are no worst generator
    assert bad.auc.value is not None
    assert bad.auc.value < 0.6


def test_slices_of_people_have_their_own_pristine_clips() -> None:
    truth, scores = spread(120)
    age: list[str | None] = ["old" if place % 3 else "young" for place in range(120)]
    found = evaluate_table(table(truth, scores, groups={"attribute.age": age}), FEW)
    assert {(each.value, each.against) for each in found.slices} == {
        ("old", "its own"),
        ("young", "its own"),
    }
    old = found.slices[0]
    inside = [score for t, score, a in zip(truth, scores, age, strict=True) if a == "old" and t]
    assert old.tpr.value == np.mean(np.array(inside) >= 0.5)
    assert old.tpr.low is not None
    assert old.tpr.low < np.mean(np.array(inside) >= 0.5)


def test_columns_to_slice_by_must_be_there() -> None:
    truth, scores = spread(120)
    made = table(truth, scores, who=[f"p{i}" for i in range(120)])
    with pytest.raises(ConfigError, match="no column 'what'; there are who"):
        evaluate_table(made, dataclasses.replace(FEW, by=("what",)))
    with pytest.raises(ConfigError, match="120 values"):
        evaluate_table(made, dataclasses.replace(FEW, by=("who",)))


def test_a_threshold_of_one_set_alarms_on_another() -> None:
    pristine = [0.01 * step for step in range(20)]
    scores = [*pristine, *[0.9] * 20, *[0.1 + x for x in pristine], *[0.9] * 20]
    truth = [*[0] * 20, *[1] * 20] * 2
    sets = ["a"] * 40 + ["b"] * 40
    found = evaluate_table(table(truth, scores, dataset=sets), FEW).shifts
    rates = {(each.source, each.target): each.fpr.value for each in found}
    # At 10 % two of twenty may alarm: the threshold lies just above the third highest, .17.
    assert found[0].threshold == pytest.approx(0.17)
    assert rates == {("a", "a"): 0.1, ("a", "b"): 0.6, ("b", "a"): 0.0, ("b", "b"): 0.1}


def test_coverage_is_of_clips_whatever_is_measured() -> None:
    """A clip without a face is one row, one with a face has thirty frames: of rows 119 of 122 have
    a score, of clips four of six.
    """
    clips = [*np.repeat(["a", "b", "c", "d"], 30), "e", "f"]
    truth = [*np.repeat([0, 0, 1, 1], 30), 1, 1]
    scores: list[float | None] = [*np.repeat([0.1, 0.2, 0.8, 0.9], 30), None, None]
    scores[0] = None  # a frame without a face, of a clip that has one
    found = evaluate_table(table(truth, scores, clips=list(map(str, clips)), unit="frame"), FEW)
    assert found.counts == {"ok": 4, "missing": 2, "error": 0, "absent": 0}
    assert found.coverage == 4 / 6
    assert found.coverage_by_label == {"pristine": 1.0, "synthetic": 0.5}
    assert found.rows == {"all": 122, "ok": 119}
    said = evaluation_text(found)
    assert "coverage 66.7% of the clips; 119 of 122 frames have a score" in said


def test_frames_of_a_clip_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(30) % 2, 40)
    scores = np.clip(np.repeat(rng.uniform(0, 0.6, 30), 40) + 0.3 * truth, 0, 1).tolist()
    clips = [f"c{place // 40}" for place in range(1200)]
    by_frame = evaluate_table(table(truth.tolist(), scores, clips=clips, unit="frame"), FEW)
    alone = evaluate_table(table(truth.tolist(), scores), FEW)

    def width(found: object) -> float:
        assert isinstance(found, type(by_frame))
        area = found.figures["auc"]
        assert area.low is not None
        assert area.high is not None
        return area.high - area.low

    assert width(by_frame) > 3 * width(alone)
    # 15 pristine clips are 15 chances of a false alarm, however many frames they have.
    assert by_frame.figures["tpr@fpr=0.01"].value is None


def test_settings_that_cannot_be_used_are_refused() -> None:
    bad: dict[str, dict[str, object]] = {
        "policy": {"policy": "half"},
        "threshold": {"threshold": 2.0},
        "level": {"level": 95.0},
        "false alarms": {"shift_fpr": 0.0},
    }
    for said, change in bad.items():
        with pytest.raises(ConfigError, match=said):
            dataclasses.replace(FEW, **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="all 1 clips with a score are synthetic"):
        evaluate_table(table([0, 1], [None, 0.5]), FEW)
    with pytest.raises(InputError, match="none of the 2 clips"):
        evaluate_table(table([0, 1], [None, None]), FEW)


def test_a_ratio_that_is_withheld_says_nothing() -> None:
    truth, scores = [1, 0] * 20, [0.8, 0.2] * 20
    whole = dataclasses.replace(table(truth, scores), ratio=np.log([4.0, 0.25] * 20))
    found, said = log_ratios(whole)
    assert said == "the column lr"
    half = dataclasses.replace(whole, ratio=np.where(np.arange(40) < 20, found, np.nan))
    assert log_ratios(half)[1] == "the column lr; 20 without one say nothing, a ratio of 1"
    sure = np.log2(1 + 1 / 4)  # bits that a clip costs whose ratio of 4 is right
    assert evaluate_table(half, FEW).figures["cllr"].value == pytest.approx((sure + 1) / 2)
