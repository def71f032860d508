"""Several detectors' evidence adds up; one that has nothing to say does not count."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from miniatures import MINIATURES

from obverse.clip import Clip
from obverse.datasets.adapter import Place
from obverse.datasets.footage import Footage
from obverse.datasets.index import index_set
from obverse.datasets.table import read_clips
from obverse.detector.calibrate import calibrate, train_fusion
from obverse.detector.calibration import Calibration
from obverse.detector.config import KindName, TrainConfig, preset
from obverse.detector.crop_store import kept_path, save_faces
from obverse.detector.crops import FaceTrack, FilmFaces
from obverse.detector.detectors import DETECTORS
from obverse.detector.export import export
from obverse.detector.fusion import Fusion, fit_weights, is_fusion
from obverse.detector.kind import Sample
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import save_weights
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
    with monkeypatch.context() as costly:
        costly.delattr("obverse.detector.calibrate.cut_many")  # labels tell before films are opened
        few = [clip for clip in _many(clips) if clip.label == "pristine"]
        with pytest.raises(ConfigError, match="there are 0 synthetic and 6 pristine ones"):
            calibrate(runs[0], few, folder)
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
    assert opened.calibration.about["clips"] == "the val split of a table"
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


def _untrained(kind: KindName, run: Path) -> TrainConfig:
    """Write a run that nobody trained."""
    config = preset(kind, backbone="test_resnet")
    burst = 8 if kind == "sync" else 1
    recipe = dataclasses.replace(config.recipe, size_px=32, moments=2, burst=burst)
    config = dataclasses.replace(config, recipe=recipe)
    run.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        digest = save_weights(run / "model.safetensors", DETECTORS[kind].build(config))
    (run / "config.json").write_text(json.dumps(config.to_json()))
    (run / "model.card.yaml").write_text(yaml.safe_dump({"sha256": digest}))
    return config


def _speaking(recipe: CropRecipe, seed: int) -> FilmFaces:
    rng = np.random.default_rng(seed)
    count = recipe.moments * recipe.burst
    track = FaceTrack(
        (np.arange(count) / 25).astype(np.float32),
        np.tile(np.array([4, 4, 44, 44], np.float32), (count, 1)),
        np.repeat(np.arange(recipe.moments, dtype=np.int32), recipe.burst),
        rng.integers(0, 255, (count, recipe.size_px, recipe.size_px, 3)).astype(np.uint8),
        np.zeros((count, 468, 2), np.float32),
        np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1)),
    )
    shape = (recipe.moments, recipe.sound_samples) if recipe.sound else (0, 0)
    return FilmFaces((track,), rng.normal(0, 2000, shape).astype(np.int16), 1.0, (48, 48))


def test_what_hears_is_measured_against_the_sound_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("calibration", "calibrate"):
        monkeypatch.setattr(f"obverse.detector.{module}.FEWEST", 2)
    MINIATURES["fakeavceleb"](tmp_path / "set")
    index_set("fakeavceleb", Place(root=tmp_path / "set"), tmp_path / "clips.parquet")
    clips, crops = read_clips(tmp_path / "clips.parquet"), tmp_path / "crops"
    # Of three fakes, one has a true picture: RealVideo-FakeAudio.
    (dubbed,) = [clip for clip in clips if clip.binary_av and not clip.binary]
    counts = {}
    kinds: dict[str, KindName] = {"eye": "frame", "other": "frame", "ear": "sync"}
    for name, kind in kinds.items():
        config = _untrained(kind, tmp_path / name)
        for number, clip in enumerate(clips):
            kept = kept_path(Footage.of(clip, tmp_path), config.recipe, crops)
            save_faces(kept, _speaking(config.recipe, number))
        made = calibrate(tmp_path / name, clips, tmp_path, split=None, crops=crops)
        counts[name] = len(made.synthetic), len(made.pristine)
        assert Sample(dubbed, kept, DETECTORS[kind].judges).synthetic == (kind == "sync")
    assert counts == {"eye": (2, 17), "other": (2, 17), "ear": (3, 16)}
    for members, found in ((("eye", "other"), (2, 17)), (("eye", "ear"), (3, 16))):
        run = tmp_path / "-".join(members)
        runs = [tmp_path / name for name in members]
        fusion = train_fusion(runs, clips, tmp_path, run, split=None, crops=crops)
        assert fusion.calibration is not None
        assert (len(fusion.calibration.synthetic), len(fusion.calibration.pristine)) == found
        again = calibrate(run, clips, tmp_path, split=None, crops=crops)
        assert (len(again.synthetic), len(again.pristine)) == found
