"""How a comparison of detectors is told: as lines of text, and as a report."""

from collections.abc import Sequence

from obverse.eval.comparison import Comparison, paired
from obverse.eval.figures import Bar, forest, roc_curves
from obverse.eval.report import Chart, Origin, Report, Section, Table
from obverse.eval.score_report import text_table
from obverse.eval.score_table import ScoreTable

__all__ = ["comparison_report", "comparison_text"]

ALPHA = 0.05  # below which a corrected p-value is called a difference


def _values_table(comparison: Comparison) -> Table:
    metrics = list(next(iter(comparison.values.values())))
    return Table(
        "values",
        f"All detectors on the same {comparison.clips} clips.",
        ("detector", *metrics),
        [
            (name, *(f"{comparison.values[name][metric]:.3f}" for metric in metrics))
            for name in comparison.detectors
        ],
    )


def _differences_table(comparison: Comparison) -> Table:
    rows = []
    for each in comparison.differences:
        people = each.by_identity
        rows.append(
            (
                f"{each.first} - {each.second}",
                each.metric,
                str(each),
                "" if people is None else f"[{people[0]:+.3f}, {people[1]:+.3f}]",
                f"{each.p:.2g}",
                f"{each.p_holm:.2g}",
                each.test,
            )
        )
    return Table(
        "differences",
        f"Differences with {comparison.config.level:.0%} intervals by the paired bootstrap over "
        "clips and over identities; p two-sided, and corrected by Holm for all lines. DeLong's "
        "test takes clips as independent: where people repeat, trust the interval over identities.",
        ("first - second", "metric", "difference", "over identities", "p", "p Holm", "test"),
        rows,
    )


def _line(comparison: Comparison) -> str:
    left = ", ".join(f"{count} of {name}" for name, count in comparison.left_out.items() if count)
    return (
        f"{comparison.clips} clips that all have, {comparison.synthetic} synthetic and "
        f"{comparison.pristine} pristine; left out: {left or 'none'}"
    )


def comparison_text(comparison: Comparison) -> str:
    """Return the comparison as text."""
    tables = (_values_table(comparison), _differences_table(comparison))
    return "\n\n".join([_line(comparison), *map(text_table, tables)])


def comparison_report(
    tables: Sequence[ScoreTable], comparison: Comparison, origin: Origin
) -> Report:
    """Return the report of a comparison of these tables."""
    same = paired(tables, comparison.config)
    shown = [each for each in comparison.differences if each.p_holm < ALPHA]
    said = [
        f"{each.first} and {each.second} differ in {each.metric}: {each} (p {each.p_holm:.2g})."
        for each in shown
    ]
    bars = [
        Bar(
            f"{each.metric}: {each.first} - {each.second}", each.value, each.low, each.high,
            bad=each.p_holm < ALPHA, said=f"p {each.p_holm:.2g}",
        )
        for each in comparison.differences
    ]  # fmt: skip
    *most, last = comparison.detectors
    names = f"{', '.join(most)} and {last}"
    return Report(
        title=f"{names} compared",
        lead=f"{_line(comparison)}.",
        facts=[
            (f"{len(shown)} of {len(comparison.differences)}", "differences stand after Holm's "
             "correction"),
            *((f"{comparison.values[name]['auc']:.3f}", f"AUC of {name}")
              for name in comparison.detectors if "auc" in comparison.values[name]),
        ],
        sections=[
            Section(
                "Differences",
                said or ["No difference stands after the correction: these clips do not tell the "
                         "detectors apart."],
                [_values_table(comparison), _differences_table(comparison)],
                [
                    Chart(
                        "differences",
                        "Differences with their intervals over clips; red: p below "
                        f"{ALPHA} after Holm's correction.",
                        forest(bars, "first less second", centre=0.0, span=None),
                    ),
                    Chart(
                        "roc",
                        "ROC curves of all on the same clips.",
                        roc_curves([(each.detector, each.truth, each.score) for each in same]),
                    ),
                ],
            )
        ],
        results=comparison.to_json(),
        row={
            "clips": comparison.clips,
            **{f"{n} {metric}": value for n, each in comparison.values.items()
               for metric, value in each.items()},
        },
        origin=origin,
    )  # fmt: skip
