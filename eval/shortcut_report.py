"""How a shortcut audit is told: as lines of text, and as a report."""

from obverse.eval.figures import Bar, forest
from obverse.eval.report import Chart, Origin, Report, Section, Table
from obverse.eval.score_report import text_table
from obverse.eval.shortcuts import BAND, Finding, ShortcutAudit

__all__ = ["audit_report", "audit_text", "shown_findings", "verdict_line"]

_LONGEST = 34  # letters of a value in the table
_ROOMS = {
    "file": "the file",
    "shape": "length and size",
    "sound": "the sound",
    "picture": "the picture as a whole",
    "mark": "the mark",
    "name": "the name",
}


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def shown_findings(audit: ShortcutAudit) -> list[Finding]:
    """Return findings, those that tell most first."""

    def strength(found: Finding) -> float:
        values = [abs((found.auc.value or 0.5) - 0.5)]
        if found.any_shape is not None and found.any_shape.value is not None:
            values.append(found.any_shape.value - 0.5)
        return max(values)

    return sorted(audit.findings, key=lambda each: (not each.flagged, -strength(each)))


def _table(audit: ShortcutAudit) -> Table:
    ordered = shown_findings(audit)
    return Table(
        "shortcuts",
        f"AUC of each cue with its {audit.level:.0%} interval. A number is taken as it is (above "
        ".5: higher in synthetic clips) and, for any shape, by its tenths; a text and tenths are "
        "worth what they are in clips of other people. Beside it the labels' median, or commonest "
        "value.",
        ("cue", "AUC", "over people", "any shape", "verdict", "pristine", "synthetic"),
        [
            (
                each.cue.name,
                str(each.auc),
                "" if people is None else f"[{people[0]:.3f}, {people[1]:.3f}]",
                "" if each.any_shape is None else str(each.any_shape),
                each.verdict.upper() if each.flagged else each.verdict,
                _short(each.pristine),
                _short(each.synthetic),
            )
            for each, people in ((each, each.auc.by_identity) for each in ordered)
        ],
        frozenset(row for row, each in enumerate(ordered) if each.flagged),
    )


def verdict_line(audit: ShortcutAudit) -> str:
    """Return the verdict in a sentence."""
    counts = audit.counts
    of = f"{counts['pristine']} pristine and {counts['synthetic']} synthetic clips"
    if audit.judged == "picture and sound":
        of += " judged by picture and sound"
    if audit.errors["pristine"] or audit.errors["synthetic"]:
        of += (
            f" ({audit.errors['pristine']} pristine and {audit.errors['synthetic']} synthetic "
            "could not be read)"
        )
    if not audit.flagged:
        count = sum(each.verdict == "open" for each in audit.findings)
        undecided = f"; {count} of them could be one: more clips would tell" if count else ""
        return f"no shortcut among {len(audit.findings)} cues of {of}{undecided}"
    return (
        f"{len(audit.flagged)} of {len(audit.findings)} cues tell the labels of {of} apart: "
        f"{', '.join(audit.flagged)}"
    )


def _together_line(audit: ShortcutAudit) -> str:
    said = [
        f"{name}: {figure.refused or f'AUC {figure}'}" for name, figure in audit.together.items()
    ]
    return f"together, a random forest on people it has not met: {'; '.join(said)}"


def audit_text(audit: ShortcutAudit) -> str:
    """Return the audit as text."""
    return f"{text_table(_table(audit))}\n\n{_together_line(audit)}\n{verdict_line(audit)}"


def _bars(found: Finding) -> list[Bar]:
    bars = []
    for figure, suffix in ((found.auc, ""), (found.any_shape, ", any shape")):
        if figure is None or figure.value is None or figure.low is None or figure.high is None:
            continue
        outside = figure.low > BAND[1] or (
            figure.high < BAND[0] and found.cue.number and not suffix
        )
        bars.append(
            Bar(f"{found.cue.name}{suffix}", figure.value, figure.low, figure.high, outside)
        )
    return bars


def audit_report(audit: ShortcutAudit, name: str, origin: Origin) -> Report:
    """Return the report of an audit of the set called `name`."""
    bars = [bar for each in shown_findings(audit) for bar in _bars(each)]
    rooms = []
    for room, says in _ROOMS.items():
        inside = [each for each in audit.findings if each.cue.room == room]
        if inside:
            named = "; ".join(f"{each.cue.name}: {each.cue.says}" for each in inside)
            rooms.append(f"{says[0].upper() + says[1:]}. {named}.")
    line = verdict_line(audit)
    worst = shown_findings(audit)[0]
    return Report(
        title=f"Shortcuts of {name}",
        lead=f"{line[0].upper() + line[1:]}.",
        facts=[
            (f"{len(audit.flagged)}", f"of {len(audit.findings)} cues are shortcuts"),
            (worst.cue.name, f"tells most: AUC {worst.auc}"),
            (f"{audit.counts['pristine']} + {audit.counts['synthetic']}", "clips, pristine + "
             "synthetic"),
        ],
        sections=[
            Section(
                "What each cue tells",
                [
                    "A detector learns the easiest thing that parts the labels. Between the red "
                    f"lines at {BAND[0]} and {BAND[1]} a cue says nothing worth learning; it is "
                    "called a shortcut where its whole interval lies outside, none where it lies "
                    "inside, and open otherwise. With few clips intervals are wide: no shortcut "
                    "found is not the same as none there. What a picture is like as a whole may be "
                    "the forgery's own trace; a detector could get by with it all the same.",
                    f"What several cues tell {_together_line(audit)}.",
                ],
                [_table(audit)],
                [
                    Chart(
                        "shortcuts",
                        "AUC of each cue with its interval; red lines at the borders of what is "
                        "allowed, shortcuts in red.",
                        forest(bars, "AUC", band=BAND, centre=0.5, span=(-0.02, 1.02)),
                    )
                ],
            ),
            Section("The cues", rooms),
        ],
        results=audit.to_json(),
        row={
            "set": name,
            **audit.counts,
            "shortcuts": " ".join(audit.flagged),
            **{name: figure.value for name, figure in audit.together.items()},
            **{each.cue.name: each.auc.value for each in audit.findings},
        },
        origin=origin,
    )  # fmt: skip
