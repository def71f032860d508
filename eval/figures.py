"""Figures of evaluations, drawn with matplotlib; none is shown or saved here."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, NullFormatter

from obverse.eval.weighing import ReliabilityBin, risk_coverage, tippett

__all__ = [
    "Bar",
    "forest",
    "reliability_diagram",
    "risk_curve",
    "roc_curves",
    "score_histogram",
    "tippett_plot",
]

PRISTINE, SYNTHETIC, GREY, RED = "#2b6cb0", "#c05621", "#8a8a8a", "#b3261e"
COLOURS = (SYNTHETIC, PRISTINE, "#2f855a", "#805ad5", "#b7791f", "#319795")
FPR_LEAST = 1e-3  # left end of the logarithmic ROC curve

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


class Bar(NamedTuple):
    """A line of a forest plot."""

    name: str
    value: float
    low: float
    high: float
    bad: bool = False
    said: str = ""  # at the right


def _drawing(width: float, height: float, columns: int = 1) -> tuple[Any, list[Any]]:
    # Not pyplot: no display, no state that outlives the call.
    drawing = Drawing(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = list(np.ravel(drawing.subplots(1, columns)))
    for axis in axes:
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return drawing, axes


def _curve(truth: Truth, scores: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits, alarms = np.cumsum(truth[order])[last], np.cumsum(~truth[order])[last]
    return (
        np.append(0, alarms / (~truth).sum()),
        np.append(0, hits / truth.sum()),
    )


def roc_curves(tables: Sequence[tuple[str, Truth, Floats]]) -> Any:
    """Draw ROC curves of (name, labels, scores), over FPR and over its logarithm."""
    drawing, (left, right) = _drawing(8.6, 3.9, 2)
    least = min(1 / (~truth).sum() for _, truth, _ in tables)  # FPR that is shown
    for (name, truth, scores), colour in zip(tables, COLOURS * len(tables), strict=False):
        fpr, tpr = _curve(truth, scores)
        left.plot(fpr, tpr, color=colour, linewidth=1.6, label=name)
        # A rate that so few pristine clips cannot show is not drawn.
        shown = fpr >= 1 / (~truth).sum() - 1e-12
        right.step(fpr[shown], tpr[shown], color=colour, linewidth=1.6, where="post", label=name)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    right.set_xscale("log")
    # Whole tenths, no further than pristine clips show; what they do not is shaded.
    start = max(FPR_LEAST, 10 ** np.floor(np.log10(least) + 1e-9))
    right.axvspan(start, max(start, least), color="#e7e4dd", alpha=0.6, linewidth=0)
    right.set_xlim(start, 1)
    right.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    right.xaxis.set_minor_formatter(NullFormatter())
    for axis in (left, right):
        axis.set_ylim(0, 1.02)
        axis.set_xlabel("share of pristine called synthetic (FPR)", fontsize=9)
        axis.set_ylabel("share of synthetic found (TPR)", fontsize=9)
        axis.grid(color="#e7e4dd", linewidth=0.6)
    if len(tables) > 1:
        left.legend(fontsize=8, frameon=False, loc="lower right")
    return drawing


def score_histogram(truth: Truth, scores: Floats, threshold: float) -> Any:
    """Draw how the scores of both labels lie."""
    drawing, (axis,) = _drawing(6.2, 2.8)
    bins = np.linspace(0, 1, 41)
    for inside, colour, name in ((~truth, PRISTINE, "pristine"), (truth, SYNTHETIC, "synthetic")):
        share = np.full(int(inside.sum()), 1 / inside.sum())
        axis.hist(
            scores[inside], bins, weights=share, color=colour, alpha=0.55, label=name, linewidth=0
        )
    axis.axvline(threshold, color=GREY, linewidth=1, linestyle="--")
    axis.annotate(
        "threshold", (threshold, 1), (3, 1), xycoords=("data", "axes fraction"),
        textcoords="offset points", fontsize=7.5, color=GREY, va="bottom",
    )  # fmt: skip
    axis.set_xlim(0, 1)
    axis.set_xlabel("score, higher = synthetic", fontsize=9)
    axis.set_ylabel("share of each label", fontsize=9)
    axis.legend(fontsize=8, frameon=False)
    return drawing


def reliability_diagram(bins: Sequence[ReliabilityBin], said: str = "") -> Any:
    """Draw the share of synthetic clips over the score, with intervals, and the bins' clips.

    Args:
        bins: of like scores.
        said: written at the upper left, such as the calibration error.
    """
    drawing, (axis,) = _drawing(4.6, 4.2)
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    most = max(each.clips for each in bins)
    for each in bins:
        axis.bar(
            each.low, 0.16 * each.clips / most, each.high - each.low, align="edge",
            color="#e7e4dd", linewidth=0,
        )  # fmt: skip
        share = each.synthetic
        axis.plot([each.score] * 2, [share.low, share.high], color=SYNTHETIC, linewidth=1.4)
    shown = [each.score for each in bins], [each.synthetic.value for each in bins]
    axis.plot(*shown, "o-", color=SYNTHETIC, markersize=4, linewidth=1)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1.02)
    axis.set_title(said, loc="left", fontsize=9)
    axis.set_xlabel("score", fontsize=9)
    axis.set_ylabel("share of them that is synthetic", fontsize=9)
    return drawing


def tippett_plot(truth: Truth, ratios: Floats, bounds: tuple[float, float]) -> Any:
    """Draw the shares of both labels whose ratio is at least so large, with the ELUB bounds.

    Args:
        truth: synthetic.
        ratios: natural log likelihood ratios.
        bounds: of the likelihood ratio.
    """
    drawing, (axis,) = _drawing(6.2, 3.4)
    at, synthetic, pristine = tippett(truth, ratios)
    axis.step(at, synthetic, color=SYNTHETIC, linewidth=1.6, where="pre", label="synthetic")
    axis.step(at, pristine, color=PRISTINE, linewidth=1.6, where="pre", label="pristine")
    low, high = np.log10(bounds)
    axis.axvspan(low, high, color="#e7e4dd", alpha=0.6, linewidth=0, label="within ELUB bounds")
    axis.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("log10 of the likelihood ratio", fontsize=9)
    axis.set_ylabel("share at or above", fontsize=9)
    axis.legend(fontsize=8, frameon=False)
    return drawing


def risk_curve(truth: Truth, scores: Floats, threshold: float) -> Any:
    """Draw the error rate among the surest clips over how many are judged."""
    drawing, (axis,) = _drawing(5.2, 3.2)
    coverage, risk = risk_coverage(truth, scores, threshold)
    axis.step(coverage, risk, color=SYNTHETIC, linewidth=1.6, where="mid")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, max(0.05, 1.1 * float(risk.max())))
    axis.set_xlabel("share of clips judged, the surest first", fontsize=9)
    axis.set_ylabel("error rate among them", fontsize=9)
    axis.grid(color="#e7e4dd", linewidth=0.6)
    return drawing


def forest(
    bars: Sequence[Bar],
    label: str,
    *,
    band: tuple[float, float] | None = None,
    centre: float | None = None,
    span: tuple[float, float] | None = (0.0, 1.0),
) -> Any:
    """Draw values with their intervals below one another.

    Args:
        bars: from the top down.
        label: of the axis.
        band: within which all is well; its borders are red lines.
        centre: a dotted line.
        span: of the axis; None takes what is there.
    """
    drawing, (axis,) = _drawing(8.6, 0.9 + 0.27 * max(2, len(bars)))
    for row, bar in enumerate(bars):
        colour = RED if bar.bad else PRISTINE
        axis.plot([bar.low, bar.high], [row, row], color=colour, linewidth=2)
        axis.plot([bar.value], [row], "o", color=colour, markersize=4.5)
        if bar.said:
            axis.annotate(
                bar.said, (1, row), (6, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=7.5, va="center", color=colour,
            )  # fmt: skip
    axis.set_yticks(range(len(bars)), [bar.name for bar in bars], fontsize=8)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    if span is not None:
        axis.set_xlim(*span)
    if band is not None:
        axis.axvspan(*band, color="#2f855a", alpha=0.1, linewidth=0)
        for border in band:
            axis.axvline(border, color=RED, linewidth=0.9)
    if centre is not None:
        axis.axvline(centre, color=GREY, linewidth=0.8, linestyle=":")
    axis.grid(axis="x", color="#e7e4dd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_xlabel(label, fontsize=9)
    return drawing
