"""Detectors against generators: trained on one, tried on all, and what each costs when left out.

A cell is the AUC of one detector on the synthetic clips of one method (or set) against pristine
clips. What a method costs when it was left out of training is the AUC of a detector that learned
all of them less that of one that never saw it, on the same clips.
"""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError
from obverse.eval import counted
from obverse.eval.bootstrap import SAMPLES, Draws, bootstrap, percentile_bounds
from obverse.eval.counted import once
from obverse.eval.metrics import Interval, auc_interval
from obverse.eval.score_table import ScoreTable

__all__ = ["By", "Cell", "LeftOut", "Matrix", "format_matrix", "matrix_csv", "matrix_of"]

By = Literal["method", "dataset"]
Flags = npt.NDArray[np.bool_]

_LEVEL = 0.95
_IDENTITIES_FEWEST = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One detector on one method or set."""

    trained_on: str
    tried_on: str
    synthetic: int  # clips with a score
    pristine: int
    without: int  # clips without one: missing, in error, or not in the table of scores
    auc: Interval | None  # None unless both classes have scores


@dataclasses.dataclass(frozen=True, slots=True)
class LeftOut:
    """What a method costs when nobody learned it."""

    method: str
    seen: float  # AUC of the detector that learned it, on the clips that both scored
    unseen: float  # AUC of the one that did not
    cost: Interval  # seen - unseen
    synthetic: int
    pristine: int


@dataclasses.dataclass(frozen=True, slots=True)
class Matrix:
    """All cells, and what was left out."""

    by: By
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    left_out: tuple[LeftOut, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return dataclasses.asdict(self)


def matrix_of(
    trained: Mapping[str, ScoreTable],
    left_out: Mapping[str, ScoreTable],
    whole: ScoreTable | None,
    *,
    by: By = "method",
    seed: int = 0,
    samples: int = SAMPLES,
) -> Matrix:
    """Return the matrix of some detectors' scores, of clips that none of them learned.

    Args:
        trained: what a detector was trained on -> its scores.
        left_out: the method that a detector was trained without -> its scores.
        whole: the scores of one that was trained on all of them; what is left out is compared with
            it.
        by: what the columns are.
        seed: of the bootstrap.
        samples: of the bootstrap.

    Raises:
        ConfigError: there is nothing to compare, or nothing to compare what is left out with.
        InputError: the tables name no method (or set), or not the one that was left out.
    """
    if left_out and whole is None:
        raise ConfigError(
            "what was left out is compared with a detector that learned all; give it with --whole."
        )
    rows = {
        **trained,
        **({} if whole is None else {"all": whole}),
        **{f"all but {name}": table for name, table in left_out.items()},
    }
    if not rows:
        raise ConfigError(
            "there are no scores; give at least one table with --trained-on NAME=FILE."
        )
    columns = sorted({value for table in rows.values() for value in _values(table, by)})
    if not columns:
        raise InputError(
            f"the scores name no {by} of any synthetic clip; give --labels clips.parquet, or a "
            f"column {by}."
        )
    cells = tuple(
        _cell(name, column, table, by, seed, samples)
        for name, table in rows.items()
        for column in columns
    )
    found = []
    for method, table in left_out.items():
        if method not in columns:
            raise InputError(
                f"{method!r} was left out, but no synthetic clip has that {by}; there are "
                f"{', '.join(columns)}."
            )
        assert whole is not None
        found.append(_cost(method, whole, table, by, seed, samples))
    return Matrix(by, tuple(columns), cells, tuple(found))


def _values(table: ScoreTable, by: By) -> set[str]:
    names = table.groups.get(by)
    return set() if names is None else {str(v) for v in names[table.truth] if v is not None}


def _chosen(table: ScoreTable, by: By, column: str) -> Flags:
    """Return which rows stand in a column: its synthetic clips, and the pristine ones to tell them
    from: those of the same set where sets are compared and it has some, else all.
    """
    names = table.groups.get(by)
    if names is None:
        return np.zeros(len(table), bool)
    here = np.asarray(names == column, bool)
    pristine = ~table.truth
    if by == "dataset" and (here & pristine).any():
        pristine = pristine & here
    return (here & table.truth) | pristine


def _groups(table: ScoreTable) -> list[Any] | None:
    """Return the clips' identities; None where one is unknown, or there are too few to draw."""
    names = table.groups.get("identity")
    if names is None or any(name is None for name in names) or len(set(names)) < _IDENTITIES_FEWEST:
        return None
    return list(names)


def _cell(name: str, column: str, table: ScoreTable, by: By, seed: int, samples: int) -> Cell:
    chosen = table.rows(_chosen(table, by, column))
    ok = chosen.rows(chosen.ok)
    synthetic = int(ok.truth.sum())
    pristine = len(ok) - synthetic
    area: Interval | None = None
    if synthetic and pristine:
        area = auc_interval(ok.truth, ok.score, level=_LEVEL)
        groups = _groups(ok)
        if groups is not None and area.value not in (0.0, 1.0):
            drawn = bootstrap(
                {"auc": counted.auc(ok.truth, ok.score)},
                Draws.of(ok.truth, groups),
                rng=np.random.default_rng(seed),
                samples=samples,
            )["auc"]
            low, high = percentile_bounds(drawn, _LEVEL)
            method = f"bootstrap over identities, {samples} samples"
            area = Interval(area.value, low, high, _LEVEL, method)
    return Cell(name, column, synthetic, pristine, len(chosen) - len(ok), area)


def _cost(
    method: str, whole: ScoreTable, without: ScoreTable, by: By, seed: int, samples: int
) -> LeftOut:
    first, second = (t.rows(_chosen(t, by, method) & t.ok) for t in (whole, without))
    places = {clip: row for row, clip in enumerate(second.clip)}
    shared = [row for row, clip in enumerate(first.clip) if clip in places]
    first = first.rows(np.array(shared, np.intp))
    second = second.rows(np.array([places[clip] for clip in first.clip], np.intp))
    truth = first.truth
    if not len(truth) or truth.all() or not truth.any():
        raise InputError(
            f"the two detectors share no scored clips of both labels for {method!r}; score the "
            "same clips with both."
        )
    if not np.array_equal(truth, second.truth):
        raise InputError("the two tables disagree about a clip's label; give both --labels.")
    groups = _groups(first)
    areas = {"seen": counted.auc(truth, first.score), "unseen": counted.auc(truth, second.score)}
    drawn = bootstrap(
        areas, Draws.of(truth, groups), rng=np.random.default_rng(seed), samples=samples
    )
    low, high = percentile_bounds(drawn["seen"] - drawn["unseen"], _LEVEL)
    seen, unseen = (once(metric, len(truth)) for metric in areas.values())
    over = "clips" if groups is None else "identities"
    cost = Interval(
        seen - unseen, low, high, _LEVEL, f"paired bootstrap over {over}, {samples} samples"
    )
    synthetic = int(truth.sum())
    return LeftOut(method, seen, unseen, cost, synthetic, len(truth) - synthetic)


def format_matrix(matrix: Matrix) -> str:
    """Return it as aligned text: a row a detector, a column a method or set."""
    by = {(cell.trained_on, cell.tried_on): cell for cell in matrix.cells}
    names = list(dict.fromkeys(cell.trained_on for cell in matrix.cells))
    rows = [("trained on \\ tried on", *matrix.columns)]
    for name in names:
        found = [by[name, column].auc for column in matrix.columns]
        rows.append((name, *("-" if each is None else str(each) for each in found)))
    text = _aligned(rows)
    without = sum(cell.without for cell in matrix.cells)
    if without:
        text += f"\n{without} times a clip had no score and was left out"
    if matrix.left_out:
        table = [("left out", "AUC seen", "unseen", "cost", "clips")]
        for each in matrix.left_out:
            cost = f"{each.cost.value:+.3f} [{each.cost.low:+.3f}, {each.cost.high:+.3f}]"
            clips = f"{each.synthetic}+{each.pristine}"
            table.append((each.method, f"{each.seen:.3f}", f"{each.unseen:.3f}", cost, clips))
        text += "\n\n" + _aligned(table)
    return text


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def matrix_csv(matrix: Matrix) -> str:
    """Return the cells as CSV, a line a cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["trained_on", matrix.by, "auc", "low", "high", "synthetic", "pristine", "without_score"]
    )
    for cell in matrix.cells:
        numbers = (
            ["", "", ""] if cell.auc is None else [cell.auc.value, cell.auc.low, cell.auc.high]
        )
        writer.writerow(
            [cell.trained_on, cell.tried_on, *numbers, cell.synthetic, cell.pristine, cell.without]
        )
    return out.getvalue()
