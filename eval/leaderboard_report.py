"""How a board of detectors is told: as lines of text, and as a page."""

from obverse.eval.evaluation import Figure
from obverse.eval.figures import Bar, forest
from obverse.eval.leaderboard import ALPHA, Board, Entry
from obverse.eval.report import Chart, Origin, Report, Section, Table
from obverse.eval.score_report import text_table

__all__ = ["board_report", "board_text"]

_GUESSING = 0.5  # AUC of a detector that knows nothing
_HASH_DIGITS = 12  # of a file's sha256 that the page shows; the whole stands at its foot


def _bounds(figure: Figure) -> tuple[float, float]:
    """Return the wider bounds of both intervals: people who are told apart perfectly have none."""
    assert figure.low is not None
    assert figure.high is not None
    low, high = figure.by_identity or (figure.low, figure.high)
    return min(low, figure.low), max(high, figure.high)


def _interval(figure: Figure) -> str:
    low, high = _bounds(figure)
    return f"{figure.value:.3f} [{low:.3f}, {high:.3f}]"


def _place(board: Board, detector: str, name: str) -> str:
    entry = board.entries[detector, name]
    if not entry.ranked:
        return "too few scores"
    rank = board.ranks.get((detector, name))
    return "alone" if rank is None else str(rank)


def _board_table(board: Board) -> Table:
    columns = ["detector", "judges"]
    for name in board.sets:
        columns += [name, "place"]
    several = len(board.sets) > 1
    rows = []
    for detector in board.detectors:
        own = [board.entries.get((detector, name)) for name in board.sets]
        judged = {entry.table.judges for entry in own if entry is not None}
        row = [detector, ", ".join(sorted(map(str, judged)))]
        for name, entry in zip(board.sets, own, strict=True):
            if entry is None:
                row += ["not tried", ""]
            else:
                auc = _interval(entry.evaluation.figures["auc"])
                row += [auc, _place(board, detector, name)]
        if several:
            mean = board.means.get(detector)
            row.append("" if mean is None else _interval(mean))
        rows.append(row)
    return Table(
        "leaderboard",
        f"AUC with {board.config.level:.0%} bounds, the outer ones of its intervals over clips and "
        "over people, and the places that the clips cannot tell apart.",
        columns + (["mean of sets"] if several else []),
        rows,
    )


def _by_set(board: Board) -> list[tuple[str, Entry]]:
    """Return all entries, set by set, with their names."""
    return [
        (f"{name}: {detector}", entry)
        for name in board.sets
        for detector in board.detectors
        if (entry := board.entries.get((detector, name))) is not None
    ]


def _clips_table(board: Board) -> Table:
    rows, low = [], []
    for number, (name, entry) in enumerate(_by_set(board)):
        found = entry.evaluation
        if not entry.ranked:
            low.append(number)
        rows.append(
            (
                name,
                str(found.classes["synthetic"]),
                str(found.classes["pristine"]),
                "-" if found.identities is None else str(found.identities),
                *(str(found.counts[each]) for each in ("missing", "error", "absent")),
                f"{found.coverage:.1%}",
            )
        )
    return Table(
        "clips",
        "Clips measured, clips without a score (missing: no face; error: unreadable; absent: no "
        f"row), and the share that has one; red: less than {board.min_coverage:.0%}.",
        (
            "set: detector", "synthetic", "pristine", "people", "missing", "error", "absent",
            "coverage",
        ),
        rows,
        frozenset(low),
    )  # fmt: skip


def _measures_table(board: Board) -> Table:
    rows = []
    for name, entry in _by_set(board):
        figures = entry.evaluation.figures
        area = figures["auc"]
        people = area.by_identity
        rows.append(
            (
                name,
                str(area),
                "-" if people is None else f"[{people[0]:.3f}, {people[1]:.3f}]",
                str(figures["eer"]),
                str(figures["tpr@fpr=0.1"]),
            )
        )
    return Table(
        "measures",
        "AUC over clips and over people, EER, and the share of synthetic clips found where 10 % of "
        "the pristine alarm.",
        ("set: detector", "AUC over clips", "over people", "EER", "TPR at FPR 10 %"),
        rows,
    )


def _gaps_table(board: Board) -> Table:
    rows = []
    for gap in board.gaps:
        each = gap.difference
        people = each.by_identity
        rows.append(
            (
                f"{gap.set}: {each.first} - {each.second}",
                str(gap.clips),
                str(each),
                "-" if people is None else f"[{people[0]:+.3f}, {people[1]:+.3f}]",
                f"{each.p:.2g}",
                f"{each.p_holm:.2g}",
                "shown" if gap.shown else "not shown",
            )
        )
    return Table(
        "differences",
        "AUC of the first less that of the second, on the clips that all ranked detectors of the "
        f"set have a score for. A difference is shown where DeLong's p, corrected by Holm for all "
        f"lines, is below {ALPHA:g} and the interval over people, where they are known, leaves 0 "
        "out.",
        ("set: first - second", "clips", "difference", "over people", "p", "p Holm", "difference?"),
        rows,
    )


def _shifts_table(board: Board) -> Table:
    return Table(
        "threshold_shift",
        f"A threshold that lets {board.config.shift_fpr:.0%} of one set's pristine clips alarm, "
        "tried on the others.",
        ("detector", "set on", "tried on", "threshold", "FPR", "TPR"),
        [
            (name, each.source, each.target, f"{each.threshold:.4f}", str(each.fpr), str(each.tpr))
            for name, found in board.shifts.items()
            for each in found
            if each.source != each.target
        ],
    )


def _sources_table(board: Board, origin: Origin) -> Table:
    return Table(
        "sources",
        "Where the scores come from.",
        ("detector", "set", "scores", "sha256", "date", "commit", "source", "note"),
        [
            (
                detector,
                name,
                entry.files[0].name,
                origin.data[str(entry.files[0])][:_HASH_DIGITS],
                entry.card.date,
                entry.card.commit,
                entry.card.source,
                entry.card.note,
            )
            for (detector, name), entry in board.entries.items()
        ],
    )


def _without(board: Board) -> str:
    """Say how many clips have no score."""
    counts = dict.fromkeys(("missing", "error", "absent"), 0)
    for entry in board.entries.values():
        for name in counts:
            counts[name] += entry.evaluation.counts[name]
    policy = board.config.policy
    low = [f"{d} on {s}" for (d, s), entry in board.entries.items() if not entry.ranked]
    text = (
        f"Over all entries {counts['missing']} clips have no face, {counts['error']} could not be "
        f"read and {counts['absent']} have no row; none is given a number in the middle (policy: "
        f"{policy})."
    )
    if wrong := [
        f"{d} on {s}"
        for (d, s), entry in board.entries.items()
        if _bounds(entry.evaluation.figures["auc"])[1] < _GUESSING
    ]:
        text += (
            f" The scores of {', '.join(wrong)} run the wrong way, and are not turned round: which "
            "way they run is for the detector to know."
        )
    if low:
        text += (
            f" Shown and not ranked, for less than {board.min_coverage:.0%} of the clips have a "
            f"score: {', '.join(low)}."
        )
    return text


def _set_chart(board: Board, number: int, name: str) -> Chart:
    def bar(detector: str, entry: Entry) -> Bar:
        area = entry.evaluation.figures["auc"]
        assert area.value is not None
        low, high = _bounds(area)
        place = _place(board, detector, name)
        return Bar(detector, area.value, low, high, bad=not entry.ranked, said=place)

    bars = [
        bar(detector, entry)
        for detector in board.detectors
        if (entry := board.entries.get((detector, name))) is not None
    ]
    lowest = min(each.low for each in bars)
    return Chart(
        f"set_{number}",
        f"AUC on {name}; at the right the places.",
        forest(bars, "AUC", centre=0.5, span=(min(0.45, lowest - 0.02), 1.0)),
    )


def board_text(board: Board) -> str:
    """Return the board as text."""
    tables = [_board_table(board), _clips_table(board), _measures_table(board)]
    tables += [_gaps_table(board)] if board.gaps else []
    tables += [_shifts_table(board)] if any(board.shifts.values()) else []
    return "\n\n".join([*map(text_table, tables), _without(board)])


def board_report(board: Board, origin: Origin, title: str) -> Report:
    """Return the page of a board."""
    shown = sum(gap.shown for gap in board.gaps)
    first = (
        f"{shown} of {len(board.gaps)} differences between two detectors on one set are shown by "
        "their clips; detectors whose difference is not shown share places, however far their "
        "figures lie apart."
        if board.gaps
        else "No set has two detectors with enough scores, so nobody is ranked."
    )
    sections = [
        Section("Leaderboard", [first, _without(board)], [_board_table(board)]),
        Section(
            "Sets",
            tables=[_clips_table(board), _measures_table(board)],
            charts=[_set_chart(board, number, name) for number, name in enumerate(board.sets, 1)],
        ),
    ]
    if board.gaps:
        sections.append(Section("Which differences are shown", tables=[_gaps_table(board)]))
    if any(board.shifts.values()):
        sections.append(
            Section(
                "A threshold on other sets",
                ["A detector that ranks clips well on two sets may still need another threshold "
                 "on each."],
                [_shifts_table(board)],
            )
        )  # fmt: skip
    sections.append(Section("Entries", tables=[_sources_table(board, origin)]))
    clips = {
        (name, clip) for (_, name), entry in board.entries.items() for clip in entry.table.clip
    }
    return Report(
        title=title,
        lead=f"{len(board.detectors)} detectors on {len(board.sets)} sets. Every figure is made "
        "anew from the scores, and stands with its interval.",
        facts=[
            (str(len(board.detectors)), "detectors"),
            (str(len(board.sets)), "sets"),
            (str(len(clips)), "clips"),
            (f"{shown} of {len(board.gaps)}", "differences are shown by the clips"),
        ],
        sections=sections,
        results=board.to_json(),
        row={
            f"{detector} on {name} auc": entry.evaluation.figures["auc"].value
            for (detector, name), entry in board.entries.items()
        },
        origin=origin,
    )
