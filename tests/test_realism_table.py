"""From clips to a table: what is counted, what is a number, and what stands beside it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from obverse.eval.realism import MEASURES, THEVAL, ClipRealism
from obverse.eval.realism_table import summarise_realism

REFERENCES = {measure.name: measure.reference for measure in MEASURES}


def clip(values: Mapping[str, float], path: str = "a.mp4") -> ClipRealism:
    unknown = dict.fromkeys((measure.name for measure in MEASURES), math.nan)
    return ClipRealism(Path(path), "ok", {**unknown, **values})


def theval(factor: float) -> dict[str, float]:
    return {name: factor * (REFERENCES[name] or 0) for name in THEVAL}


def test_the_table_of_known_clips() -> None:
    clips = [clip(theval(0.5)), clip(theval(1.1))]
    clips += [ClipRealism(Path("b.mp4"), "missing", {}, reason="no face")]
    clips += [ClipRealism(Path("c.mp4"), "error", {}, reason="damaged")] * 2
    table = summarise_realism(clips)
    assert table.counts == {"clips": 5, "ok": 2, "missing": 1, "error": 2}
    rows = {row.measure.name: row for row in table.rows}
    for name in THEVAL:
        row = rows[name]
        assert row.interval is not None
        assert row.clips == 2
        assert row.closeness == pytest.approx(0.8)  # of the mean of .5 and 1.1 times real video
        assert row.interval.low == pytest.approx(0.5 * REFERENCES[name], rel=1e-6)  # type: ignore[operator]
        assert row.interval.high == pytest.approx(1.1 * REFERENCES[name], rel=1e-6)  # type: ignore[operator]
    assert table.score is not None
    assert table.score.value == pytest.approx(0.8)
    assert table.score.low == pytest.approx(0.5)
    assert rows["csim"].interval is None
    assert rows["csim"].clips == 0


def test_as_far_above_real_video_is_as_far_as_below() -> None:
    above, below = (summarise_realism([clip(theval(f))] * 3).score for f in (1.3, 0.7))
    assert above is not None
    assert below is not None
    assert above.value == pytest.approx(below.value)
    twice = summarise_realism([clip(theval(2.5))]).score
    assert twice is not None
    assert twice.value == pytest.approx(-0.5)


def test_there_is_no_score_unless_every_measure_of_it_was_taken() -> None:
    values = theval(1.0)
    del values["silent_lip"]
    table = summarise_realism([clip(values)])
    assert table.score is None
    answer = table.to_json()
    assert answer["score"]["value"] is None
    assert answer["measures"]["silent_lip"]["value"] is None
    assert answer["measures"]["lip_sync"]["closeness"] == pytest.approx(1)
    json.dumps(answer, allow_nan=False)


def test_real_clips_stand_in_place_of_published_figures() -> None:
    clips = [clip(theval(0.9) | {"csim": 0.8})]
    real = [clip(theval(0.5) | {"csim": 0.9}), clip(theval(0.7) | {"csim": 0.7})]
    table = summarise_realism(clips, real)
    assert table.against == "real clips"
    rows = {row.measure.name: row for row in table.rows}
    assert rows["csim"].closeness == pytest.approx(1)
    assert rows["lip_sync"].closeness == pytest.approx(0.5)
    assert rows["jitter"].reference is None
    assert table.score is not None
    assert table.score.value == pytest.approx(0.5)
