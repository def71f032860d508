"""The table of realism: means with intervals over clips, beside what real video has.

The reference is what was published of real video, or a folder of real clips that was measured in
the same way. The score is THEval's: 1 - |value - reference| / |reference|, averaged over those of
its measures that need no downloaded network.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.eval.metrics import Interval
from obverse.eval.realism import MEASURES, THEVAL, ClipRealism, Measure

__all__ = ["MeasureRow", "RealismTable", "rows_of", "summarise_realism"]

LEVEL = 0.95  # of every interval
DRAWS = 2000  # of the bootstrap


@dataclasses.dataclass(frozen=True, slots=True)
class MeasureRow:
    """One line of the table."""

    measure: Measure
    interval: Interval | None  # None where no clip could be measured
    reference: float | None
    clips: int  # that were measured

    @property
    def closeness(self) -> float | None:
        """Return 1 - |value - reference| / |reference|, THEval's score of a measure."""
        if self.interval is None or not self.reference:
            return None
        return 1 - abs(self.interval.value - self.reference) / abs(self.reference)


@dataclasses.dataclass(frozen=True, slots=True)
class RealismTable:
    """The measures of a set of clips."""

    rows: tuple[MeasureRow, ...]
    against: str  # published figures, or real clips
    score: Interval | None  # mean closeness of THEVAL; None unless each of them was measured
    counts: Mapping[str, int]  # clips, ok, missing, error

    @property
    def missing(self) -> tuple[str, ...]:
        """Measures of the score that no clip allowed, or that have no reference."""
        return tuple(
            row.measure.name
            for row in self.rows
            if row.measure.name in THEVAL and (row.interval is None or not row.reference)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the table as plain objects; what was not measured is null."""
        measures = {}
        for row in self.rows:
            found = row.interval
            measures[row.measure.name] = {
                "value": None if found is None else found.value,
                "low": None if found is None else found.low,
                "high": None if found is None else found.high,
                "reference": row.reference,
                "closeness": row.closeness,
                "unit": row.measure.unit,
                "clips": row.clips,
            }
        score = self.score
        return {
            "measures": measures,
            "score": {
                "value": None if score is None else score.value,
                "low": None if score is None else score.low,
                "high": None if score is None else score.high,
                "measures": list(THEVAL),
                "missing": list(self.missing),
                "against": self.against,
            },
            "counts": dict(self.counts),
        }


def summarise_realism(
    clips: Sequence[ClipRealism],
    real: Sequence[ClipRealism] | None = None,
    *,
    seed: int = 0,
) -> RealismTable:
    """Return the table of clips: mean of each measure, with an interval over clips, and the score.

    Args:
        clips: what was measured.
        real: real clips to stand beside them; None takes the published figures.
        seed: of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    columns = _columns(clips)
    if real is None:
        against = "published figures"
        references = {measure.name: measure.reference for measure in MEASURES}
    else:
        against = "real clips"
        references = {
            name: (float(np.nanmean(column)) if np.isfinite(column).any() else None)
            for name, column in _columns(real).items()
        }
    rows = tuple(
        MeasureRow(
            measure,
            _interval(columns[measure.name], rng),
            references[measure.name],
            int(np.isfinite(columns[measure.name]).sum()),
        )
        for measure in MEASURES
    )
    statuses = [clip.status for clip in clips]
    counts = {"clips": len(clips)} | {
        status: statuses.count(status) for status in ("ok", "missing", "error")
    }
    score = _score([columns[name] for name in THEVAL], [references[name] for name in THEVAL], rng)
    return RealismTable(rows, against, score, counts)


def _columns(clips: Sequence[ClipRealism]) -> dict[str, npt.NDArray[np.float64]]:
    return {
        measure.name: np.array(
            [clip.values[measure.name] for clip in clips if clip.status == "ok"], np.float64
        )
        for measure in MEASURES
    }


def _interval(column: npt.NDArray[np.float64], rng: np.random.Generator) -> Interval | None:
    """Return the mean of what is finite and its percentile bootstrap interval over clips."""
    values = column[np.isfinite(column)]
    if not len(values):
        return None
    means = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(float(values.mean()), float(low), float(high), LEVEL, "bootstrap over clips")


def _score(
    columns: Sequence[npt.NDArray[np.float64]],
    references: Sequence[float | None],
    rng: np.random.Generator,
) -> Interval | None:
    """Return the mean closeness over THEVAL, with an interval; clips are drawn whole."""
    if any(not np.isfinite(column).any() for column in columns):
        return None
    if any(not reference for reference in references):
        return None
    table = np.stack(columns, axis=1)
    goal = np.array(references, np.float64)

    def closeness(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the score of draws `[draws, clips, measures]` of clips."""
        counted = np.isfinite(rows).sum(axis=1)
        # Not a number where a draw holds no clip with silence, say.
        means = np.where(counted > 0, np.nansum(rows, axis=1) / np.maximum(counted, 1), np.nan)
        return np.asarray(np.mean(1 - np.abs(means - goal) / np.abs(goal), axis=1))

    draws = closeness(table[rng.integers(0, len(table), (DRAWS, len(table)))])
    draws = draws[np.isfinite(draws)]
    value = float(closeness(table[None])[0])
    low, high = (
        np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2]) if len(draws) else (value,) * 2
    )
    return Interval(value, float(low), float(high), LEVEL, "bootstrap over clips")


def rows_of(clips: Sequence[ClipRealism]) -> Iterator[dict[str, Any]]:
    """Yield one flat row a film, for a table."""
    for clip in clips:
        yield {
            "path": str(clip.path),
            "status": clip.status,
            "reason": clip.reason or "",
            "seconds": clip.seconds if clip.status == "ok" else "",
            "face_share": clip.face_share if clip.status == "ok" else "",
            "closures_seen": clip.closures[0] if clip.closures[1] else "",
            "closures_expected": clip.closures[1] or "",
            **{
                measure.name: (
                    clip.values[measure.name]
                    if clip.status == "ok" and math.isfinite(clip.values[measure.name])
                    else ""
                )
                for measure in MEASURES
            },
        }
