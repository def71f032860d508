"""Shows why a clip has its score: a timeline, each face's crops with heat, and the worst frames."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib.figure
import numpy as np
import numpy.typing as npt

from obverse.datasets.footage import Source, footage_at
from obverse.detector.crop_store import cut_once, load_faces
from obverse.detector.crops import read_film
from obverse.detector.fusion import Fusion
from obverse.detector.heat import Localisation, heat_map, localisation, mask_in_crop
from obverse.detector.runs import Detector
from obverse.detector.score import ScoredTrack, score_tracks
from obverse.errors import ConfigError
from obverse.faces.landmarks import FaceReader
from obverse.files import draft_of, write_whole
from obverse.media.still import write_still
from obverse.media.video import read_moments

__all__ = ["Explanation", "explain_film", "localise"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

WORST = 4  # windows of a face that are looked into
SHOWN_PX = 224  # side of a crop in a strip
WORST_FRAMES = 3  # of the clip
FRAME_PX = 960  # longer side of a frame that is written


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """What was written about a clip."""

    folder: Path
    files: tuple[str, ...]
    faces: tuple[dict[str, Any], ...]  # raw score, worst moments and localisation of each


def explain_film(
    path: Source,
    folder: Path,
    detector: Detector | Fusion,
    reader: FaceReader,
    *,
    mask: Image | None = None,
    crops: Path | None = None,
) -> Explanation:
    """Write a folder about a film; of a fusion, what its first member saw.

    `timeline.png` and `.svg` show each face's raw score over time; `face-N.png` its most synthetic
    crops, with what speaks for synthetic in red below; `worst-N.png` frames; `explanation.json` the
    numbers, with a localisation score where the true mask is known.

    Args:
        path: the film, by its path or as footage.
        folder: to be written.
        detector: from `open_detector`.
        reader: of faces.
        mask: the clip's true mask `[H, W]`, 255 = synthetic.
        crops: where crops are kept.

    Raises:
        ConfigError: no face of the film has a score.
        InputError: the film cannot be read.
    """
    network = detector.members[0] if isinstance(detector, Fusion) else detector
    recipe = network.recipe
    if crops is None:
        faces = read_film(path, recipe, reader)
    else:
        faces = load_faces(cut_once(path, recipe, crops, reader))
    scored = score_tracks(faces, network)
    if not scored:
        raise ConfigError(
            f"{path} has no score to explain: no face was found, or none long enough."
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = _timeline(scored, folder, network.id)
    rows = []
    for number, one in enumerate(scored):
        worst = np.argsort(-one.raw, kind="stable")[:WORST]
        heats = [heat_map(network, one.windows.inputs, int(window)) for window in worst]
        name = f"face-{number}.png"
        write_still(folder / name, _strip(one, worst, heats))
        written.append(name)
        rows.append(_row(one, worst, heats, mask))
    written += _worst_frames(path, scored, folder)
    about = {"film": str(path), "detector": network.id, "faces": rows}
    write_whole(folder / "explanation.json", json.dumps(about, indent=2) + "\n")
    return Explanation(folder, (*written, "explanation.json"), tuple(rows))


def _row(
    one: ScoredTrack, worst: npt.NDArray[np.intp], heats: Sequence[Floats], mask: Image | None
) -> dict[str, Any]:
    found = [] if mask is None else _compared(one, worst, heats, mask)
    row: dict[str, Any] = {
        "raw": float(one.raw.mean()),
        "box": np.median(one.track.boxes, axis=0).round(1).tolist(),
        "worst": [
            {"time_s": round(float(one.windows.times[i]), 3), "raw": float(one.raw[i])}
            for i in worst
        ],
        "localisation": None,
    }
    if found:
        row["localisation"] = _means(found)
    return row


def localise(one: ScoredTrack, network: Detector, mask: Image) -> dict[str, float] | None:
    """Return how well a detector finds what of a face is synthetic, over its worst windows.

    Args:
        one: the face.
        network: the detector that scored it.
        mask: the clip's true mask `[H, W]`, 255 = synthetic.

    Returns:
        Means of the fields of `Localisation`; None where the mask parts no crop.
    """
    worst = np.argsort(-one.raw, kind="stable")[:WORST]
    heats = [heat_map(network, one.windows.inputs, int(window)) for window in worst]
    found = _compared(one, worst, heats, mask)
    return _means(found) if found else None


def _compared(
    one: ScoredTrack, worst: npt.NDArray[np.intp], heats: Sequence[Floats], mask: Image
) -> list[Localisation]:
    """Compare heat maps with the true mask, where it parts the crop."""
    found = []
    for window, heat in zip(worst, heats, strict=True):
        middle = one.windows.crops[window][len(one.windows.crops[window]) // 2]
        truth = mask_in_crop(mask, one.track.squares[middle], len(heat))
        if (score := localisation(heat, truth)) is not None:
            found.append(score)
    return found


def _means(found: Sequence[Localisation]) -> dict[str, float]:
    return {
        "auc": float(np.mean([each.auc for each in found])),
        "hit": float(np.mean([each.hit for each in found])),
        "iou": float(np.mean([each.iou for each in found])),
        "mask_share": float(np.mean([each.share for each in found])),
        "windows": len(found),
    }


def _timeline(scored: Sequence[ScoredTrack], folder: Path, name: str) -> list[str]:
    figure = matplotlib.figure.Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for number, one in enumerate(scored):
        mark = "o-" if len(one.raw) > 1 else "o"
        axes.plot(
            one.windows.times, one.raw, mark, markersize=3, linewidth=1, label=f"face {number}"
        )
    axes.set(ylim=(-0.02, 1.02), xlabel="seconds", ylabel="raw score, 1 = synthetic", title=name)
    axes.legend(loc="upper right", fontsize="small")
    axes.grid(alpha=0.3)
    written = []
    for ending in ("png", "svg"):
        with draft_of(folder / f"timeline.{ending}", ending=f".{ending}") as draft:
            figure.savefig(draft, dpi=120)
        written.append(f"timeline.{ending}")
    return written


def _strip(one: ScoredTrack, worst: npt.NDArray[np.intp], heats: Sequence[Floats]) -> Image:
    """Return the worst crops in a row, and below each what speaks for synthetic, in red."""
    most = max(max(float(np.abs(heat).max()) for heat in heats), 1e-6)
    above, below = [], []
    for window, heat in zip(worst, heats, strict=True):
        indices = one.windows.crops[window]
        crop = np.array(one.track.crops[indices[len(indices) // 2]])
        size = (SHOWN_PX, SHOWN_PX)
        shown = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        warm = cv2.resize(np.clip(heat / most, 0, 1), size, interpolation=cv2.INTER_LINEAR)
        grey = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None].repeat(3, 2)
        red = np.array([230, 30, 20], np.float32)
        mixed = grey * (1 - 0.75 * warm[..., None]) + red * 0.75 * warm[..., None]
        above.append(np.asarray(shown, np.uint8))
        below.append(np.clip(mixed, 0, 255).astype(np.uint8))
    return np.concatenate([np.concatenate(above, axis=1), np.concatenate(below, axis=1)])


def _worst_frames(path: Source, scored: Sequence[ScoredTrack], folder: Path) -> list[str]:
    """Write the frames with the highest raw scores, each face in a box."""
    every = [
        (float(raw), float(one.windows.times[i]), one.track.boxes[one.windows.crops[i][0]])
        for one in scored
        for i, raw in enumerate(one.raw)
    ]
    chosen = sorted(sorted(every, key=lambda each: -each[0])[:WORST_FRAMES], key=lambda e: e[1])
    times = [time for _, time, _ in chosen]
    footage = footage_at(path)
    if footage.form == "film":
        with footage.film() as film:
            frames = [image for _, image in read_moments(film, times)]
    else:
        with footage.pictures() as pictures:
            chosen = chosen[: len(pictures)]
            frames = [image for _, image in pictures.moments(times[: len(pictures)])]
    written = []
    for number, ((raw, time, box), frame) in enumerate(zip(chosen, frames, strict=True)):
        low, high = (tuple(round(float(v)) for v in part) for part in (box[:2], box[2:]))
        width = max(1, round(max(frame.shape[:2]) / 300))
        drawn = cv2.rectangle(frame.copy(), low, high, (230, 30, 20), width)
        scale = min(1.0, FRAME_PX / max(drawn.shape[:2]))
        if scale < 1:
            drawn = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        text = f"{time:.2f} s  {raw:.2f}"
        for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            cv2.putText(drawn, text, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, thickness)
        name = f"worst-{number}.png"
        write_still(folder / name, np.asarray(drawn, np.uint8))
        written.append(name)
    return written
