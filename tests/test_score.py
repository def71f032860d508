"""A score is a number only where there is a face in a film that can be read."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml

from obverse.datasets.table import read_clips
from obverse.detector.crops import CropRecipe, FaceTrack
from obverse.detector.model import CropClassifier, build_backbone, save_weights
from obverse.detector.score import score, score_film, score_films
from obverse.faces.landmarks import FaceReader
from obverse.weights import sha256_file


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        digest = save_weights(run, build_backbone("mobilenetv3_small_050"))
    recipe = dataclasses.asdict(CropRecipe(size_px=32, frames=3))
    settings = {"backbone": "mobilenetv3_small_050", "recipe": recipe}
    (run / "config.json").write_text(json.dumps(settings))
    (run / "model.card.yaml").write_text(yaml.safe_dump({"sha256": digest}))
    return run


@pytest.mark.usefixtures("same_face")
def test_each_clip_gets_one_row(film_table: Path, untrained: Path) -> None:
    clips = read_clips(film_table)
    done: list[int] = []
    scores = score(untrained, clips, film_table.parent, progress=lambda i, _: done.append(i))
    assert [s.clip for s in scores] == [clip.id for clip in clips]
    assert done == list(range(1, len(clips) + 1))
    by_id = {s.clip: s for s in scores}
    one = by_id["pristine0"]
    assert one.status == "ok"
    assert one.detector.startswith("mobilenetv3_small_050-")
    assert one.score == pytest.approx(np.mean(one.frame_scores))
    assert one.times == pytest.approx([0.04, 0.12, 0.2])
    assert by_id["black"].status == "missing"
    assert by_id["black"].score is None
    assert by_id["damaged"].status == "error"
    assert by_id["damaged"].reason


@pytest.mark.usefixtures("same_face")
def test_films_without_a_table_go_by_their_content(film_table: Path, untrained: Path) -> None:
    path = film_table.parent / "pristine0.mp4"
    (alone,) = score_films(untrained, [path])
    assert alone.clip == sha256_file(path)[:32]
    (again,) = score(untrained, read_clips(film_table)[:1], film_table.parent)
    assert alone.score == again.score


def test_the_most_synthetic_face_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Brightness(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean(dim=(1, 2, 3)).unsqueeze(1)

    def track(*levels: int) -> FaceTrack:
        crops = np.stack([np.full((32, 32, 3), level, np.uint8) for level in levels])
        boxes: npt.NDArray[np.float32] = np.zeros((len(levels), 4), np.float32)
        return FaceTrack(np.arange(len(levels), dtype=np.float32), boxes, crops)

    tracks = [track(10, 20, 30), track(200, 220)]
    monkeypatch.setattr("obverse.detector.score.cut_tracks", lambda *_: tracks)
    detector = CropClassifier("brightness", CropRecipe(), Brightness())
    found = score_film(tmp_path / "a.mp4", "a", detector, FaceReader.__new__(FaceReader))
    assert found.times == (0, 1)
    assert found.score is not None
    assert found.score > 0.5
