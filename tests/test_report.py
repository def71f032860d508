"""A report is one page that needs no network, tables, vectors, and a row that says where from."""

import csv
import json
import re
from pathlib import Path

import pytest

from obverse.errors import ConfigError, OutputExistsError
from obverse.eval.figures import Bar, forest
from obverse.eval.report import (
    Chart,
    Origin,
    Report,
    Section,
    Table,
    csv_text,
    latex_text,
    origin_of,
    require_place,
    write_report,
)

TABLE = Table("cues", "All <cues> & 5 %.", ("cue", "AUC"), [("file_size", "0.5"), ("a&b", "1")])


def report(origin: Origin) -> Report:
    bars = [Bar("one", 0.5, 0.4, 0.6), Bar("two", 0.9, 0.8, 0.95, bad=True, said="12 + 12")]
    charts = [Chart(name, f"Figure {name}.", forest(bars, "AUC")) for name in ("left", "right")]
    return Report(
        title="What <was> found",
        lead="Lead.",
        facts=[("0.5", "AUC")],
        sections=[Section("Part", ["Text & more."], [TABLE], charts)],
        results={"auc": 0.5},
        row={"auc": 0.5},
        origin=origin,
    )


def test_a_folder_holds_the_whole_report(tmp_path: Path) -> None:
    data = tmp_path / "scores.csv"
    data.write_text("clip\n")
    origin = origin_of([data], "obverse eval metrics scores.csv")
    folder = tmp_path / "report"
    write_report(folder, report(origin))
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "index.html", "results.json", "results.csv", "tables/cues.csv", "tables/cues.tex",
        "figures/left.svg", "figures/left.pdf", "figures/right.svg", "figures/right.pdf",
    }  # fmt: skip
    found = json.loads((folder / "results.json").read_text())
    assert found["auc"] == 0.5
    assert found["origin"]["data"] == {str(data): origin.data[str(data)]}
    with (folder / "results.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert list(row) == ["date", "commit", "data", "command", "auc"]
    assert row["data"] == origin.data[str(data)]
    assert row["command"] == "obverse eval metrics scores.csv"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["date"])


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    write_report(tmp_path, report(Origin("d", "c", {}, "x")))
    page = (tmp_path / "index.html").read_text()
    assert page.count("<svg ") == 2
    assert "What &lt;was&gt; found" in page
    assert "Text &amp; more." in page
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert (tmp_path / name).is_file(), name
    assert not re.findall(r"(?:src|href)=\"https?:", page.replace("xlink:href", ""))
    # Two drawings use the same names inside; on one page they may not.
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', page))
    assert used <= set(names)


def test_the_same_drawing_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(tmp_path / name, report(Origin("d", "c", {}, "x")))
    for suffix in ("svg", "pdf"):
        one, two = (tmp_path / n / "figures" / f"left.{suffix}" for n in ("a", "b"))
        assert one.read_bytes() == two.read_bytes()


def test_tables_are_csv_and_latex() -> None:
    assert csv_text(TABLE) == "cue,AUC\nfile_size,0.5\na&b,1\n"
    text = latex_text(TABLE)
    assert r"\toprule" in text
    assert r"file\_size & 0.5 \\" in text
    assert r"a\&b & 1 \\" in text
    assert r"\caption{All \textless{}cues\textgreater{} \& 5 \%.}" in text
    with pytest.raises(ConfigError, match="do not fit"):
        Table("x", "", ("a", "b"), [("1",)])


def test_a_report_is_not_replaced_unasked(tmp_path: Path) -> None:
    require_place(tmp_path / "new", force=False)
    write_report(tmp_path / "new", report(Origin("d", "c", {}, "x")))
    with pytest.raises(OutputExistsError, match="--force"):
        require_place(tmp_path / "new", force=False)
    require_place(tmp_path / "new", force=True)
    (tmp_path / "mine").mkdir()
    require_place(tmp_path / "mine", force=False)
    (tmp_path / "mine" / "scores.csv").write_text("my own")
    for force in (False, True):
        with pytest.raises(OutputExistsError, match=r"holds scores\.csv and no report"):
            require_place(tmp_path / "mine", force=force)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        require_place(tmp_path / "file" / "below", force=False)
