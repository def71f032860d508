"""Whether a face is like those that a calibration saw, by what the detector's own network sees.

A calibration speaks for faces like its own. A network gives a score for any picture, and for one of
a kind that it never met the score means nothing, however sure. Such pictures lie far from all
known ones among the network's features of length 1 (Sun, Ming, Zhu and Li, "Out-of-distribution
detection with deep nearest neighbors", 2022); what is far is set by how far the calibration's own
people lie from one another (conformal anomaly detection: Laxhammar and Falkman 2014).
"""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError

__all__ = ["FEWEST_PEOPLE", "STRANGE", "Familiarity"]

Floats = npt.NDArray[np.float64]

STRANGE = 0.05  # share of faces like the calibration's that may be called unlike it
FEWEST_PEOPLE = 10  # without whom nothing is known of how people differ
NEIGHBOURS = 3  # nearest faces whose mean distance counts
_LEAST_SPREAD = 0.3  # of the median feature's: one that hardly varied must not decide alone
_STEPS = 16  # to a standard deviation, in which faces are kept: 8 bits reach to 7.9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Familiarity:
    """The calibration's faces, one a clip, and how far apart people are in them."""

    centre: Floats  # [D] mean of each feature, of faces scaled to length 1
    spread: Floats  # [D] its standard deviation
    faces: npt.NDArray[np.int8]  # [N, D] sixteenths of a standard deviation from the centre
    distances: Floats  # [N] of each face from the nearest of other people, rising

    @classmethod
    def fit(cls, features: Sequence[npt.NDArray[Any]], people: Sequence[str]) -> Self | None:
        """Learn what a calibration's faces are like; None where they are of too few people.

        Args:
            features: `[D]` of each clip's face, the mean over its windows.
            people: who is seen in each clip: somebody's other clips do not make them familiar.
        """
        if len(set(people)) < FEWEST_PEOPLE:
            return None
        values = np.stack([_scaled(each) for each in features])
        # To the precision in which they are kept, so that a copy read back says the same.
        centre = values.mean(axis=0).astype(np.float32).astype(np.float64)
        spread = values.std(axis=0)
        spread = np.maximum(spread, max(1e-6, _LEAST_SPREAD * float(np.median(spread))))
        spread = spread.astype(np.float32).astype(np.float64)
        steps = np.round((values - centre) / spread * _STEPS)
        faces = np.clip(steps, -127, 127).astype(np.int8)
        made = cls(centre=centre, spread=spread, faces=faces, distances=np.zeros(0))
        who = np.array(people, object)
        far = [
            made._distance(value, faces[who != person])
            for value, person in zip(values, who, strict=True)
        ]
        return dataclasses.replace(made, distances=np.sort(far))

    def _distance(self, features: Floats, faces: npt.NDArray[np.int8]) -> float:
        """Return the mean distance from the nearest faces, in standard deviations of a feature."""
        own = (features - self.centre) / self.spread
        apart = np.sqrt(np.square(own - faces / _STEPS).mean(axis=1))
        return float(np.sort(apart)[:NEIGHBOURS].mean())

    def p_value(self, features: npt.NDArray[Any]) -> float:
        """Return the share of the calibration's faces that were as far from all other people's.

        Args:
            features: `[D]` of a face, the mean over its windows.

        Raises:
            ConfigError: the detector shows other features than the calibration's did.
        """
        if np.shape(features) != self.centre.shape:
            raise ConfigError(
                f"the calibration is of {len(self.centre)} features and this detector shows "
                f"{len(features)}; calibrate it again with obverse train calibration."
            )
        far = self._distance(_scaled(features), self.faces)
        farther = len(self.distances) - int(np.searchsorted(self.distances, far, side="left"))
        return (1 + farther) / (1 + len(self.distances))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values; arrays as base64 of little-endian numbers."""
        return {
            "count": len(self.faces),
            "centre": _packed(self.centre.astype("<f4")),
            "spread": _packed(self.spread.astype("<f4")),
            "faces": _packed(self.faces),
            "distances": self.distances.tolist(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build it from `to_json`'s values.

        Raises:
            InputError: they do not fit one another.
        """
        try:
            centre = _unpacked(values["centre"], "<f4").astype(np.float64)
            spread = _unpacked(values["spread"], "<f4").astype(np.float64)
            faces = _unpacked(values["faces"], "i1").reshape(int(values["count"]), len(centre))
            distances = np.asarray(values["distances"], np.float64)
            if spread.shape != centre.shape or distances.shape != faces.shape[:1]:
                raise ValueError("its parts do not fit one another")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"a calibration is damaged ({error}); calibrate again.") from error
        return cls(centre=centre, spread=spread, faces=faces, distances=distances)


def _scaled(features: npt.NDArray[Any]) -> Floats:
    """Return features at length 1: how strong they are tells how sure a network is, not of what."""
    values = np.asarray(features, np.float64)
    return np.asarray(values / max(1e-12, float(np.linalg.norm(values))))


def _packed(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _unpacked(text: str, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text, validate=True), kind)
