"""A detector learns what sets synthetic clips apart; its run says how it was made."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from obverse.datasets.table import read_clips
from obverse.detector.crops import CropRecipe
from obverse.detector.model import build_backbone, load_run
from obverse.detector.score import score
from obverse.detector.train import TrainConfig, TrainReport, train
from obverse.errors import ConfigError, InputError, OutputExistsError, WeightsError

SMALL = TrainConfig(
    recipe=CropRecipe(size_px=64, frames=3), epochs=4, steps=12, pairs=6, learning_rate=4e-3
)
BRIEF = TrainConfig(recipe=CropRecipe(size_px=32, frames=2), epochs=1, steps=2, pairs=2)


def learn(table: Path, run: Path, config: TrainConfig, *, force: bool = False) -> TrainReport:
    return train(read_clips(table), table.parent, run, config, force=force)


@pytest.mark.usefixtures("same_face")
def test_a_detector_learns_stripes_and_scores_held_out_people(
    film_table: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    counted: list[tuple[str, int, int]] = []
    clips = read_clips(film_table)
    report = train(
        clips, film_table.parent, run, SMALL, progress=lambda *step: counted.append(step)
    )
    assert report.clips == {"train": 6, "val": 2}
    assert ("clips", 8, 8) in counted
    assert ("steps", 48, 48) in counted
    assert not list(run.glob("*.part"))

    rows = list(csv.DictReader((run / "log.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 4
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    best = max(rows, key=lambda row: (float(row["val_crop_auc"]), -float(row["val_loss"])))
    assert report.best_epoch == int(best["epoch"])
    assert json.loads((run / "config.json").read_text())["recipe"]["size_px"] == 64
    card = yaml.safe_load((run / "model.card.yaml").read_text())
    assert card["data"] == {
        "clips": {"train": 6, "val": 2},
        "identities": 3,
        "methods": ["stripes"],
        "without_face": 0,
        "unreadable": 0,
    }

    scores = score(run, clips, film_table.parent)
    test = {s.clip: s.score for s in scores if s.clip in ("synthetic4", "synthetic5")}
    other = {s.clip: s.score for s in scores if s.clip in ("pristine4", "pristine5")}
    assert min(v for v in test.values() if v is not None) > max(
        v for v in other.values() if v is not None
    )


@pytest.mark.usefixtures("same_face")
def test_the_same_seed_gives_the_same_weights_and_resumes_from_kept_crops(
    film_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(film_table, tmp_path / "a", BRIEF)
    before = torch.random.get_rng_state()
    first = load_run(tmp_path / "a")
    (tmp_path / "a" / "model.card.yaml").unlink()  # as if it had been killed before the end

    def fail(*_: object) -> None:
        raise AssertionError("cut again")

    monkeypatch.setattr("obverse.detector.train.cut_tracks", fail)
    learn(film_table, tmp_path / "a", BRIEF)
    assert load_run(tmp_path / "a").id == first.id
    learn(film_table, tmp_path / "a", dataclasses.replace(BRIEF, seed=1), force=True)
    assert load_run(tmp_path / "a").id != first.id
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("same_face")
def test_a_finished_run_and_a_strange_folder_are_kept(film_table: Path, tmp_path: Path) -> None:
    learn(film_table, tmp_path / "run", BRIEF)
    with pytest.raises(OutputExistsError, match="--force"):
        learn(film_table, tmp_path / "run", BRIEF)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("42")
    with pytest.raises(OutputExistsError, match="not a training run"):
        learn(film_table, tmp_path / "mine", BRIEF, force=True)


@pytest.mark.usefixtures("same_face")
def test_clips_without_a_face_or_a_picture_are_counted(film_table: Path, tmp_path: Path) -> None:
    clips = [
        clip.replace(split="train") if clip.id in ("black", "damaged") else clip
        for clip in read_clips(film_table)
    ]
    report = train(clips, film_table.parent, tmp_path / "run", BRIEF)
    assert report.missing == ("black",)
    assert list(report.errors) == ["damaged"]
    assert report.clips["train"] == 6


def test_splits_that_leak_or_lack_a_class_are_refused(film_table: Path, tmp_path: Path) -> None:
    clips = read_clips(film_table)
    folder = film_table.parent
    moved = [clip.replace(split="train") if clip.id == "pristine4" else clip for clip in clips]
    with pytest.raises(ConfigError, match="identity p4 is in test and train"):
        train(moved, folder, tmp_path / "run", BRIEF)
    with pytest.raises(ConfigError, match="val split needs clips of both labels"):
        train([c for c in clips if c.split != "val"], folder, tmp_path / "run", BRIEF)
    assert not (tmp_path / "run").exists()


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="epochs is 0"):
        TrainConfig(epochs=0)
    with pytest.raises(ConfigError, match="learning_rate"):
        TrainConfig(learning_rate=5)
    with pytest.raises(ConfigError, match="no backbone called 'resnot'"):
        build_backbone("resnot")


def test_pretrained_weights_out_of_reach_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(WeightsError, match="without --pretrained"):
        build_backbone("resnet18", pretrained=True)


def test_a_run_is_checked_against_its_card(
    film_table: Path, tmp_path: Path, same_face: None
) -> None:
    run = tmp_path / "run"
    with pytest.raises(InputError, match="no finished training run"):
        load_run(run)
    learn(film_table, run, BRIEF)
    crops = np.zeros((3, 32, 32, 3), np.uint8)
    probabilities = load_run(run).probabilities(crops)
    assert probabilities.shape == (3,)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsError, match="not the file on its card"):
        load_run(run)
