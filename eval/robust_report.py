"""What is left of a sweep, in a folder: `scores.parquet`, `table.csv`, and the page."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from obverse.eval import report
from obverse.eval.conditions import NONE, Grid
from obverse.eval.metrics import Interval
from obverse.eval.report import Chart, Origin, Report, Section, Table
from obverse.eval.robust import Row
from obverse.eval.robust_table import (
    CHANGE_MOST,
    Bound,
    Line,
    MarkFinding,
    Overall,
    RobustTable,
    SwapFinding,
    broken,
)
from obverse.files import write_whole

__all__ = ["format_table", "robust_report", "write_report"]

BLUE, ORANGE, GREY = "#2f6db3", "#d9822b", "#8a8a8a"


def format_table(table: RobustTable) -> str:
    """Return the table of all methods as aligned text, then AUCs by method."""
    parts = [_conditions_table(table), *_methods_table(table)]
    return "\n\n".join([*map(_aligned, parts), *_findings(table)])


def _conditions_table(table: RobustTable) -> Table:
    lines = [line for line in table.lines if line.method is None]
    return Table(
        "conditions",
        "AUC under each condition with its interval, its change against the reference (the "
        "undistorted clips unless the condition is crossed), EER, the share of \"cannot tell\", "
        "clips measured (synthetic + pristine), without a face, and in error. Red: guessing cannot "
        "be ruled out, or fewer than half of the clips have a score.",
        (
            "condition", "AUC", "95 % interval", "change", "95 % of the change", "EER",
            "cannot tell", "clips", "missing", "error",
        ),
        [_cells(line) for line in lines],
        frozenset(number for number, line in enumerate(lines) if broken(line)),
    )  # fmt: skip


def _methods_table(table: RobustTable) -> list[Table]:
    methods = sorted({line.method for line in table.lines if line.method is not None})
    if not methods:
        return []
    by = {(line.condition, line.method): line for line in table.lines}
    names = [line.condition for line in table.lines if line.method is None]
    rows = []
    for name in names:
        found = [by[name, method].auc for method in methods]
        rows.append((name, *("-" if each is None else str(each) for each in found)))
    caption = "AUC of each method's clips against all pristine ones."
    return [Table("methods", caption, ("AUC by method", *methods), rows)]


def _findings(table: RobustTable) -> list[str]:
    """Return what a sweep comes to, a paragraph each."""
    found = _about_faces(table)
    found += [] if table.overall is None else [_about_all(table.overall)]
    found += [] if table.marks is None else [_about_marks(table.marks)]
    return found + (["\n".join(map(_about_swap, table.swaps))] if table.swaps else [])


def _cells(line: Line) -> tuple[str, ...]:
    def bounds(interval: Interval | None) -> str:
        return "" if interval is None else f"[{interval.low:.3f}, {interval.high:.3f}]"

    def number(value: float | None, sign: str = "") -> str:
        return "-" if value is None else f"{value:{sign}.3f}"

    return (
        line.condition,
        number(None if line.auc is None else line.auc.value),
        bounds(line.auc),
        number(None if line.change is None else line.change.value, "+"),
        bounds(line.change),
        number(line.eer),
        number(line.cannot_tell),
        f"{line.synthetic}+{line.pristine}",
        str(line.missing),
        str(line.errors),
    )


def _aligned(table: Table) -> str:
    rows = [tuple(table.columns), *map(tuple, table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if i == 0 else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _about_faces(table: RobustTable) -> list[str]:
    if table.faces is None:
        return []
    if table.faces == "each":
        return ["faces: searched for in each copy; a clip whose face is no longer found is missing"]
    said = (
        "faces: found in the undistorted clips and cut from the same place in their copies, so "
        "that nothing is said of whether they would still be found"
    )
    if table.searched:
        said += f"; searched for under {', '.join(table.searched)}, whose picture moves"
    return [said]


def _about_all(overall: Overall) -> str:
    if overall.corruption_error is None or overall.relative_error is None:
        said = "mean corruption error: not known, too few clips have a score everywhere"
    else:
        said = (
            f"mean corruption error {overall.corruption_error}, {overall.relative_error} more than "
            f"undistorted ({len(overall.families)} families, {overall.clips} clips)"
        )
    if overall.first == "none":
        return (
            f"{said}\nit is not shown that the detector tells undistorted clips apart (AUC's lower "
            "bound at most .5, or too few scores), so nothing can be shown to break it"
        )
    names = [f"{name} ({family})" for family, name in overall.broken_by.items() if name is not None]
    if not names:
        return f"{said}\nbroken by none of them"
    rest = [name for name in names if not name.startswith(f"{overall.first} ")]
    said += f"\nfirst broken by {overall.first}"
    return said + (f"; also by {', '.join(rest)}" if rest else "")


def _about_marks(marks: MarkFinding) -> str:
    said = f"marks: nothing was found in {marks.removed} of {marks.of} unmarked copies"
    if marks.z_median is not None:
        said += f" (median z {marks.z_median:.1f})"
    change = marks.largest_change
    if change is None:
        return said
    return f"{said}; {_about_change(change, marks.below)}"


def _about_change(change: Interval, below: Bound | None) -> str:
    answer = {"yes": "stays", "no": "does not stay", "cannot tell": "cannot be told to stay"}
    return (
        f"the largest change of the AUC is {change.value:+.3f} "
        f"[{change.low:+.3f}, {change.high:+.3f}], which {answer[below or 'cannot tell']} "
        f"below {CHANGE_MOST}"
    )


def _about_swap(swap: SwapFinding) -> str:
    change = _about_change(swap.largest_change, swap.below)
    return f"{swap.about} on one class alone: {change} ({swap.condition})"


def write_report(
    folder: Path, grid: Grid, rows: Sequence[Row], table: RobustTable, origin: Origin
) -> None:
    """Write scores, table and page, each whole; earlier ones are replaced."""
    known = {each.name: each for each in grid.conditions}
    scores = pd.DataFrame(
        [
            {
                "clip": row.clip,
                "condition": row.condition,
                "family": known[row.condition].family,
                "level": known[row.condition].level,
                "detector": table.detector,
                "judges": table.judges,
                **{k: v for k, v in dataclasses.asdict(row).items() if k not in _FIRST},
            }
            for row in rows
        ]
    )
    for name in ("level", "score", "lr", "mark_z"):
        scores[name] = scores[name].astype("float64")
    for name in ("verdict", "reason"):
        scores[name] = scores[name].astype("string")
    scores["mark_present"] = scores["mark_present"].astype("boolean")
    packed = io.BytesIO()
    scores.to_parquet(packed, index=False)
    write_whole(folder / "scores.parquet", packed.getvalue())
    write_whole(folder / "table.csv", _csv(table.lines))
    report.write_report(folder, robust_report(table, origin))


def robust_report(table: RobustTable, origin: Origin) -> Report:
    """Return the page of a sweep."""
    whole = [line for line in table.lines if line.method is None]
    clean = next((line for line in whole if line.condition == NONE.name), None)
    worst = min(
        (line for line in whole if line.change is not None and line.condition != line.reference),
        key=lambda line: 0.0 if line.change is None else line.change.value,
        default=None,
    )
    charts = []
    if (changes := _changes(table)) is not None:
        charts.append(
            Chart(
                "changes",
                "Change of the AUC under each condition; orange: the classes under different "
                "conditions, and the band that such a change should stay within.",
                changes,
            )
        )
    if (curves := _curves(table)) is not None:
        charts.append(
            Chart("curves", "AUC over the levels of each family; dashed: undistorted.", curves)
        )
    facts = [(str(len(whole)), "conditions, crossed ones too")]
    if clean is not None and clean.auc is not None:
        facts.insert(0, (f"{clean.auc.value:.3f}", "AUC undistorted"))
    if worst is not None and worst.change is not None:
        facts.append((f"{worst.change.value:+.3f}", f"the largest loss of AUC, {worst.condition}"))
    if table.overall is not None and table.overall.corruption_error is not None:
        error = table.overall.corruption_error
        facts.append((f"{error.value:.3f}", "mean corruption error"))
    said = [part for found in _findings(table) for part in found.split("\n")]
    return Report(
        title=f"{table.detector} under {table.grid}",
        lead="The same clips scored again after they were distorted. Every figure stands with its "
        "95 % interval; clips without a score are counted and never given a number.",
        facts=facts,
        sections=[
            Section(
                "What it comes to",
                [f"{part[0].upper()}{part[1:]}." for part in said],
                charts=charts,
            ),
            Section("Conditions", tables=[_conditions_table(table), *_methods_table(table)]),
        ],
        results=table.to_json(),
        row={
            "detector": table.detector,
            "grid": table.grid,
            **{
                f"{line.condition} auc": None if line.auc is None else line.auc.value
                for line in whole
            },
        },
        origin=origin,
    )


_FIRST = ("clip", "condition")


def _csv(lines: Sequence[Line]) -> str:
    out = io.StringIO()
    names = [f.name for f in dataclasses.fields(Line) if f.name not in ("auc", "change")]
    intervals = [f"{what}{end}" for what in ("auc", "change") for end in ("", "_low", "_high")]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, "coverage", *intervals])
    for line in lines:
        numbers: list[float | None] = []
        for each in (line.auc, line.change):
            numbers += [None] * 3 if each is None else [each.value, each.low, each.high]
        values = [*(getattr(line, name) for name in names), line.coverage, *numbers]
        writer.writerow(["" if value is None else value for value in values])
    return out.getvalue()


def _figure(width: float, height: float) -> Any:
    import matplotlib.figure

    return matplotlib.figure.Figure(figsize=(width, height), layout="constrained")


def _changes(table: RobustTable) -> Any:
    """Draw how much each condition changes the AUC; None where nothing could be compared."""
    lines = [
        line
        for line in table.lines
        if line.method is None and line.change is not None and line.condition != line.reference
    ]
    if not lines:
        return None
    figure = _figure(7, 1.2 + 0.24 * len(lines))
    axes = figure.subplots()
    for y, line in enumerate(reversed(lines)):
        assert line.change is not None
        crossed = line.reference != "none"
        colour = ORANGE if crossed else BLUE
        axes.plot([line.change.low, line.change.high], [y, y], color=colour, lw=2)
        axes.plot([line.change.value], [y], "o", color=colour, ms=4)
    axes.axvline(0, color=GREY, lw=1)
    if any(line.reference != "none" for line in lines):
        axes.axvspan(-CHANGE_MOST, CHANGE_MOST, color=ORANGE, alpha=0.12, lw=0)
    axes.set_yticks(range(len(lines)), [line.condition for line in reversed(lines)], fontsize=8)
    axes.set_xlabel("change of the AUC, 95 % interval")
    return figure


def _curves(table: RobustTable) -> Any:
    """Draw the AUC over the level, a panel a family; None where no family has levels."""
    overall = [line for line in table.lines if line.method is None and line.auc is not None]
    families: dict[str, list[Line]] = {}
    for line in overall:
        if line.level is not None and line.condition != "none":
            families.setdefault(line.family, []).append(line)
    families = {name: lines for name, lines in families.items() if len(lines) > 1}
    if not families:
        return None
    clean = next((line for line in overall if line.condition == "none"), None)
    columns = min(3, len(families))
    high = -(-len(families) // columns)
    figure = _figure(3.2 * columns, 2.4 * high + 0.3)
    panels = figure.subplots(high, columns, squeeze=False, sharey=True).ravel()
    for axes, (name, lines) in zip(panels, families.items(), strict=False):
        lines = sorted(lines, key=lambda line: line.level or 0.0)
        levels = [line.level or 0.0 for line in lines]
        found = [line.auc for line in lines if line.auc is not None]
        values = np.array([[each.value, each.low, each.high] for each in found])
        axes.fill_between(levels, values[:, 1], values[:, 2], color=BLUE, alpha=0.2, lw=0)
        axes.plot(levels, values[:, 0], "o-", color=BLUE, ms=4)
        if clean is not None and clean.auc is not None:
            axes.axhline(clean.auc.value, color=ORANGE, lw=1, ls="--")
        axes.axhline(0.5, color=GREY, lw=1, ls=":")
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("level", fontsize=8)
        axes.set_xticks(levels)
        axes.tick_params(labelsize=8)
    for axes in panels[len(families) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel("AUC", fontsize=8)
    return figure
