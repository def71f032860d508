"""How an evaluation of scores is told: as lines of text, and as a report."""

from collections.abc import Iterator
from typing import Any

from obverse.eval.evaluation import POLICIES, Evaluation, Figure, log_ratios, scored
from obverse.eval.figures import (
    Bar,
    forest,
    reliability_diagram,
    risk_curve,
    roc_curves,
    score_histogram,
    tippett_plot,
)
from obverse.eval.report import Chart, Origin, Report, Section, Table
from obverse.eval.score_table import ScoreTable
from obverse.eval.weighing import Evidence

__all__ = ["MEANINGS", "caveats", "evaluation_report", "evaluation_text", "text_table"]

MEANINGS = {
    "auc": "chance that a synthetic clip scores above a pristine one",
    "ap": "average precision; depends on the share of synthetic clips",
    "eer": "equal error rate",
    "tpr@fpr=0.1": "synthetic found where 10 % of pristine alarm",
    "tpr@fpr=0.01": "synthetic found where 1 % of pristine alarm",
    "tpr@fpr=0.001": "synthetic found where 0.1 % of pristine alarm",
    "accuracy": "right at the threshold; depends on the share of synthetic clips",
    "balanced_accuracy": "right at the threshold, mean of both labels",
    "aurc": "error rate of the surest, averaged over coverage",
    "brier": "mean square of score less label",
    "ece": "calibration error, 15 bins",
    "nll": "negative log likelihood, nats",
    "cllr": "cost of the likelihood ratios, bits; 1 says nothing",
    "cllr_min": "the same after the best calibration",
}
_IDENTITIES_FEW = 10


def text_table(table: Table) -> str:
    """Return a table as aligned text, the last column to the left."""
    lines = [tuple(table.columns), *map(tuple, table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]
    last = len(widths) - 1

    def cell(text: str, column: int) -> str:
        if column == last:
            return text
        return f"{text:<{widths[column]}}" if column == 0 else f"{text:>{widths[column]}}"

    return "\n".join(
        "  ".join(cell(text, column) for column, text in enumerate(line)).rstrip() for line in lines
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _bounds(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _figures_table(evaluation: Evaluation) -> Table:
    known = any(figure.by_identity is not None for figure in evaluation.figures.values())
    rows = []
    for name, figure in evaluation.figures.items():
        over = [_bounds(figure.low, figure.high)]
        if known:
            over.append("" if figure.by_identity is None else _bounds(*figure.by_identity))
        rows.append((name, _number(figure.value), *over, MEANINGS[name]))
    level = f"{evaluation.config.level:.0%}"
    return Table(
        "metrics",
        f"{evaluation.detector}, by {evaluation.unit}, with {level} intervals over clips"
        f"{' and over identities' if known else ''}.",
        ("metric", "value", "over clips", *(["over identities"] if known else []), "what it is"),
        rows,
    )


def _policy_table(evaluation: Evaluation) -> Table:
    names = ("auc", "eer", "tpr@fpr=0.1", "accuracy")
    return Table(
        "policies",
        "The same under every policy for clips without a score.",
        ("policy", *names, "clips without a score are"),
        [
            (policy, *(_number(values[name]) for name in names), POLICIES[policy])
            for policy, values in evaluation.policies.items()
        ],
    )


def _slice_table(evaluation: Evaluation) -> Table:
    rows = []
    for each in evaluation.slices:
        worst = evaluation.worst.get(each.column) == each.value
        rows.append(
            (
                each.name + (" (worst)" if worst else ""),
                str(each.synthetic),
                str(each.pristine) + (" (all)" if each.against == "all" else ""),
                str(each.auc),
                str(each.tpr),
                str(each.fpr),
            )
        )
    return Table(
        "slices",
        f"Slices, TPR and FPR at the threshold {evaluation.config.threshold:g}. A slice without "
        "pristine clips of its own is measured against all of them.",
        ("slice", "synthetic", "pristine", "AUC", "TPR", "FPR"),
        rows,
    )


def _shift_table(evaluation: Evaluation) -> Table:
    return Table(
        "threshold_shift",
        f"A threshold that lets {evaluation.config.shift_fpr:.0%} of the pristine clips of one set "
        "alarm, tried on the others.",
        ("set on", "tried on", "threshold", "FPR", "TPR"),
        [
            (each.source, each.target, f"{each.threshold:.4f}", str(each.fpr), str(each.tpr))
            for each in evaluation.shifts
        ],
    )


def _verdict_table(evidence: Evidence) -> Table:
    return Table(
        "verdicts",
        f"Verdicts of {evidence.verdicts_from}: share misjudged, where at most "
        f"{evidence.alpha:.0%} of each label were promised, and share without a verdict.",
        ("slice", "label", "clips", "misjudged", "abstained", "promise"),
        [
            (
                each.slice,
                each.label,
                str(each.clips),
                str(each.misjudged),
                f"{each.abstained:.2f}",
                "broken" if each.broken else "kept or open",
            )
            for each in evidence.promises
        ],
        frozenset(row for row, each in enumerate(evidence.promises) if each.broken),
    )


def caveats(evaluation: Evaluation) -> Iterator[str]:
    """Yield, a sentence each, what a reader must know before believing the figures."""
    noted: dict[str, list[str]] = {}
    for name, figure in evaluation.figures.items():
        if figure.refused is not None:
            yield figure.refused
        if figure.note is not None:
            noted.setdefault(figure.note, []).append(name)
    for note, names in noted.items():
        yield f"{', '.join(names)}: {note}."
    people = evaluation.identities
    if people is None:
        yield (
            "no clip says who is on screen (column identity), so intervals over identities are not "
            "known; clips of one person are alike, and the intervals over clips may be too narrow."
        )
    elif people < _IDENTITIES_FEW:
        yield f"{people} identities are few: the intervals over identities are themselves unsure."
    shares = evaluation.coverage_by_label
    if abs(shares["pristine"] - shares["synthetic"]) > 0.02:
        yield (
            f"{shares['pristine']:.1%} of the pristine and {shares['synthetic']:.1%} of the "
            "synthetic clips have a score: which clips lack one tells the labels apart by itself."
        )


def _counted(evaluation: Evaluation) -> str:
    counts, classes, rows = evaluation.counts, evaluation.classes, evaluation.rows
    people = evaluation.identities
    clips = "of the clips " if evaluation.unit != "clip" else ""
    said = (
        f"{evaluation.detector}: {classes['synthetic']} synthetic and {classes['pristine']} "
        f"pristine {evaluation.unit}s of {evaluation.clips} clips"
        f"{'' if people is None else f' and {people} identities'} measured; {clips}"
        f"{counts['ok']} ok, {counts['missing']} missing, {counts['error']} in error"
    )
    if counts["absent"]:
        said += f", {counts['absent']} labelled clips without a row"
    said += f"; coverage {evaluation.coverage:.1%}"
    if evaluation.unit == "clip":
        return said
    return f"{said} of the clips; {rows['ok']} of {rows['all']} {evaluation.unit}s have a score"


def evaluation_text(evaluation: Evaluation) -> str:
    """Return the figures as text."""
    tables = [_figures_table(evaluation)]
    if evaluation.coverage < 1:
        tables.append(_policy_table(evaluation))
    tables += [_slice_table(evaluation)] if evaluation.slices else []
    tables += [_shift_table(evaluation)] if evaluation.shifts else []
    parts = [_counted(evaluation), *map(text_table, tables)]
    return "\n\n".join(parts)


def evaluation_report(
    table: ScoreTable, evaluation: Evaluation, evidence: Evidence, origin: Origin
) -> Report:
    """Return the report of a detector's scores."""
    given = scored(table, "exclude")
    judged = scored(table, evaluation.config.policy)
    threshold = evaluation.config.threshold
    sections = [
        Section(
            "Telling apart",
            [f"{_counted(evaluation)}.", *(each[0].upper() + each[1:] for each in
             caveats(evaluation))],
            [_figures_table(evaluation)],
            [
                Chart(
                    "roc",
                    "ROC curve, and its left end over the logarithm of FPR; grey: rates that so "
                    "few pristine clips cannot show.",
                    roc_curves([(evaluation.detector, judged.truth, judged.score)]),
                ),
                Chart(
                    "scores", "Scores of both labels.",
                    score_histogram(given.truth, given.score, threshold),
                ),
            ],
        )
    ]  # fmt: skip
    if evaluation.coverage < 1:
        sections.append(
            Section(
                "Clips without a score",
                [
                    "They are counted and never given a score in the middle. The policy of this "
                    f"report is {evaluation.config.policy}: they are "
                    f"{POLICIES[evaluation.config.policy]}."
                ],
                [_policy_table(evaluation)],
            )
        )
    if evaluation.slices:
        sections.append(_slice_section(evaluation))
    if evaluation.shifts:
        sections.append(Section("A threshold on other sets", tables=[_shift_table(evaluation)]))
    calibration = evaluation.figures["ece"]
    sections.append(_evidence_section(given, evidence, threshold, calibration))
    return Report(
        title=f"How well {evaluation.detector} tells synthetic from pristine",
        lead=f"{_counted(evaluation)}. Every figure stands with its "
        f"{evaluation.config.level:.0%} interval.",
        facts=_facts(evaluation),
        sections=sections,
        results=evaluation.to_json() | {"evidence": evidence.to_json()},
        row=_row(evaluation),
        origin=origin,
    )


def _facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return what stands at the top; a rate that so few clips cannot show gives way to a larger."""
    figures = evaluation.figures
    area = figures["auc"]
    found = [(area, f"AUC, {_bounds(area.low, area.high)}"), (figures["eer"], "equal error rate")]
    rates = [
        (f"tpr@fpr={rate:g}", f"found at {100 * rate:g} % false alarms") for rate in (0.01, 0.1)
    ]
    shown = [(figures[name], said) for name, said in rates if figures[name].value is not None]
    found += [*shown[:1], (figures["cllr"], "Cllr in bits; 1 says nothing")]
    facts = [(f"{each.value:.3f}", said) for each, said in found if each.value is not None]
    return [*facts, (f"{evaluation.coverage:.1%}", "of the clips have a score")]


def _slice_section(evaluation: Evaluation) -> Section:
    bars = [
        Bar(
            each.name, each.auc.value, each.auc.low, each.auc.high,
            bad=evaluation.worst.get(each.column) == each.value,
            said=f"{each.synthetic} + {each.pristine}",
        )
        for each in evaluation.slices
        if each.auc.value is not None and each.auc.low is not None and each.auc.high is not None
    ]  # fmt: skip
    charts = []
    if bars:
        lowest = min(bar.low for bar in bars)
        charts.append(
            Chart(
                "slices",
                "AUC by slice; the worst of each column in red; at the right synthetic + pristine "
                "clips.",
                forest(bars, "AUC", centre=0.5, span=(min(0.45, lowest), 1.0)),
            )
        )
    worst = ", ".join(f"{column} {value}" for column, value in evaluation.worst.items())
    text = [f"The worst: {worst}."] if worst else []
    return Section("Slices", text, [_slice_table(evaluation)], charts)


def _evidence_section(
    given: ScoreTable, evidence: Evidence, threshold: float, calibration: Figure
) -> Section:
    ratios, _ = log_ratios(given)
    low, high = evidence.bounds
    wrong = evidence.misleading
    text = [
        f"Likelihood ratios are {evidence.ratio_from}. So many clips support ratios from {low:.3g} "
        f"to {high:.3g} (ELUB); {evidence.beyond} of {len(given)} claim more. Misleading evidence: "
        f"{wrong['synthetic']} of the synthetic and {wrong['pristine']} of the pristine.",
    ]
    tables = [_verdict_table(evidence)] if evidence.promises else []
    if not tables:
        text.append(f"Verdicts come from {evidence.verdicts_from}.")
    return Section(
        "Calibration and evidence",
        text,
        tables,
        [
            Chart(
                "reliability",
                "Share of synthetic clips among those with like scores; grey bars say how many "
                "they are. Calibrated scores lie on the dotted line where half the clips are "
                "synthetic. ECE is the mean distance from it over 15 bins, with the bootstrap's "
                "interval, which errs upwards with few clips.",
                reliability_diagram(evidence.reliability, f"ECE {calibration}"),
            ),
            Chart(
                "tippett",
                "Tippett plot: shares of both labels whose likelihood ratio is at least so large.",
                tippett_plot(given.truth, ratios, evidence.bounds),
            ),
            Chart(
                "risk_coverage",
                "Error rate among the surest clips, over how many are judged.",
                risk_curve(given.truth, given.score, threshold),
            ),
        ],
    )


def _row(evaluation: Evaluation) -> dict[str, Any]:
    row: dict[str, Any] = {
        "detector": evaluation.detector,
        "unit": evaluation.unit,
        "policy": evaluation.config.policy,
        "threshold": evaluation.config.threshold,
        "coverage": evaluation.coverage,
        **evaluation.counts,
        **evaluation.classes,
    }
    for name, figure in evaluation.figures.items():
        row |= {name: figure.value, f"{name} low": figure.low, f"{name} high": figure.high}
    return row
