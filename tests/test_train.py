"""A detector learns what sets synthetic clips apart; its run says how it was made."""

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from obverse.clip import Clip
from obverse.datasets.table import read_clips
from obverse.detector.augment import AugmentConfig
from obverse.detector.config import TrainConfig, preset
from obverse.detector.kind import Sample
from obverse.detector.pools import part_validation
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import load_detector
from obverse.detector.score import score
from obverse.detector.train import TrainReport, train
from obverse.errors import ConfigError, InputError, OutputExistsError, WeightsError

SMALL = TrainConfig(
    kind="frequency",
    backbone="test_resnet",
    recipe=CropRecipe(size_px=64, moments=3, min_px=5),
    augment=AugmentConfig(often=0.3, film=0.0),
    epochs=4,
    steps=12,
    pairs=6,
    learning_rate=4e-3,
    average=0.9,
)
BRIEF = TrainConfig(
    backbone="test_resnet",
    recipe=CropRecipe(size_px=32, moments=2, min_px=5),
    epochs=2,
    steps=2,
    pairs=2,
)


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
    assert report.calibrated == 0  # so few clips show nothing
    assert counted[0] == ("clips", 0, 8)
    assert ("clips", 8, 8) in counted
    assert ("steps", 48, 48) in counted
    assert not list(run.glob("*.part"))
    assert not (run / "checkpoint.pt").exists()

    rows = list(csv.DictReader((run / "log.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 4
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    best = max(rows, key=lambda row: (float(row["val_window_auc"]), -float(row["val_loss"])))
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


def _weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("same_face")
@pytest.mark.parametrize(("kind", "loaders"), [("frame", 0), ("selfblend", 2)])
def test_a_stopped_run_goes_on_to_the_same_bits(
    kind: str, loaders: int, film_table: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(BRIEF, epochs=3, kind=kind, loaders=loaders)  # type: ignore[arg-type]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    before = torch.random.get_rng_state()
    learn(film_table, whole, config)

    class StopError(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if what == "steps" and done == 5:  # in the third epoch
            raise StopError

    with pytest.raises(StopError):
        train(read_clips(film_table), film_table.parent, broken, config, progress=stop)
    assert (broken / "checkpoint.pt").is_file()
    steps: list[int] = []
    train(
        read_clips(film_table),
        film_table.parent,
        broken,
        config,
        progress=lambda what, done, _: steps.append(done) if what == "steps" else None,
    )
    assert steps == [5, 6]
    assert _weights(broken) == _weights(whole)
    assert torch.equal(torch.random.get_rng_state(), before)
    learn(film_table, broken, dataclasses.replace(config, seed=1), force=True)
    assert _weights(broken) != _weights(whole)


@pytest.mark.usefixtures("same_face")
def test_a_checkpoint_of_other_settings_is_refused(film_table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def stop(what: str, done: int, total: int) -> None:
        if what == "steps" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(read_clips(film_table), film_table.parent, run, BRIEF, progress=stop)
    with pytest.raises(InputError, match="other settings"):
        learn(film_table, run, dataclasses.replace(BRIEF, learning_rate=1e-4))
    learn(film_table, run, dataclasses.replace(BRIEF, learning_rate=1e-4), force=True)


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


@pytest.mark.usefixtures("same_face")
def test_pristine_clips_are_enough_for_selfblend_and_not_for_frame(
    film_table: Path, tmp_path: Path
) -> None:
    clips = [clip for clip in read_clips(film_table) if clip.label == "pristine"]
    with pytest.raises(ConfigError, match="clips of both labels"):
        train(clips, film_table.parent, tmp_path / "frame", BRIEF)
    config = dataclasses.replace(BRIEF, kind="selfblend")
    report = train(clips, film_table.parent, tmp_path / "run", config)
    assert report.clips == {"train": 3, "val": 1}
    card = yaml.safe_load((tmp_path / "run" / "model.card.yaml").read_text())
    assert "forgeries made of pristine clips" in card["results"]["note"]


def test_splits_that_leak_or_lack_a_class_are_refused(film_table: Path, tmp_path: Path) -> None:
    clips = read_clips(film_table)
    folder = film_table.parent
    moved = [clip.replace(split="train") if clip.id == "pristine4" else clip for clip in clips]
    with pytest.raises(ConfigError, match="identity p4 is in test and train"):
        train(moved, folder, tmp_path / "run", BRIEF)
    with pytest.raises(ConfigError, match="val split needs clips of both labels"):
        train([c for c in clips if c.split != "val"], folder, tmp_path / "run", BRIEF)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("same_face")
def test_a_run_is_checked_against_its_card(film_table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(InputError, match="no finished training run"):
        load_detector(run)
    learn(film_table, run, BRIEF)
    crops = np.zeros((3, 32, 32, 3), np.uint8)
    probabilities = load_detector(run).probabilities((crops,))
    assert probabilities.shape == (3,)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsError, match="not the file on its card"):
        load_detector(run)


def _sample(person: int, label: str) -> Sample:
    twin = {} if label == "pristine" else {"twin": f"pristine{person}"}
    clip = Clip(
        id=f"{label}{person}",
        path="x",
        label=label,  # type: ignore[arg-type]
        kind="rendered",
        parents=twin,
        identity=f"p{person}",
    )
    return Sample(clip, Path())


def test_no_person_both_chooses_and_calibrates(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [_sample(p, label) for p in range(80) for label in ("pristine", "synthetic")]
    select, calibrate = part_validation(clips)
    assert len(select) + len(calibrate) == 160
    assert min(len(select), len(calibrate)) > 40
    people = [{s.clip.identity for s in part} for part in (select, calibrate)]
    assert not people[0] & people[1]
    few, none = part_validation(clips[:20])
    assert (len(few), none) == (20, [])
    monkeypatch.setattr("obverse.detector.pools.FEWEST", 2)
    assert part_validation(clips[:20])[1]


@pytest.mark.slow
def test_two_processes_learn_together(film_table: Path, tmp_path: Path) -> None:
    """Two processes of torchrun on the CPU end with one run."""
    assert preset("frame").device == "auto"
    script = tmp_path / "learn.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "import conftest, obverse.detector.crop_store as store\n"
        "store.open_reader = conftest._SameFace\n"
        "from test_train import BRIEF, learn\n"
        f"learn(Path({str(film_table)!r}), Path({str(tmp_path / 'run')!r}), BRIEF)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert load_detector(tmp_path / "run").config.pairs == 2
