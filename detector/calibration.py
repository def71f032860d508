"""What a raw score means: calibrated on clips that were used for nothing else.

A calibrated score is the probability of being synthetic if both were equally likely beforehand.
The likelihood ratio says how much more often such a score comes from a synthetic clip than from a
pristine one, never beyond what the calibration's number of clips can show. The verdict abstains.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from obverse.clip import Verdict
from obverse.detector.evidence import (
    LinearMap,
    conformal_labels,
    elub_bounds,
    fit_linear,
    log_odds,
    pool_adjacent_violators,
)
from obverse.detector.familiarity import STRANGE, Familiarity
from obverse.errors import ConfigError, InputError
from obverse.files import write_whole

__all__ = [
    "ALPHA",
    "FEWEST",
    "MEANING",
    "UNCALIBRATED",
    "Calibration",
    "Domain",
    "Judgement",
    "Method",
    "require_enough",
    "uncalibrated",
]

Floats = npt.NDArray[np.float64]
Method = Literal["platt", "temperature", "isotonic"]

ALPHA = 0.1  # share of clips of each label that may be misjudged
FEWEST = 20  # clips of each label without which there is no calibration
MEANING = (
    "score: probability of being synthetic if both were equally likely beforehand, higher = "
    "synthetic; lr: how much more often such a score comes from synthetic than from pristine "
    "clips, bounded by what the calibration can show; verdict: at most {alpha:.0%} of pristine and "
    "of synthetic clips like those it was calibrated on are misjudged, and it abstains where that "
    "cannot be promised"
)
UNCALIBRATED = (
    "score: raw and uncalibrated, in [0, 1], higher = synthetic: it orders clips and is no "
    "probability; no likelihood ratio and no verdict without a calibration (obverse train "
    "calibration)"
)
_SLACK = 1.25  # by which a clip may lie outside of what the calibration saw


class Judgement(NamedTuple):
    """What is said of one raw score."""

    score: float  # [0, 1], higher = synthetic
    lr: float | None
    verdict: Verdict
    reason: str | None  # why there is no verdict


class Domain(NamedTuple):
    """What is known of the pictures that a score stands on."""

    face_px: float  # median side of the face in the clip
    sharpness: float  # median of the spread of the crops' Laplacian, grey levels
    brightness: float  # median grey level of the crops


def require_enough(labels: Sequence[bool]) -> None:
    """Refuse clips that are too few to calibrate on.

    Args:
        labels: True = synthetic.

    Raises:
        ConfigError: there are fewer than `FEWEST` of a label.
    """
    synthetic = sum(labels)
    pristine = len(labels) - synthetic
    if min(synthetic, pristine) < FEWEST:
        raise ConfigError(
            f"a calibration needs at least {FEWEST} clips of each label with a score; there "
            f"are {synthetic} synthetic and {pristine} pristine ones."
        )


def uncalibrated(raw: float) -> Judgement:
    """Return what can be said of a raw score without a calibration."""
    return Judgement(raw, None, "cannot tell", "this detector is not calibrated")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """From raw scores to probabilities, likelihood ratios and verdicts."""

    method: Method
    linear: LinearMap | None  # of platt and temperature
    knots: tuple[tuple[float, float], ...]  # of isotonic: raw log odds, log ratio
    bounds: tuple[float, float]  # of the log likelihood ratio
    synthetic: tuple[float, ...]  # raw log odds of the calibration's clips, rising
    pristine: tuple[float, ...]
    domain: tuple[tuple[float, float], ...]  # lowest and highest of each of `Domain`; may be empty
    familiar: Familiarity | None = None  # None where the detector shows no features
    alpha: float = ALPHA
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        raw: Sequence[float],
        labels: Sequence[bool],
        *,
        method: Method = "platt",
        domain: Sequence[Domain] = (),
        features: Sequence[npt.NDArray[Any]] = (),
        people: Sequence[str] = (),
        alpha: float = ALPHA,
        about: Mapping[str, Any] | None = None,
    ) -> Self:
        """Calibrate on clips' raw scores.

        Args:
            raw: in [0, 1], one a clip.
            labels: True = synthetic.
            method: Platt's line, a temperature, or isotonic steps.
            domain: what the clips' pictures are like; others are not judged.
            alpha: share of clips of each label that may be misjudged.
            about: what to remember of the clips.

        Raises:
            ConfigError: too few clips, or a setting that cannot be used.
        """
        truth = np.asarray(labels, bool)
        odds = log_odds(raw)
        require_enough(truth.tolist())
        synthetic = int(truth.sum())
        if not 0 < alpha < 0.5:
            raise ConfigError(f"alpha is {alpha}; it must lie between 0 and 0.5.")
        linear, knots = None, np.zeros((0, 2))
        if method == "isotonic":
            knots = np.stack(pool_adjacent_violators(odds, truth), axis=1)
        elif method in ("platt", "temperature"):
            linear = fit_linear(odds, truth, temperature=method == "temperature")
        else:
            raise ConfigError(
                f"the method is {method!r}; it must be platt, temperature or isotonic."
            )
        span: tuple[tuple[float, float], ...] = ()
        if domain:
            values = np.array(domain, np.float64)
            span = tuple(
                (float(low), float(high))
                for low, high in zip(values.min(axis=0), values.max(axis=0), strict=True)
            )
        made = cls(
            method=method,
            linear=linear,
            knots=tuple((float(a), float(b)) for a, b in knots),
            bounds=(-math.inf, math.inf),
            synthetic=tuple(sorted(odds[truth].tolist())),
            pristine=tuple(sorted(odds[~truth].tolist())),
            domain=span,
            familiar=Familiarity.fit(features, people) if len(features) else None,
            alpha=alpha,
            about={"synthetic": synthetic, "pristine": len(truth) - synthetic, **(about or {})},
        )
        bounds = elub_bounds(made.log_ratios(odds), truth)
        return dataclasses.replace(made, bounds=bounds)

    def log_ratios(self, odds: Floats) -> Floats:
        """Return unbounded log likelihood ratios of raw log odds."""
        if self.linear is not None:
            return np.asarray(self.linear.slope * odds + self.linear.offset, np.float64)
        at, ratios = np.array(self.knots).T
        return np.asarray(np.interp(odds, at, ratios), np.float64)

    def log_ratio(self, raw: float) -> float:
        """Return the bounded log likelihood ratio of a raw score."""
        return float(np.clip(self.log_ratios(log_odds([raw]))[0], *self.bounds))

    def judge(
        self,
        raw: float,
        domain: Domain | None = None,
        features: npt.NDArray[Any] | None = None,
    ) -> Judgement:
        """Return what a raw score of a face says; of one unlike those of the calibration there is
        neither a ratio nor a verdict.

        Args:
            raw: in [0, 1].
            domain: what the face's pictures are like.
            features: `[D]` what the detector saw in it, the mean over its windows.
        """
        odds = log_odds([raw])
        ratio = float(self.log_ratios(odds)[0])
        score = 1 / (1 + math.exp(-max(-50.0, min(50.0, ratio))))
        bounded = math.exp(float(np.clip(ratio, *self.bounds)))
        if (why := self.strange(domain, features)) is not None:
            return Judgement(score, None, "cannot tell", why)
        synthetic, pristine = np.array(self.synthetic), np.array(self.pristine)
        may_be_synthetic, may_be_pristine, verdict = conformal_labels(
            float(odds[0]), synthetic, pristine, self.alpha
        )
        if verdict != "cannot tell":
            return Judgement(score, bounded, verdict, None)
        why = (
            f"such scores come from clips of both labels (p {may_be_synthetic:.2f} and "
            f"{may_be_pristine:.2f})"
            if may_be_synthetic > self.alpha
            else "such a score came from no clip of either label"
        )
        return Judgement(score, bounded, "cannot tell", why)

    @property
    def threshold(self) -> float:
        """The calibrated score from which the ratio favours synthetic."""
        return 0.5

    @property
    def meaning(self) -> str:
        """What score, ratio and verdict mean, in a sentence."""
        return MEANING.format(alpha=self.alpha)

    def strange(self, domain: Domain | None, features: npt.NDArray[Any] | None) -> str | None:
        """Return in what a face is unlike those of the calibration; None where it is like them."""
        if domain is not None and (why := self._outside(domain)) is not None:
            return why
        if self.familiar is None or features is None:
            return None
        p_value = self.familiar.p_value(features)
        if p_value > STRANGE:
            return None
        return (
            f"the face looks to the detector like none of the {len(self.familiar.faces)} that it "
            f"was calibrated on (p {p_value:.2g})"
        )

    def _outside(self, domain: Domain) -> str | None:
        for name, value, (low, high) in zip(Domain._fields, domain, self.domain, strict=False):
            if not low / _SLACK <= value <= high * _SLACK:
                return (
                    f"{name.replace('_', ' ')} is {value:.3g}; it was calibrated on {low:.3g} to "
                    f"{high:.3g}"
                )
        return None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **values,
            "about": dict(self.about),
            "familiar": None if self.familiar is None else self.familiar.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build a calibration from `to_json`'s values.

        Raises:
            InputError: they are of something else.
        """
        try:
            familiar = values.get("familiar")
            return cls(
                **{
                    **values,
                    "linear": None if values["linear"] is None else LinearMap(*values["linear"]),
                    "knots": tuple((float(a), float(b)) for a, b in values["knots"]),
                    "bounds": tuple(values["bounds"]),
                    "synthetic": tuple(values["synthetic"]),
                    "pristine": tuple(values["pristine"]),
                    "domain": tuple((float(a), float(b)) for a, b in values["domain"]),
                    "familiar": None if familiar is None else Familiarity.from_json(familiar),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"a calibration is damaged ({error}); calibrate again.") from error

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_whole(path, json.dumps(self.to_json(), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the file is damaged.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is damaged; calibrate again.") from error
        return cls.from_json(values)
