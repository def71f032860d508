"""The report of any evaluation: one page that needs no network, tables for papers, vector figures,
and a row of results that says when, by which code, on which data and by which command.

Every part of `obverse eval` that leaves a report makes a `Report` and hands it to `write_report`.
"""

import csv
import dataclasses
import datetime
import hashlib
import html
import importlib.resources
import io
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib

import obverse
from obverse.errors import ConfigError, OutputExistsError
from obverse.files import draft_of, write_whole
from obverse.weights import sha256_file

__all__ = [
    "Chart",
    "Origin",
    "Report",
    "Section",
    "Table",
    "commit_of",
    "csv_text",
    "latex_text",
    "origin_of",
    "require_place",
    "results_row",
    "write_report",
]

PAGE, RESULTS, ROW = "index.html", "results.json", "results.csv"
TABLES, FIGURES = "tables", "figures"
VECTOR = ("svg", "pdf")

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "\u2212": "$-$", "\u00d7": r"$\times$",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where results come from: with it they can be made again."""

    date: str  # UTC
    commit: str  # of this package, or its version where it is no checkout
    data: Mapping[str, str]  # name of a file -> its sha256
    command: str


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table as text."""

    name: str  # of its files
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    flagged: frozenset[int] = frozenset()  # rows that are wrong

    def __post_init__(self) -> None:
        """Refuse rows that do not fit."""
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ConfigError(f"table {self.name} has rows that do not fit its columns.")


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """A figure of matplotlib."""

    name: str  # of its files
    caption: str
    figure: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """A part of the page."""

    heading: str
    text: Sequence[str] = ()  # paragraphs
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What is left of an evaluation."""

    title: str
    lead: str
    facts: Sequence[tuple[str, str]]  # figure and what it is, at the top of the page
    sections: Sequence[Section]
    results: Mapping[str, Any]  # what `--json` prints
    row: Mapping[str, Any]  # the figures of the row of results
    origin: Origin


def origin_of(files: Sequence[Path], command: str) -> Origin:
    """Return where results of some files come from, as of now."""
    now = datetime.datetime.now(datetime.UTC)
    return Origin(
        date=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit=commit_of(),
        data={str(path): sha256_file(path) for path in files},
        command=command,
    )


def commit_of() -> str:
    """Return the commit of this package, or its version where it is no checkout."""
    version = f"obverse {obverse.__version__}"
    folder = Path(obverse.__file__).resolve().parents[1]
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return version
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else version


def require_place(folder: Path, *, force: bool, holds: str = RESULTS) -> None:
    """Refuse a folder that cannot be written, or holds anything but a report that may be replaced.

    Args:
        folder: of the report.
        force: replace a report that is there; what is no report is never replaced.
        holds: the file by which a report is known.

    Raises:
        ConfigError: it is a file, or nothing can be written there.
        OutputExistsError: it holds a report, and `force` is not set, or something else.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise ConfigError(f"{there} is a file, and the report needs a folder; give another one.")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or "refused"
        raise ConfigError(
            f"nothing can be written into {there} ({reason}); give another folder for the report."
        ) from error
    if (folder / holds).exists():
        if not force:
            raise OutputExistsError(f"{folder} holds a report; use --force to replace it.")
        return
    if folder.is_dir() and (foreign := sorted(path.name for path in folder.iterdir())):
        raise OutputExistsError(
            f"{folder} holds {foreign[0]} and no report; name an empty or a new folder."
        )


def csv_text(table: Table) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue()


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def latex_text(table: Table) -> str:
    """Return a table as LaTeX with the rules of booktabs, first column to the left."""

    def line(cells: Sequence[str]) -> str:
        return "  " + " & ".join(_escaped(cell) for cell in cells) + r" \\"

    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(table.caption)}}}",
            rf"\label{{tab:{table.name}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            line(table.columns),
            r"\midrule",
            *map(line, table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _digest(data: Mapping[str, str]) -> str:
    """Return one hash of all data: of the files' hashes, whatever the files are called."""
    if len(data) == 1:
        return next(iter(data.values()))
    return hashlib.sha256("".join(sorted(data.values())).encode()).hexdigest()


def results_row(report: Report) -> dict[str, Any]:
    """Return one row that says all that is needed to compare and to repeat."""
    origin = report.origin
    return {
        "date": origin.date,
        "commit": origin.commit,
        "data": _digest(origin.data),
        "command": origin.command,
        **report.row,
    }


def write_report(folder: Path, report: Report) -> None:
    """Write page, tables, figures and results into `folder`, which is made if absent.

    `results.json` comes last: a folder with it holds a whole report.
    """
    results = {**report.results, "origin": dataclasses.asdict(report.origin)}
    text = json.dumps(results, indent=2, allow_nan=False)
    (folder / RESULTS).unlink(missing_ok=True)
    for name in (TABLES, FIGURES):
        (folder / name).mkdir(parents=True, exist_ok=True)
    drawn: dict[str, str] = {}
    for section in report.sections:
        for table in section.tables:
            stem = folder / TABLES / table.name
            write_whole(stem.with_suffix(".csv"), csv_text(table))
            write_whole(stem.with_suffix(".tex"), latex_text(table))
        for chart in section.charts:
            drawn[chart.name] = _draw(chart, folder / FIGURES)
    row = results_row(report)
    line = io.StringIO()
    writer = csv.DictWriter(line, list(row))
    writer.writeheader()
    writer.writerow(row)
    write_whole(folder / ROW, line.getvalue())
    write_whole(folder / PAGE, _page(report, drawn))
    write_whole(folder / RESULTS, text + "\n")


def _draw(chart: Chart, folder: Path) -> str:
    """Write a figure as vectors and return it as SVG for the page."""
    for suffix in VECTOR:
        undated = {"Date": None} if suffix == "svg" else {"CreationDate": None}
        # The same drawing gives the same bytes.
        with (
            matplotlib.rc_context({"svg.hashsalt": "obverse"}),
            draft_of(folder / f"{chart.name}.{suffix}", ending=f".{suffix}") as draft,
        ):
            chart.figure.savefig(draft, metadata=undated)
    text = (folder / f"{chart.name}.svg").read_text(encoding="utf-8")
    drawing = text[text.index("<svg") :]
    # Several drawings on one page: what one calls its parts, another may too.
    drawing = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{chart.name}-", drawing)
    label = html.escape(chart.caption, quote=True)
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _page(report: Report, drawn: Mapping[str, str]) -> str:
    text = (importlib.resources.files("obverse.eval") / "report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text).render(
        report=report, drawn=drawn, version=obverse.__version__, tables=TABLES, figures=FIGURES
    )
