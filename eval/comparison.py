"""Detectors compared on the same clips: differences with intervals, tests, and Holm's correction.

Two intervals that overlap do not say that two detectors are alike, for both were measured on the
same clips and the same clips are hard for both. So differences are measured, clip by clip.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from obverse.errors import ConfigError, InputError
from obverse.eval.bootstrap import Draws, percentile_bounds
from obverse.eval.counted import Counted, once
from obverse.eval.evaluation import EvalConfig, identities_of, metrics_of, scored
from obverse.eval.score_table import ScoreTable

__all__ = ["Comparison", "Difference", "compare_tables", "delong", "holm", "paired"]

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """By how much one detector is above another in one metric."""

    first: str
    second: str
    metric: str
    value: float  # first less second
    low: float
    high: float
    by_identity: tuple[float, float] | None
    p: float  # two-sided
    test: str
    p_holm: float  # corrected for all differences of the comparison

    def __str__(self) -> str:
        """Return the difference as it is printed in tables."""
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Detectors on the clips that all of them were given."""

    detectors: tuple[str, ...]
    values: Mapping[str, Mapping[str, float]]  # detector -> metric -> value
    differences: tuple[Difference, ...]
    clips: int  # compared
    synthetic: int
    pristine: int
    left_out: Mapping[str, int]  # detector -> clips that another lacks, or has no score for
    config: EvalConfig

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return dataclasses.asdict(self)


def paired(tables: Sequence[ScoreTable], config: EvalConfig) -> list[ScoreTable]:
    """Return the rows that all tables have, each with a score under the policy, in one order.

    Raises:
        ConfigError: tables have one name, or are not of clips.
        InputError: they share no clips, or disagree about a label.
    """
    names = [table.detector for table in tables]
    if len(tables) < 2:
        raise ConfigError("a comparison needs at least two detectors; give two tables of scores.")
    if len(set(names)) < len(names):
        raise ConfigError(
            f"two of the detectors are called {max(names, key=names.count)}; give files of other "
            "names, or with the column detector."
        )
    if any(table.unit != "clip" for table in tables):
        raise ConfigError("detectors are compared by clip; measure tracks and frames alone.")
    # A clip that one detector has a score for and another does not is left out for both.
    judged = [scored(table, config.policy) for table in tables]
    places = [{clip: place for place, clip in enumerate(table.clip)} for table in judged]
    common = [clip for clip in judged[0].clip if all(clip in place for place in places)]
    if not common:
        raise InputError(f"{' and '.join(names)} have no clips in common; score the same clips.")
    found = [
        table.rows(np.array([place[clip] for clip in common], np.intp))
        for table, place in zip(judged, places, strict=True)
    ]
    for table in found[1:]:
        differ = np.flatnonzero(table.truth != found[0].truth)
        if len(differ):
            raise InputError(
                f"clip {common[differ[0]]} has another label in {table.detector} than in "
                f"{found[0].detector}; mend one of them."
            )
    return found


def compare_tables(
    tables: Sequence[ScoreTable],
    config: EvalConfig | None = None,
    metrics: Sequence[str] = (),
) -> Comparison:
    """Compare detectors in pairs.

    Args:
        tables: one a detector, of the same clips.
        config: as for a single detector.
        metrics: which; without it all that the clips can show. The fewer, the less correction.

    Raises:
        ConfigError: a metric is not known, or cannot be measured on these clips.
        InputError: see `paired`.
    """
    config = config or EvalConfig()
    same = paired(tables, config)
    measured = {table.detector: _chosen(table, config, metrics) for table in same}
    truth = same[0].truth
    values = {
        name: {metric: once(counted, len(truth)) for metric, counted in each.items()}
        for name, each in measured.items()
    }
    rng = np.random.default_rng(config.seed)
    by_clip = _drawn(measured, Draws.of(truth), config, rng)
    people = next((found for t in same if (found := identities_of(t)) is not None), None)
    by_person = None if people is None else _drawn(measured, Draws.of(truth, people), config, rng)
    differences = []
    for first, second in itertools.combinations(same, 2):
        for metric in measured[first.detector]:
            one, two = first.detector, second.detector
            gaps = by_clip[one][metric] - by_clip[two][metric]
            low, high = percentile_bounds(gaps, config.level)
            persons = None
            if by_person is not None:
                persons = percentile_bounds(
                    by_person[one][metric] - by_person[two][metric], config.level
                )
            if metric == "auc":
                p, test = delong(truth, first.score, second.score), "DeLong"
            else:
                p, test = _bootstrap_p(gaps), "paired bootstrap"
            value = values[one][metric] - values[two][metric]
            differences.append(
                Difference(one, two, metric, value, low, high, persons, p, test, 1.0)
            )
    corrected = holm([each.p for each in differences])
    return Comparison(
        detectors=tuple(table.detector for table in same),
        values=values,
        differences=tuple(
            dataclasses.replace(each, p_holm=p)
            for each, p in zip(differences, corrected, strict=True)
        ),
        clips=len(truth),
        synthetic=int(truth.sum()),
        pristine=int((~truth).sum()),
        left_out={table.detector: len(table) - len(truth) for table in tables},
        config=config,
    )


def _chosen(table: ScoreTable, config: EvalConfig, metrics: Sequence[str]) -> dict[str, Counted]:
    known = metrics_of(table, config.threshold)
    for name in metrics:
        if name not in known:
            raise ConfigError(
                f"the metric {name} is not known or not measured on these clips; there are "
                f"{', '.join(known)}."
            )
    return {name: known[name] for name in metrics or known}


def _drawn(
    measured: Mapping[str, Mapping[str, Counted]], draws: Draws, config: EvalConfig,
    rng: np.random.Generator,
) -> dict[str, dict[str, Floats]]:  # fmt: skip
    """Measure all detectors on the same samples."""
    found: dict[str, dict[str, list[Floats]]] = {
        name: {metric: [] for metric in each} for name, each in measured.items()
    }
    if config.samples < 1:
        raise ConfigError(f"a bootstrap of {config.samples} samples is not possible; draw some.")
    for counts in draws.counts(rng, config.samples):
        for name, each in measured.items():
            for metric, counted in each.items():
                found[name][metric].append(counted(counts))
    return {
        name: {metric: np.concatenate(parts) for metric, parts in each.items()}
        for name, each in found.items()
    }


def _bootstrap_p(gaps: Floats) -> float:
    """Return the two-sided p-value of no difference: how often samples lie on the other side of 0,
    never 0 itself.
    """
    below, above = int((gaps <= 0).sum()), int((gaps >= 0).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(gaps)))


def delong(truth: Truth, first: Floats, second: Floats) -> float:
    """Return the two-sided p-value of two AUCs being one, measured on the same clips (DeLong,
    DeLong and Clarke-Pearson 1988; by ranks, Sun and Xu 2014).
    """
    truth = np.asarray(truth, bool)
    m, n = int(truth.sum()), int((~truth).sum())
    if min(m, n) < 2:
        return 1.0
    wins, losses = [], []  # of each synthetic clip, over the pristine ones; and the other way
    for scores in (np.asarray(first), np.asarray(second)):
        ranks = rankdata(scores)
        wins.append((ranks[truth] - rankdata(scores[truth])) / n)
        losses.append(1 - (ranks[~truth] - rankdata(scores[~truth])) / m)
    gap = wins[0] - wins[1], losses[0] - losses[1]
    variance = float(gap[0].var(ddof=1) / m + gap[1].var(ddof=1) / n)
    difference = float(gap[0].mean())
    if variance <= 1e-18:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in their order."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected
