"""A detector's scores measured: every figure with its interval, every clip counted.

Figures of order and decision (AUC, AP, EER, TPR, accuracy, AURC) follow the stated policy for
clips without a score; those of calibration (Brier, ECE, NLL, Cllr) are of the scores that were
given, for a clip without one has claimed nothing.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from obverse.detector.evidence import log_odds
from obverse.errors import ConfigError, InputError
from obverse.eval import counted
from obverse.eval.bootstrap import SAMPLES, Draws, bootstrap, percentile_bounds, require_level
from obverse.eval.counted import Counted, once
from obverse.eval.metrics import Interval, auc_interval, require_enough, wilson_interval
from obverse.eval.score_table import ScoreTable

__all__ = [
    "FPRS",
    "POLICIES",
    "EvalConfig",
    "Evaluation",
    "Figure",
    "Policy",
    "Shift",
    "Slice",
    "evaluate_table",
    "identities_of",
    "log_ratios",
    "metrics_of",
    "scored",
    "slice_columns",
    "threshold_shifts",
]

Policy = Literal["exclude", "wrong", "synthetic", "pristine"]
POLICIES: Mapping[Policy, str] = {
    "exclude": "left out",
    "wrong": "counted as misjudged",
    "synthetic": "counted as called synthetic",
    "pristine": "counted as called pristine",
}
FPRS = (0.1, 0.01, 0.001)
RANK_FEWEST = 10  # clips of each class without which a slice is not ranked worst
_OF_ORDER = ("auc", "ap", "eer", *(f"tpr@fpr={rate:g}" for rate in FPRS), "accuracy", "aurc",
             "balanced_accuracy")  # fmt: skip
_SLICED = ("method", "dataset")  # and attributes
_BIASED = ("ece", "cllr_min")  # in a bootstrap, which repeats clips
_MOST_VALUES = 50  # of a column that is sliced by

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """How scores are measured."""

    threshold: float = 0.5  # at and above it a clip is called synthetic
    policy: Policy = "exclude"  # for clips without a score
    samples: int = SAMPLES  # of the bootstrap
    seed: int = 0
    level: float = 0.95  # confidence of all intervals
    by: tuple[str, ...] | None = None  # columns to slice by; None takes method, dataset, attributes
    shift_fpr: float = 0.1  # at which a threshold is set on one set and tried on another

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.policy not in get_args(Policy):
            raise ConfigError(
                f"the policy is {self.policy!r}; it must be one of {', '.join(POLICIES)}."
            )
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"the threshold is {self.threshold}; it must lie in [0, 1].")
        if not 0 < self.shift_fpr < 1:
            raise ConfigError(
                f"the rate of false alarms is {self.shift_fpr}; it must lie between 0 and 1."
            )
        require_level(self.level)


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A metric with its interval; without a value where it cannot be measured."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""  # of the interval
    by_identity: tuple[float, float] | None = None  # identities drawn anew
    refused: str | None = None  # why it has no value
    note: str | None = None  # how far not to trust the interval

    def __str__(self) -> str:
        """Return it as it is printed in tables."""
        if self.value is None or self.low is None or self.high is None:
            return "not measured"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @classmethod
    def of(cls, interval: Interval) -> "Figure":
        """Take over an interval."""
        return cls(interval.value, interval.low, interval.high, interval.method)


@dataclasses.dataclass(frozen=True, slots=True)
class Slice:
    """A detector on the clips that share a value of a column."""

    column: str
    value: str
    synthetic: int
    pristine: int  # its own, or all where none has the value, as with generator methods
    against: Literal["its own", "all"]
    auc: Figure
    tpr: Figure  # at the threshold
    fpr: Figure
    ranked: bool  # has enough clips to be called the worst

    @property
    def name(self) -> str:
        """Column and value."""
        return f"{self.column}={self.value}"


@dataclasses.dataclass(frozen=True, slots=True)
class Shift:
    """A threshold that was set on one set and tried on another."""

    column: str
    source: str
    target: str
    threshold: float
    fpr: Figure  # on the target; on the source it is at most the stated rate
    tpr: Figure


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was measured of one detector."""

    detector: str
    unit: str
    config: EvalConfig
    figures: Mapping[str, Figure]
    counts: Mapping[str, int]  # clips: ok (some row has a score), missing, error, absent
    coverage: float  # share of the clips that are ok, whatever is measured
    coverage_by_label: Mapping[str, float]  # likewise; a clip with a synthetic frame is synthetic
    rows: Mapping[str, int]  # clips, tracks or frames: all, and ok
    classes: Mapping[str, int]  # rows that were measured, of each label
    clips: int
    identities: int | None  # None where none is known
    ratio_from: str  # where likelihood ratios come from
    policies: Mapping[Policy, Mapping[str, float | None]]
    slices: tuple[Slice, ...]
    worst: Mapping[str, str]  # column -> value of its worst slice
    shifts: tuple[Shift, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, the figures at the top."""
        return {
            **{name: dataclasses.asdict(figure) for name, figure in self.figures.items()},
            "threshold": self.config.threshold,
            "policy": self.config.policy,
            "coverage": self.coverage,
            "coverage_by_label": dict(self.coverage_by_label),
            "counts": dict(self.counts),
            "rows": dict(self.rows),
            "classes": dict(self.classes),
            "clips": self.clips,
            "identities": self.identities,
            "detector": self.detector,
            "unit": self.unit,
            "lr_from": self.ratio_from,
            "config": dataclasses.asdict(self.config),
            "policies": {name: dict(values) for name, values in self.policies.items()},
            "slices": [dataclasses.asdict(each) for each in self.slices],
            "worst": dict(self.worst),
            "threshold_shift": [dataclasses.asdict(each) for each in self.shifts],
        }


def scored(table: ScoreTable, policy: Policy) -> ScoreTable:
    """Return the rows that are measured under a policy, each with a number.

    A row without a score is left out, or judged as the policy says: with the lowest or the highest
    score there is. It never gets one in the middle, which would be a claim of its own.
    """
    if policy == "exclude":
        return table.rows(table.ok)
    imputed = {
        "wrong": np.where(table.truth, 0.0, 1.0),
        "synthetic": np.ones(len(table)),
        "pristine": np.zeros(len(table)),
    }[policy]
    return dataclasses.replace(table, score=np.where(table.ok, table.score, imputed), ratio=None)


def log_ratios(table: ScoreTable) -> tuple[Floats, str]:
    """Return natural log likelihood ratios of a table's rows, and where they come from.

    A scored row whose ratio was withheld says nothing: a ratio of 1.
    """
    if table.ratio is not None:
        withheld = table.ok & np.isnan(table.ratio)
        note = f"; {int(withheld.sum())} without one say nothing, a ratio of 1"
        return np.where(withheld, 0.0, table.ratio), "the column lr" + note * bool(withheld.any())
    return log_odds(table.score), "the log odds of the scores, as if calibrated at even odds"


def metrics_of(table: ScoreTable, threshold: float) -> dict[str, Counted]:
    """Return the metrics of order and decision, of rows that all have a score.

    Those that so few pristine clips cannot show are left out.
    """
    truth, score = table.truth, table.score
    _require_both(truth, table.unit)
    found = {
        "auc": counted.auc(truth, score),
        "ap": counted.average_precision(truth, score),
        "eer": counted.eer(truth, score),
    }
    for rate in FPRS:
        if _refusal(table, rate) is None:
            found[f"tpr@fpr={rate:g}"] = counted.tpr_at_fpr(truth, score, rate)
    found["accuracy"] = counted.accuracy(truth, score, threshold)
    found["balanced_accuracy"] = counted.balanced_accuracy(truth, score, threshold)
    found["aurc"] = counted.aurc(truth, score, threshold)
    return found


def _claims_of(table: ScoreTable) -> dict[str, Counted]:
    """Return the metrics of calibration, of rows with a score."""
    truth, score = table.truth, table.score
    ratios, _ = log_ratios(table)
    return {
        "brier": counted.brier(truth, score),
        "ece": counted.ece(truth, score),
        "nll": counted.nll(truth, score),
        "cllr": counted.cllr(truth, ratios),
        "cllr_min": counted.cllr_min(truth, ratios),
    }


def _require_both(truth: npt.NDArray[np.bool_], unit: str) -> None:
    if truth.all() or not truth.any():
        label = "synthetic" if truth.any() else "pristine"
        raise InputError(
            f"all {len(truth)} {unit}s with a score are {label}; to measure how well the classes "
            "are told apart both are needed."
        )


def _refusal(table: ScoreTable, rate: float) -> str | None:
    try:
        # Frames of one clip are no new chances of a false alarm.
        require_enough(len(set(table.clip[~table.truth])), rate)
    except ConfigError as error:
        return str(error)
    return None


def evaluate_table(table: ScoreTable, config: EvalConfig | None = None) -> Evaluation:
    """Measure a table of scores.

    Raises:
        InputError: the rows with a score are of one class.
        ConfigError: a column to slice by is not there.
    """
    config = config or EvalConfig()
    by = slice_columns(table, config.by)
    given = scored(table, "exclude")
    if not len(given):
        raise InputError(f"none of the {len(table)} {table.unit}s has a score.")
    _require_both(given.truth, table.unit)
    judged = scored(table, config.policy)
    order = metrics_of(judged, config.threshold)
    claims = _claims_of(given)
    figures = _figures(judged, order, config) | _figures(given, claims, config)
    for rate in FPRS:
        if (why := _refusal(judged, rate)) is not None:
            figures[f"tpr@fpr={rate:g}"] = Figure(None, refused=why)
    figures = {name: figures[name] for name in (*_OF_ORDER, *claims)}
    slices = _slices(judged, by, config)
    said = _clips_of(table)
    counts = {
        name: sum(status == name for status, _ in said.values())
        for name in ("ok", "missing", "error")
    }
    counts["absent"] = table.absent
    identities = identities_of(table)
    return Evaluation(
        detector=table.detector,
        unit=table.unit,
        config=config,
        figures=figures,
        counts=counts,
        coverage=counts["ok"] / (len(said) + table.absent),
        coverage_by_label={
            label: _share_ok(said.values(), truth)
            for label, truth in (("pristine", False), ("synthetic", True))
        },
        rows={"all": len(table), "ok": int(table.ok.sum())},
        classes={
            "pristine": int((~judged.truth).sum()),
            "synthetic": int(judged.truth.sum()),
        },
        clips=len(said),
        identities=None if identities is None else len(set(identities)),
        ratio_from=log_ratios(given)[1],
        policies=_policies(table, config),
        slices=slices,
        worst=_worst(slices),
        shifts=threshold_shifts(judged, config),
    )


def _clips_of(table: ScoreTable) -> dict[str, tuple[str, bool]]:
    """Return each clip's status and label: ok where one of its rows is, synthetic where one is.

    A clip without a face is one row, and one with a face many frames: a share of rows would say
    how long the films are.
    """
    decides = ("missing", "error", "ok")  # the last of those that its rows have
    found: dict[str, tuple[str, bool]] = {}
    for clip, status, truth in zip(table.clip, table.status, table.truth, strict=True):
        before, synthetic = found.get(clip, (status, False))
        found[clip] = max(before, status, key=decides.index), synthetic or bool(truth)
    return found


def _share_ok(clips: Iterable[tuple[str, bool]], truth: bool) -> float:
    statuses = [status for status, synthetic in clips if synthetic == truth]
    # With frames, no clip need be pristine from end to end.
    return statuses.count("ok") / len(statuses) if statuses else 1.0


def identities_of(table: ScoreTable) -> list[str] | None:
    """Return each row's identity; a clip of nobody known stands for itself."""
    named = table.groups.get("identity")
    if named is None:
        return None
    return [
        f"clip {clip}" if name is None else f"identity {name}"
        for name, clip in zip(named, table.clip, strict=True)
    ]


def _figures(
    table: ScoreTable, metrics: Mapping[str, Counted], config: EvalConfig
) -> dict[str, Figure]:
    """Measure rows that all have a score, clips drawn anew and identities drawn anew."""
    truth = table.truth
    clips = Draws.of(truth, None if table.unit == "clip" else list(table.clip))
    rng = np.random.default_rng(config.seed)
    drawn = bootstrap(metrics, clips, rng=rng, samples=config.samples)
    people: dict[str, Floats] = {}
    identities = identities_of(table)
    if identities is not None:
        groups = Draws.of(truth, identities)
        people = bootstrap(metrics, groups, rng=rng, samples=config.samples)
    method = f"bootstrap over clips, {config.samples} samples"
    found = {}
    for name, metric in metrics.items():
        value = once(metric, len(truth))
        low, high = percentile_bounds(drawn[name], config.level)
        figure = Figure(value, low, high, method)
        if name == "auc" and table.unit == "clip":
            figure = Figure.of(auc_interval(truth, table.score, level=config.level))
        elif low == high and table.unit == "clip":
            figure = _without_width(name, value, truth, config.level)
        if name in _BIASED and not low <= value <= high:
            note = "bootstrap samples of it are biased: read the interval as a width"
            figure = dataclasses.replace(figure, note=note)
        if people:
            bounds = percentile_bounds(people[name], config.level)
            figure = dataclasses.replace(figure, by_identity=bounds)
        found[name] = figure
    return found


def _without_width(name: str, value: float, truth: npt.NDArray[np.bool_], level: float) -> Figure:
    """Bound a figure of which all samples agree, as when everything is told apart."""
    clips = {"accuracy": len(truth)}.get(name)
    if name.startswith("tpr@"):
        clips = int(truth.sum())
    if clips is None:
        note = "all samples agree: so few clips, or so alike, cannot bound it"
        return Figure(value, value, value, "bootstrap over clips", note=note)
    return Figure.of(wilson_interval(round(value * clips), clips, level=level))


def _policies(table: ScoreTable, config: EvalConfig) -> dict[Policy, Mapping[str, float | None]]:
    """Measure order and decision under every policy, so that nobody has to trust one."""
    found: dict[Policy, Mapping[str, float | None]] = {}
    for policy in POLICIES:
        judged = scored(table, policy)
        metrics = metrics_of(judged, config.threshold)
        found[policy] = {
            name: once(metrics[name], len(judged)) if name in metrics else None
            for name in _OF_ORDER
        }
    return found


def slice_columns(table: ScoreTable, by: Sequence[str] | None) -> list[str]:
    """Return the columns to slice by: those named, or method, dataset and attributes.

    Raises:
        ConfigError: one is not there, or has too many values to be sliced by.
    """
    if by is None:
        return [
            name
            for name, values in table.groups.items()
            if (name in _SLICED or name.startswith("attribute."))
            and 1 < len(set(values)) <= _MOST_VALUES
        ]
    for name in by:
        if name not in table.groups:
            has = ", ".join(table.groups) or "none to slice by"
            raise ConfigError(f"the scores have no column {name!r}; there are {has}.")
        if (values := len(set(table.groups[name]))) > _MOST_VALUES:
            raise ConfigError(
                f"the column {name} has {values} values; a column of at most {_MOST_VALUES} can "
                "be sliced by."
            )
    return list(by)


def _share(hits: npt.NDArray[np.bool_], level: float) -> Figure:
    if not len(hits):
        return Figure(None, refused="there are no such clips")
    return Figure.of(wilson_interval(int(hits.sum()), len(hits), level=level))


def _slices(table: ScoreTable, by: Sequence[str], config: EvalConfig) -> tuple[Slice, ...]:
    found = []
    flagged = table.score >= config.threshold
    for column in by:
        values = table.groups[column]
        for value in sorted({value for value in values if value is not None}):
            inside = np.asarray(values == value)
            pristine = inside & ~table.truth
            # A generator has no pristine clips of its own; its fakes face all of them.
            against: Literal["its own", "all"] = "its own" if pristine.any() else "all"
            if not pristine.any():
                pristine = ~table.truth
            synthetic = inside & table.truth
            rows = synthetic | pristine
            if synthetic.any():
                area = _slice_auc(table.rows(rows), config)
            else:
                area = Figure(None, refused=f"no clip with {column} {value} is synthetic")
            found.append(
                Slice(
                    column=column,
                    value=value,
                    synthetic=int(synthetic.sum()),
                    pristine=int(pristine.sum()),
                    against=against,
                    auc=area,
                    tpr=_share(flagged[synthetic], config.level),
                    fpr=_share(flagged[pristine], config.level),
                    ranked=bool(min(synthetic.sum(), pristine.sum()) >= RANK_FEWEST),
                )
            )
    return tuple(found)


def _slice_auc(table: ScoreTable, config: EvalConfig) -> Figure:
    if table.unit == "clip":
        return Figure.of(auc_interval(table.truth, table.score, level=config.level))
    metric = {"auc": counted.auc(table.truth, table.score)}
    return _figures(table, metric, config)["auc"]


def _worst(slices: Sequence[Slice]) -> dict[str, str]:
    worst: dict[str, Slice] = {}
    for each in slices:
        if not each.ranked or each.auc.value is None:
            continue
        rival = worst.get(each.column)
        if rival is None or rival.auc.value is None or each.auc.value < rival.auc.value:
            worst[each.column] = each
    return {column: each.value for column, each in worst.items()}


def threshold_shifts(table: ScoreTable, config: EvalConfig) -> tuple[Shift, ...]:
    """Set a threshold on each set (the column dataset) and try it on the others."""
    sets = table.groups.get("dataset")
    if sets is None:
        return ()
    names = sorted({name for name in sets if name is not None})
    found = []
    for source in names if 1 < len(names) <= _MOST_VALUES else ():
        own = table.score[(sets == source) & ~table.truth]
        if len(own) < np.ceil(1 / config.shift_fpr - 1e-9):
            continue
        threshold = _threshold(own, config.shift_fpr)
        for target in names:
            inside = sets == target
            flagged = table.score >= threshold
            found.append(
                Shift(
                    column="dataset",
                    source=source,
                    target=target,
                    threshold=threshold,
                    fpr=_share(flagged[inside & ~table.truth], config.level),
                    tpr=_share(flagged[inside & table.truth], config.level),
                )
            )
    return tuple(found)


def _threshold(pristine: Floats, fpr: float) -> float:
    """Return the lowest threshold that at most `fpr` of pristine scores reach."""
    ordered = np.sort(pristine)[::-1]
    allowed = int(np.floor(fpr * len(ordered) + 1e-9))
    # The first score that must stay below it; just above that one is the lowest threshold.
    return float(np.nextafter(ordered[allowed], np.inf))
