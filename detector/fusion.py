"""The kind `fusion`: several detectors' evidence on one face, added up with fitted weights.

Each member speaks in calibrated log likelihood ratios, so that one that has nothing to say (no
sound, too short a clip) says 0. The weights are a logistic regression's, none below 0 (Brummer et
al., "Fusion of heterogeneous speaker recognition systems", 2007).
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from obverse.clip import Judged
from obverse.detector.calibration import Calibration, Domain, Judgement
from obverse.detector.crops import FaceTrack
from obverse.detector.runs import CALIBRATION, CARD, CONFIG, Detector, load_detector
from obverse.detector.tracks import overlap
from obverse.errors import ConfigError, InputError

if TYPE_CHECKING:
    from obverse.detector.score import ScoredTrack

__all__ = ["Evidence", "Fusion", "fit_weights", "is_fusion", "load_fusion"]

SAME_FACE = 0.3  # intersection over union of two members' boxes from which a face is one
RIDGE = 0.001  # pull of the weights towards an equal share


class Evidence(NamedTuple):
    """What a member says of a face."""

    ratio: float  # log likelihood ratio, 0 where it has nothing to say
    strange: str | None  # in what the face is unlike those of its calibration


@dataclasses.dataclass(frozen=True, slots=True)
class Fusion:
    """Several calibrated detectors that judge together."""

    id: str
    members: tuple[Detector, ...]
    weights: tuple[float, ...]
    offset: float
    calibration: Calibration | None  # of the fused score

    @property
    def judges(self) -> Judged:
        """What its scores are about: sound too where a member hears it."""
        hears = any(member.judges == "picture and sound" for member in self.members)
        return "picture and sound" if hears else "picture"

    def evidence(self, number: int, track: FaceTrack, others: Sequence["ScoredTrack"]) -> Evidence:
        """Return what a member says of a face; nothing where it does not see it."""
        box = np.median(track.boxes, axis=0)
        alike = [(overlap(box, np.median(o.track.boxes, axis=0)), o) for o in others]
        share, best = max(alike, key=lambda pair: pair[0], default=(0.0, None))
        if best is None or share < SAME_FACE:
            return Evidence(0.0, None)
        calibration = self.members[number].calibration
        assert calibration is not None
        ratio = calibration.log_ratio(float(best.raw.mean()))
        return Evidence(ratio, calibration.strange(best.domain, best.features))

    def raw(self, ratios: Sequence[float]) -> float:
        """Return the fused score in (0, 1) of the members' log likelihood ratios."""
        total = self.offset + float(np.dot(self.weights, ratios))
        return float(1 / (1 + np.exp(-np.clip(total, -50, 50))))

    def judge(self, evidence: Sequence[Evidence], domain: Domain) -> Judgement:
        """Return what the members say together; no verdict where one of them that counts is shown
        a face unlike those of its calibration.
        """
        raw = self.raw([each.ratio for each in evidence])
        if self.calibration is None:
            return Judgement(raw, None, "cannot tell", "this fusion is not calibrated")
        said = self.calibration.judge(raw, domain)
        for member, weight, each in zip(self.members, self.weights, evidence, strict=True):
            if weight > 0 and each.strange is not None:
                why = f"{member.config.kind}: {each.strange}"
                return said._replace(lr=None, verdict="cannot tell", reason=why)
        return said


def fit_weights(
    ratios: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]
) -> tuple[tuple[float, ...], float]:
    """Return weights, none below 0, and an offset for members' log likelihood ratios.

    Args:
        ratios: `[clips, members]`.
        labels: `[clips]`, True = synthetic; both labels count alike.
    """
    count = ratios.shape[1]
    if not labels.any() or labels.all():
        raise ConfigError("a fusion needs clips of both labels; here all are of one.")
    share = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
    sign = np.where(labels, 1.0, -1.0)

    def loss(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        margin = sign * (ratios @ values[:count] + values[count])
        pull = values[:count] - 1 / count
        error = -share * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        gradient = np.append(error @ ratios + 2 * RIDGE * pull, error.sum())
        total = (share * np.logaddexp(0, -margin)).sum() + RIDGE * (pull**2).sum()
        return float(total), gradient

    start = np.append(np.full(count, 1 / count), 0.0)
    bounds = [(0.0, 10.0)] * count + [(-20.0, 20.0)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return tuple(float(value) for value in found.x[:count]), float(found.x[count])


def is_fusion(path: Path) -> bool:
    """Whether a run, or an exported detector, is a fusion."""
    file = path if path.suffix == ".json" else path / CONFIG
    if not file.is_file():
        return False
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is damaged; train or export again.") from error
    return isinstance(config, dict) and config.get("kind") == "fusion"


def load_fusion(path: Path, threads: int = 1) -> Fusion:
    """Open a fusion's run, or an exported fusion by its `.json` file.

    Raises:
        InputError: it is not finished.
        WeightsError: a member's weights are not those on their card.
    """
    if path.suffix == ".json":
        return _fusion(json.loads(path.read_text(encoding="utf-8")), path.parent, threads)
    if not (path / CARD).is_file():
        raise InputError(f"{path} holds no finished fusion; train it again.")
    config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    kept = path / CALIBRATION
    calibration = Calibration.load(kept).to_json() if kept.is_file() else None
    return _fusion({**config, "calibration": calibration}, path, threads)


def _fusion(config: Mapping[str, Any], folder: Path, threads: int) -> Fusion:
    calibration = config["calibration"]
    return Fusion(
        config["id"],
        tuple(load_detector(folder / name, threads) for name in config["members"]),
        tuple(config["weights"]),
        float(config["offset"]),
        None if calibration is None else Calibration.from_json(calibration),
    )
