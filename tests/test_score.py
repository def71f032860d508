"""A score is a number only where there is a face in a film that can be read."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml

from obverse.datasets.table import read_clips, read_scores, write_scores
from obverse.detector.calibration import Calibration
from obverse.detector.config import TrainConfig
from obverse.detector.crops import FaceTrack, FilmFaces
from obverse.detector.frame import FrameNet
from obverse.detector.kind import Arrays
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import Detector, save_weights
from obverse.detector.score import as_json, score, score_film, score_films, verdict_of
from obverse.faces.landmarks import FaceReader
from obverse.weights import sha256_file

CONFIG = TrainConfig(backbone="test_resnet", recipe=CropRecipe(size_px=32, moments=3, min_px=5))


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FrameNet(CONFIG)
        torch.nn.init.normal_(network.head.weight)
        digest = save_weights(run / "model.safetensors", network)
    (run / "config.json").write_text(json.dumps(CONFIG.to_json()))
    (run / "model.card.yaml").write_text(yaml.safe_dump({"sha256": digest}))
    return run


@pytest.mark.usefixtures("same_face")
def test_each_clip_gets_one_row(film_table: Path, untrained: Path, tmp_path: Path) -> None:
    clips = read_clips(film_table)
    done: list[int] = []
    scores = score(untrained, clips, film_table.parent, progress=lambda i, _: done.append(i))
    assert [s.clip for s in scores] == [clip.id for clip in clips]
    assert done == list(range(len(clips) + 1))
    by_id = {s.clip: s for s in scores}
    one = by_id["pristine0"]
    assert (one.status, one.verdict, one.lr) == ("ok", "cannot tell", None)
    assert one.detector.startswith("frame-test_resnet-")
    assert one.score == pytest.approx(np.mean(one.frame_scores))
    assert one.times == pytest.approx([0.04, 0.12, 0.2])
    (track,) = json.loads(one.tracks_json)
    assert (track["score"], track["start_s"], track["end_s"]) == (one.score, 0.04, 0.2)
    assert len(track["box"]) == 4
    assert by_id["black"].status == "missing"
    assert by_id["black"].score is None
    assert by_id["damaged"].status == "error"
    assert by_id["damaged"].reason
    write_scores(tmp_path / "scores.parquet", scores)
    assert read_scores(tmp_path / "scores.parquet") == scores
    kept = tmp_path / "crops"
    again = score(untrained, clips, film_table.parent, crops=kept)
    assert [s.score for s in again] == [s.score for s in scores]
    assert len(list(kept.rglob("*.safetensors"))) == 13  # the damaged one is tried again


@pytest.mark.usefixtures("same_face")
def test_films_without_a_table_go_by_their_content(film_table: Path, untrained: Path) -> None:
    path = film_table.parent / "pristine0.mp4"
    (alone,) = score_films(untrained, [path])
    assert alone.clip == sha256_file(path)[:32]
    (again,) = score(untrained, read_clips(film_table)[:1], film_table.parent)
    assert alone.score == again.score
    (gone,) = score_films(untrained, [film_table.parent / "gone.mp4"])
    assert gone.status == "error"


def track(*levels: int) -> FaceTrack:
    count = len(levels)
    crops = np.stack([np.full((32, 32, 3), level, np.uint8) for level in levels])
    return FaceTrack(
        np.arange(count, dtype=np.float32),
        np.tile(np.array([10, 10, 90, 90], np.float32), (count, 1)),
        np.arange(count, dtype=np.int32),
        crops,
        np.zeros((count, 468, 2), np.float32),
        np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1)),
    )


def brightness(inputs: Arrays) -> npt.NDArray[np.float64]:
    return np.asarray((inputs[0].mean(axis=(1, 2, 3)) - 128) / 20, np.float64)


def test_every_face_has_a_verdict_and_the_most_synthetic_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = FilmFaces(
        (track(60, 70, 80), track(200, 220)), np.zeros((0, 0), np.int16), 3, (100, 100)
    )
    monkeypatch.setattr("obverse.detector.score.read_film", lambda *_: faces)
    reader = FaceReader.__new__(FaceReader)
    bare = Detector("brightness", CONFIG, brightness)
    found = score_film(tmp_path / "a.mp4", "a", bare, reader)
    assert found.score.times == (0, 1)
    assert found.score.score is not None
    assert found.score.score > 0.9

    rng = np.random.default_rng(0)
    odds = np.concatenate([rng.normal(3, 1, 60), rng.normal(-3, 1, 60)])
    calibration = Calibration.fit((1 / (1 + np.exp(-odds))).tolist(), [True] * 60 + [False] * 60)
    detector = dataclasses.replace(bare, calibration=calibration)
    found = score_film(tmp_path / "a.mp4", "a", detector, reader)
    assert [one.verdict for one in found.tracks] == ["pristine", "synthetic"]
    assert found.score.verdict == "synthetic"
    assert found.score.lr is not None
    assert found.score.lr > 5
    answer = as_json("a.mp4", found.score, detector)
    assert list(answer)[:5] == ["status", "score", "lr", "verdict", "tracks"]
    assert {"score", "start_s", "end_s", "box"} <= answer["tracks"][0].keys()
    assert (answer["polarity"], answer["threshold"]) == ("higher = synthetic", 0.5)
    assert "abstains" in answer["meaning"]
    assert "uncalibrated" in as_json("a.mp4", found.score, bare)["meaning"]
    pristine, synthetic = found.tracks
    unsure = pristine._replace(verdict="cannot tell")
    assert verdict_of([pristine, pristine]) == "pristine"
    assert verdict_of([pristine, unsure]) == "cannot tell"
    assert verdict_of([synthetic, unsure]) == "synthetic"


def test_a_face_with_nothing_to_score_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = FilmFaces((track(60),), np.zeros((0, 0), np.int16), 3, (100, 100))
    monkeypatch.setattr("obverse.detector.score.read_film", lambda *_: faces)
    config = TrainConfig(kind="temporal", recipe=CropRecipe(burst=4))
    found = score_film(
        tmp_path / "a.mp4",
        "a",
        Detector("t", config, brightness),
        FaceReader.__new__(FaceReader),
    )
    assert found.score.status == "missing"
    assert found.score.reason is not None
    assert "too short" in found.score.reason
