"""Faces and detector as the audit's child finds them: with a detector, without one, and with none
to see.
"""

import base64
import dataclasses
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from obverse.audit import faces
from obverse.audit.faces import detector_facts, read_faces
from obverse.audit.findings import _rates
from obverse.detector.calibration import Calibration, Domain
from obverse.detector.config import TrainConfig
from obverse.detector.familiarity import Familiarity
from obverse.detector.fusion import Fusion
from obverse.detector.kind import Arrays
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import Detector
from obverse.errors import InputError

CONFIG = TrainConfig(recipe=CropRecipe(size_px=64, moments=3, min_px=5))


def _contrast(inputs: Arrays) -> npt.NDArray[np.float64]:
    return np.asarray(inputs[0].astype(np.float64).std(axis=(1, 2, 3)) / 4, np.float64)


def _calibration(domain: bool = True) -> Calibration:
    rng = np.random.default_rng(0)
    raw = np.concatenate([rng.uniform(0.55, 0.99, 40), rng.uniform(0.01, 0.45, 40)])
    labels = [True] * 40 + [False] * 40
    spans = [Domain(5 + i, 1 + i, 20 + i) for i in range(80)] if domain else []
    return Calibration.fit(raw.tolist(), labels, domain=spans)


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Detector:
    made = Detector("contrast-1", CONFIG, _contrast, _calibration())
    monkeypatch.setattr(faces, "open_detector", lambda *_: made)
    return made


@pytest.fixture
def _one_face(monkeypatch: pytest.MonkeyPatch, same_face: None) -> None:
    from obverse.detector import crop_store

    monkeypatch.setattr(faces, "open_reader", lambda: crop_store.open_reader())


def _shown(text: str) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.usefixtures("_one_face")
def test_without_a_detector_faces_are_shown_and_not_judged(film_table: Path) -> None:
    found = read_faces(film_table.parent / "pristine0.mp4")
    assert (found["score"], found["detector"]) == (None, None)
    (face,) = found["faces"]
    assert face["lr"] is None
    assert 0 <= face["begin_s"] < face["end_s"]
    assert _shown(face["picture"]).shape == (224, 4 * 224, 3)


@pytest.mark.usefixtures("_one_face")
def test_a_detector_judges_and_shows_where_it_looked(film_table: Path, detector: Detector) -> None:
    found = read_faces(film_table.parent / "synthetic0.mp4", run="a run")
    assert found["score"]["status"] == "ok"
    assert found["score"]["lr"] > 0
    assert found["detector"]["id"] == "contrast-1"
    (face,) = found["faces"]
    assert face["heat"]
    assert len(face["times"]) == len(face["raw"]) == 3
    assert _shown(face["picture"]).shape[0] == 2 * 224  # crops, and heat below
    assert len(found["worst"]) == 3


@pytest.mark.usefixtures("_one_face")
def test_a_film_without_a_face_is_missing(film_table: Path, detector: Detector) -> None:
    found = read_faces(film_table.parent / "black.mp4", run="a run")
    assert (found["score"]["status"], found["faces"]) == ("missing", [])


@pytest.mark.usefixtures("_one_face")
def test_a_damaged_film_is_an_error_and_a_missing_detector_a_refusal(
    film_table: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_faces(film_table.parent / "damaged.mp4", run="r")["score"]["status"] == "error"
    monkeypatch.undo()
    with pytest.raises(InputError):
        read_faces(film_table.parent / "pristine0.mp4", run="/nowhere")


def test_error_rates_come_from_the_calibration() -> None:
    about = detector_facts(Detector("d", CONFIG, _contrast, _calibration()))
    rate, conditions = _rates(about)
    low, high = about["calibration"]["lr_bounds"]
    assert 0 < low < 1 < high
    assert "at most 10%" in rate
    assert f"{high:.3g}" in rate
    assert "40 synthetic and 40 pristine" in conditions
    assert "face, px 5 to 84" in conditions
    assert "like none of theirs" not in conditions
    known = Familiarity.fit(
        list(np.random.default_rng(0).normal(0, 1, (12, 4))), list("abcdefghijkl")
    )
    told = dataclasses.replace(_calibration(), familiar=known)
    assert (
        "like none of theirs" in _rates(detector_facts(Detector("d", CONFIG, _contrast, told)))[1]
    )
    member = Detector("d", CONFIG, _contrast, told)
    fused = detector_facts(Fusion("f", (member, member), (1.0, 1.0), 0.0, _calibration()))
    assert "like none of theirs" in _rates(fused)[1]  # its members tell
    bare = detector_facts(Detector("d", CONFIG, _contrast, None))
    assert "not calibrated" in _rates(bare)[0]
