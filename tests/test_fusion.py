"""Several detectors' evidence adds up; one that has nothing to say does not count."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from obverse.clip import Clip
from obverse.datasets.table import read_clips
from obverse.detector.calibrate import calibrate, train_fusion
from obverse.detector.calibration import Calibration
from obverse.detector.config import TrainConfig
from obverse.detector.export import export
from obverse.detector.fusion import Fusion, fit_weights, is_fusion
from obverse.detector.recipe import CropRecipe
from obverse.detector.score import open_detector, score
from obverse.detector.train import train
from obverse.errors import ConfigError, OutputExistsError

BRIEF = TrainConfig(
    backbone="test_resnet",
    recipe=CropRecipe(size_px=32, moments=2, min_px=5),
    epochs=1,
    steps=2,
    pairs=2,
)


def test_weights_of_evidence_that_is_told() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(4000) < 2000
    sign = np.where(labels, 1.0, -1.0)
    # Two independent witnesses whose ratios are right as they are, and one that guesses.
    true = [2 * d * (sign * d + rng.normal(0, 1, 4000)) for d in (1.0, 0.7)]
    ratios = np.stack([*true, rng.normal(0, 1, 4000)], axis=1)
    weights, offset = fit_weights(ratios, labels)
    assert weights[:2] == pytest.approx((1, 1), abs=0.2)
    assert weights[2] == pytest.approx(0, abs=0.1)
    assert offset == pytest.approx(0, abs=0.1)
    wrong, _ = fit_weights(np.stack([true[0], -true[1]], axis=1), labels)
    assert wrong[1] == 0  # a witness is never turned around
    with pytest.raises(ConfigError, match="both labels"):
        fit_weights(ratios, np.ones(4000, bool))


def test_no_evidence_leaves_the_score_even() -> None:
    fusion = Fusion("f", (), (1.0, 2.0), 0.0, None)
    assert fusion.raw([0, 0]) == 0.5
    assert fusion.raw([1, 0]) == pytest.approx(1 / (1 + np.exp(-1)))
    assert fusion.evidence.__doc__ is not None


def _many(clips: list[Clip]) -> list[Clip]:
    """Every clip of the table as one to calibrate on."""
    return [clip.replace(split="val") for clip in clips if clip.id not in ("black", "damaged")]


@pytest.mark.usefixtures("same_face")
def test_two_detectors_are_calibrated_fused_and_score(
    film_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("calibration", "calibrate", "pools"):
        monkeypatch.setattr(f"obverse.detector.{module}.FEWEST", 2)
    clips, folder = read_clips(film_table), film_table.parent
    runs = [tmp_path / "a", tmp_path / "b"]
    for seed, run in enumerate(runs):
        train(clips, folder, run, dataclasses.replace(BRIEF, seed=seed), crops=tmp_path / "crops")
    fused = tmp_path / "fused"
    with pytest.raises(ConfigError, match="not calibrated"):
        train_fusion(runs, _many(clips), folder, fused)
    for run in runs:
        made = calibrate(run, _many(clips), folder, crops=tmp_path / "crops")
        assert (len(made.synthetic), len(made.pristine)) == (6, 6)
    with pytest.raises(ConfigError, match="two or more"):
        train_fusion(runs[:1], _many(clips), folder, fused)
    fusion = train_fusion(runs, _many(clips), folder, fused, crops=tmp_path / "crops")
    assert min(fusion.weights) >= 0
    assert is_fusion(fused)
    assert not is_fusion(runs[0])
    opened = open_detector(fused)
    assert isinstance(opened, Fusion)
    assert opened.id == fusion.id
    assert opened.calibration is not None
    scores = score(fused, clips, folder, crops=tmp_path / "crops")
    assert [s.status for s in scores].count("ok") == 12
    assert scores[0].lr is not None
    assert len(json.loads(scores[0].tracks_json)) == 1
    assert {s.status for s in scores if s.clip in ("black", "damaged")} == {"missing", "error"}
    with pytest.raises(ConfigError, match=r"end in \.json"):
        export(fused, tmp_path / "out" / "both.onnx")
    export(fused, tmp_path / "out" / "both.json")
    names = sorted(path.name for path in (tmp_path / "out").glob("*.onnx"))
    assert names == ["both-0.onnx", "both-1.onnx"]
    served = score(tmp_path / "out" / "both.json", clips, folder, crops=tmp_path / "crops")
    assert [s.score for s in served] == [
        None if s.score is None else pytest.approx(s.score, abs=1e-4) for s in scores
    ]
    refused = train_fusion(
        [tmp_path / "out" / name for name in names],
        _many(clips),
        folder,
        tmp_path / "of-onnx",
        crops=tmp_path / "crops",
    )
    assert refused.weights == pytest.approx(fusion.weights, abs=1e-2)
    with pytest.raises(OutputExistsError):
        train_fusion(runs, _many(clips), folder, fused)
    again = calibrate(fused, _many(clips), folder, method="isotonic", crops=tmp_path / "crops")
    assert again.method == "isotonic"
    assert Calibration.load(fused / "calibration.json") == again
