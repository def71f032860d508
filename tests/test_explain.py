"""Heat lies where the network looks; an explanation shows it and compares it with the true mask."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.detector.config import TrainConfig
from obverse.detector.explain import explain_film
from obverse.detector.heat import heat_map, localisation, mask_in_crop
from obverse.detector.kind import Arrays
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import Detector
from obverse.errors import ConfigError
from obverse.faces.landmarks import FaceReader
from obverse.media.still import read_still

SIDE = 64
CONFIG = TrainConfig(recipe=CropRecipe(size_px=SIDE, moments=3, min_px=5))


def corner(inputs: Arrays) -> npt.NDArray[np.float64]:
    """Logits that grow with the contrast of the upper left quarter."""
    quarter = inputs[0][:, : SIDE // 2, : SIDE // 2].astype(np.float64)
    return np.asarray(quarter.std(axis=(1, 2, 3)) / 4, np.float64)


def test_heat_lies_where_the_network_looks() -> None:
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 255, (2, SIDE, SIDE, 3)).astype(np.uint8)
    heat = heat_map(Detector("corner", CONFIG, corner), (crops,), 1)
    assert heat.shape == (SIDE, SIDE)
    inside, outside = heat[:24, :24].mean(), heat[44:, 44:]
    assert inside > 0.1
    assert np.abs(outside).max() < 1e-3
    truth = np.zeros((SIDE, SIDE), bool)
    truth[:32, :32] = True
    found = localisation(heat, truth)
    assert found is not None
    assert found.auc > 0.9
    assert found.hit
    assert found.iou > 0.5
    assert found.share == 0.25


def test_localisation_of_known_maps() -> None:
    truth = np.zeros((4, 4), bool)
    truth[0] = True
    perfect = localisation(truth.astype(np.float32), truth)
    assert perfect == (1.0, True, 1.0, 0.25)
    wrong = localisation(-truth.astype(np.float32), truth)
    assert wrong is not None
    assert (wrong.auc, wrong.hit, wrong.iou) == (0.0, False, 0.0)
    assert localisation(np.zeros((4, 4), np.float32), np.ones((4, 4), bool)) is None


def test_a_mask_is_seen_in_the_crop() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[40:60, 40:60] = 255
    square = np.array([[2, 0, 20], [0, 2, 20]], np.float32)  # crop px to clip px
    seen = mask_in_crop(mask, square, 32)
    assert seen[10:20, 10:20].all()
    assert seen.sum() == 100


@pytest.mark.usefixtures("same_face")
def test_an_explanation_is_written(film_table: Path, tmp_path: Path) -> None:
    from obverse.detector import crop_store

    film = film_table.parent / "synthetic0.mp4"
    mask = np.zeros((96, 96), np.uint8)
    mask[:48] = 255
    reader: FaceReader = crop_store.open_reader()
    detector = Detector("corner", CONFIG, corner)
    found = explain_film(film, tmp_path / "why", detector, reader, mask=mask)
    names = sorted(path.name for path in (tmp_path / "why").iterdir())
    assert names == sorted(found.files)
    assert {"timeline.png", "timeline.svg", "face-0.png", "worst-0.png"} <= set(names)
    about = json.loads((tmp_path / "why" / "explanation.json").read_text())
    (face,) = about["faces"]
    assert len(face["worst"]) == 3
    assert face["worst"][0]["raw"] >= face["worst"][-1]["raw"]
    assert 0 <= face["localisation"]["auc"] <= 1
    assert read_still(tmp_path / "why" / "face-0.png").shape == (448, 3 * 224, 3)
    with pytest.raises(ConfigError, match="no score to explain"):
        explain_film(film_table.parent / "black.mp4", tmp_path / "b", detector, reader)
    assert not (tmp_path / "b").exists()
