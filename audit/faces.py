"""The faces of a clip and what a detector says of each, with pictures that show why.

Without a detector the faces are found and shown all the same.
"""

import base64
import io
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from obverse.detector.calibration import UNCALIBRATED, Calibration
from obverse.detector.crop_store import open_reader
from obverse.detector.crops import FaceTrack, read_film
from obverse.detector.explain import explain_film
from obverse.detector.fusion import Fusion
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import Detector
from obverse.detector.score import open_detector, score_film
from obverse.errors import ConfigError

__all__ = ["MOST_FACES", "detector_facts", "read_faces"]

MOST_FACES = 6  # that are shown; all are judged
_SHOWN_PX = 224
_SHOWN = 4  # crops of a face
_QUALITY = 85  # of pictures, JPEG
_LOOK = CropRecipe(size_px=_SHOWN_PX, moments=16)  # where no detector says how


def read_faces(path: Path, run: str | None = None, threads: int = 1) -> dict[str, Any]:
    """Return plain values: the detector's `score` (None without one), `detector`, and `faces`.

    Args:
        path: a film or a still.
        run: what `obverse train detector` or `obverse export` wrote; None runs no detector.
        threads: of the networks.

    Raises:
        InputError: the file cannot be read, or there is no such detector.
    """
    if run is None:
        return {"score": None, "detector": None, "faces": _plain_faces(path), "worst": []}
    torch.set_num_threads(threads)
    detector = open_detector(Path(run), threads)
    with tempfile.TemporaryDirectory(prefix="obverse-faces-") as place:
        crops = Path(place) / "crops"
        film = score_film(path, path.stem, detector, open_reader(), crops)
        score = film.score
        faces = [
            {
                "number": number,
                "begin_s": track.start_s,
                "end_s": track.end_s,
                "box": list(track.box),
                "score": track.score,
                "lr": track.lr,
                "verdict": track.verdict,
                "reason": track.reason,
                "times": list(track.times),
                "raw": [round(value, 4) for value in track.frame_scores],
                "picture": None,
                "heat": False,
            }
            for number, track in enumerate(film.tracks, 1)
        ]
        worst: list[str] = []
        if faces:
            worst = _explained(path, Path(place) / "why", detector, crops, faces)
        elif score.status == "missing":
            faces = _plain_faces(path)
    return {
        "score": {
            "status": score.status,
            "score": score.score,
            "lr": score.lr,
            "verdict": score.verdict,
            "reason": score.reason,
        },
        "detector": detector_facts(detector),
        "faces": faces,
        "worst": worst,
    }


def detector_facts(detector: Detector | Fusion) -> dict[str, Any]:
    """Return what is known of a detector's errors, as plain values."""
    calibration = detector.calibration
    return {
        "id": detector.id,
        "judges": detector.judges,
        "meaning": UNCALIBRATED if calibration is None else calibration.meaning,
        "calibration": None
        if calibration is None
        else {**_calibration_facts(calibration), "familiar": _familiar_faces(detector)},
    }


def _familiar_faces(detector: Detector | Fusion) -> int | None:
    """Return how many faces tell what is familiar, the fewest of a fusion's members; None where
    none do.
    """
    members = detector.members if isinstance(detector, Fusion) else (detector,)
    known = [each.calibration.familiar for each in members if each.calibration is not None]
    return min((len(each.faces) for each in known if each is not None), default=None)


def _calibration_facts(calibration: Calibration) -> dict[str, Any]:
    low, high = (math.exp(each) if math.isfinite(each) else None for each in calibration.bounds)
    names = ("face, px", "sharpness", "brightness")
    return {
        "method": calibration.method,
        "alpha": calibration.alpha,
        "lr_bounds": [low, high],
        "synthetic": len(calibration.synthetic),
        "pristine": len(calibration.pristine),
        "clips": str(calibration.about.get("clips", "not stated")),
        "domain": {name: list(span) for name, span in zip(names, calibration.domain, strict=False)},
    }


def _explained(
    path: Path, folder: Path, detector: Detector | Fusion, crops: Path, faces: list[dict[str, Any]]
) -> list[str]:
    """Give each face its strip of crops with heat; returns the worst frames."""
    try:
        made = explain_film(path, folder, detector, open_reader(), crops=crops)
    except ConfigError:
        return []
    about = json.loads((folder / "explanation.json").read_text(encoding="utf-8"))
    for row in faces[:MOST_FACES]:
        # A fusion's first member, which explains, may know a face that another one lacks.
        for number, shown in enumerate(about["faces"]):
            if np.allclose(shown["box"], row["box"], atol=1.0):
                row["picture"] = _jpeg(folder / f"face-{number}.png")
                row["heat"] = True
                break
    return [_jpeg(folder / name) for name in made.files if name.startswith("worst-")]


def _plain_faces(path: Path) -> list[dict[str, Any]]:
    film = read_film(path, _LOOK, open_reader())
    found = []
    for number, track in enumerate(film.tracks, 1):
        box = np.median(track.boxes, axis=0)
        found.append(
            {
                "number": number,
                "begin_s": round(float(track.times[0]), 3),
                "end_s": round(float(track.times[-1]), 3),
                "box": [round(float(value), 1) for value in box],
                "score": None,
                "lr": None,
                "verdict": None,
                "reason": None,
                "times": [],
                "raw": [],
                "picture": _strip(track) if number <= MOST_FACES else None,
                "heat": False,
            }
        )
    return found


def _strip(track: FaceTrack) -> str:
    chosen = np.unique(np.linspace(0, len(track) - 1, _SHOWN).round().astype(int))
    size = (_SHOWN_PX, _SHOWN_PX)
    shown = [
        cv2.resize(np.array(track.crops[i]), size, interpolation=cv2.INTER_AREA) for i in chosen
    ]
    return _encoded(np.concatenate(shown, axis=1))


def _jpeg(path: Path) -> str:
    with Image.open(path) as image:
        return _encoded(np.array(image.convert("RGB")))


def _encoded(image: npt.NDArray[np.uint8]) -> str:
    """Return a picture `[H, W, 3]` as JPEG in base64."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=_QUALITY)
    return base64.b64encode(out.getvalue()).decode()
