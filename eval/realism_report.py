"""What is left of a measurement: `realism.csv`, `realism.json` and plots, in a folder."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from obverse.eval import dynamics
from obverse.eval.dynamics import FPS, LEVEL_HZ
from obverse.eval.realism import MEASURES, ClipRealism
from obverse.eval.realism_table import MeasureRow, RealismTable, rows_of
from obverse.eval.realism_tracks import ClipTracks
from obverse.faces.pose import head_pose
from obverse.files import draft_of, write_whole

__all__ = [
    "format_table",
    "plot_distributions",
    "plot_tracks",
    "score_absent",
    "write_report",
]

CLIPS_BLUE, REAL_ORANGE, GREY = "#2f6db3", "#d9822b", "#8a8a8a"
SUFFIXES = (".png", ".svg")


def format_table(table: RealismTable) -> str:
    """Return the table as aligned text."""
    lines = [("measure", "value", "95 % interval", "real", "close", "clips", "what it is")]
    for row in table.rows:
        measure = row.measure
        found = row.interval

        def said(value: float | None, digits: int = measure.digits) -> str:
            return "-" if value is None else f"{value:.{digits}f}"

        lines.append(
            (
                measure.name + (" *" if measure.scored else ""),
                "not measured" if found is None else said(found.value),
                "" if found is None else f"[{said(found.low)}, {said(found.high)}]",
                said(row.reference),
                said(row.closeness, 2),
                str(row.clips),
                f"{measure.says}{f', {measure.unit}' if measure.unit else ''}",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    text = [
        f"{line[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(line[1:6], widths[1:], strict=True))
        + f"  {line[6]}"
        for line in lines
    ]
    counts = table.counts
    score = score_absent(table) if table.score is None else table.score
    text.append(f"score (mean closeness of *), against {table.against}: {score}")
    text.append(
        f"{counts['clips']} clips: {counts['ok']} measured, {counts['missing']} without a face, "
        f"{counts['error']} in error"
    )
    return "\n".join(text)


def score_absent(table: RealismTable) -> str:
    """Say why a table has no score."""
    names = ", ".join(table.missing) or "a measure of it"
    return f"not known, since these were not measured in the clips or have no reference: {names}"


def write_report(
    folder: Path,
    table: RealismTable,
    clips: Sequence[ClipRealism],
    real: Sequence[ClipRealism] | None,
    tracks: Sequence[tuple[str, ClipTracks]] = (),
) -> None:
    """Write the table, a row a clip, and the plots into `folder`, which is made if absent.

    Args:
        folder: where.
        table: of `clips`.
        clips: what was measured.
        real: the real clips beside them.
        tracks: name and tracks of a few clips to be drawn over time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sets = [("clips", clip) for clip in rows_of(clips)]
    sets += [("real", clip) for clip in rows_of(real or ())]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["set", *sets[0][1]])
    writer.writeheader()
    writer.writerows({"set": name, **row} for name, row in sets)
    write_whole(folder / "realism.csv", text.getvalue())
    plot_distributions(folder / "distributions", table, clips, real)
    if tracks:
        plot_tracks(folder / "tracks", tracks)
    # Last: a folder with it holds a whole report.
    write_whole(folder / "realism.json", json.dumps(table.to_json(), indent=2) + "\n")


def _figure(width: float, height: float) -> Any:
    # Not pyplot: no display, no state that outlives the call.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, stem: Path) -> None:
    for suffix in SUFFIXES:
        with draft_of(stem.with_name(stem.name + suffix), ending=suffix) as draft:
            figure.savefig(draft, dpi=130, metadata=_undated(suffix))


def _undated(suffix: str) -> dict[str, None] | None:
    return {"Date": None} if suffix == ".svg" else None


def _finite(clips: Sequence[ClipRealism], name: str) -> list[float]:
    values = [clip.values[name] for clip in clips if clip.status == "ok"]
    return [value for value in values if math.isfinite(value)]


def plot_distributions(
    stem: Path,
    table: RealismTable,
    clips: Sequence[ClipRealism],
    real: Sequence[ClipRealism] | None,
) -> None:
    """Draw every clip's value of every measure beside the reference, as PNG and SVG."""
    columns = 5
    figure = _figure(13, 2.5 * math.ceil(len(MEASURES) / columns))
    axes = figure.subplots(math.ceil(len(MEASURES) / columns), columns).ravel()
    for axis, row in zip(axes, table.rows, strict=False):
        _draw_measure(
            axis, row, _finite(clips, row.measure.name), _finite(real or (), row.measure.name)
        )
    for axis in axes[len(table.rows) :]:
        axis.set_axis_off()
    figure.subplots_adjust(0.05, 0.1, 0.98, 0.95, wspace=0.25, hspace=0.75)
    _save(figure, stem)


def _draw_measure(
    axis: Any, row: MeasureRow, values: Sequence[float], real: Sequence[float]
) -> None:
    rng = np.random.default_rng(0)
    for place, (points, colour) in enumerate(((values, CLIPS_BLUE), (real, REAL_ORANGE))):
        spread = place + rng.uniform(-0.18, 0.18, len(points))
        axis.scatter(points, spread, s=14, color=colour, alpha=0.55, linewidths=0)
    if row.reference is not None:
        axis.axvline(row.reference, color=REAL_ORANGE, linewidth=1.5)
        room = 0.15 * abs(row.reference)  # within 15 % of real video
        axis.axvspan(row.reference - room, row.reference + room, color=REAL_ORANGE, alpha=0.12)
    found = row.interval
    if found is not None:
        axis.plot([found.low, found.high], [-0.35, -0.35], color=CLIPS_BLUE, linewidth=3)
        axis.plot([found.value], [-0.35], "o", color=CLIPS_BLUE, markersize=6)
    else:
        axis.text(0.5, 0.5, "not measured", ha="center", color=GREY, transform=axis.transAxes)
    axis.set_ylim(-0.6, 1.4)
    axis.set_yticks([0, 1] if real else [0], ["clips", "real"] if real else ["clips"], fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_title(row.measure.name, fontsize=9)
    unit = f"\n{row.measure.unit}" if row.measure.unit else ""
    axis.set_xlabel(f"{row.measure.says}{unit}", fontsize=7.5)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def plot_tracks(stem: Path, tracks: Sequence[tuple[str, ClipTracks]]) -> None:
    """Draw lips, eyes and head of a few clips over time, with the sound, as PNG and SVG."""
    figure = _figure(11, 3.2 * len(tracks))
    rows = figure.subplots(3 * len(tracks), 1, squeeze=False)[:, 0]
    for index, (name, clip) in enumerate(tracks):
        lips, eyes, head = rows[3 * index : 3 * index + 3]
        points = clip.landmarks.astype(np.float64)
        time = np.arange(clip.frames) / FPS
        if len(clip.level_db):
            seconds = np.arange(len(clip.level_db)) / LEVEL_HZ
            level = (
                1 - clip.level_db / clip.level_db.min() if clip.level_db.min() < 0 else seconds * 0
            )
            top = max(float(np.nanmax(dynamics.mouth_gap(points))), 1e-3)
            lips.fill_between(seconds, 0, level * top, color=GREY, alpha=0.25, linewidth=0)
        lips.plot(time, dynamics.mouth_gap(points), color=CLIPS_BLUE, linewidth=1)
        lips.set_ylabel("lips", fontsize=8)
        lips.set_title(name, fontsize=9, loc="left")
        opening = dynamics.eye_opening(points)
        eyes.plot(time, opening, color=CLIPS_BLUE, linewidth=1)
        for blink in dynamics.blinks(opening):
            eyes.axvline(blink.seconds, color=REAL_ORANGE, linewidth=0.8)
        eyes.set_ylabel("eyes", fontsize=8)
        degrees = np.full((clip.frames, 3), np.nan)
        for frame in np.flatnonzero(clip.seen):
            degrees[frame] = np.degrees(head_pose(points[frame]).rotation)
        for angle, label in enumerate(("pitch", "yaw", "roll")):
            head.plot(time, degrees[:, angle], linewidth=1, label=label)
        head.set_ylabel("head, degrees", fontsize=8)
        head.legend(fontsize=7, loc="upper right", ncols=3)
        for axis in (lips, eyes, head):
            axis.tick_params(labelsize=7)
            axis.set_xlim(0, max(clip.frames / FPS, 0.04))
    rows[-1].set_xlabel("seconds", fontsize=8)
    figure.subplots_adjust(0.08, 0.06, 0.98, 0.96, hspace=0.45)
    _save(figure, stem)
