"""A report is a folder: the table, a row a clip, plots that open."""

import csv
import json
import math
from pathlib import Path

import pytest

from obverse.eval.realism import MEASURES, ClipRealism
from obverse.eval.realism_report import format_table, write_report
from obverse.eval.realism_table import summarise_realism
from obverse.media.still import read_still


def clip(name: str, value: float) -> ClipRealism:
    values = {measure.name: (measure.reference or 1.0) * value for measure in MEASURES}
    values["lip_lag"] = math.nan
    return ClipRealism(Path(name), "ok", values, (3, 4), 2.0, 0.5)


@pytest.fixture
def clips() -> list[ClipRealism]:
    missing = ClipRealism(Path("c.mp4"), "missing", {}, reason="no face")
    return [clip("a.mp4", 0.9), clip("b.mp4", 1.0), missing]


def test_the_text_has_a_line_a_measure_and_says_what_was_not_measured(
    clips: list[ClipRealism],
) -> None:
    lines = format_table(summarise_realism(clips)).splitlines()
    assert len(lines) == len(MEASURES) + 3
    lag = next(line for line in lines if line.startswith("lip_lag"))
    assert "not measured" in lag
    sync = next(line for line in lines if line.startswith("lip_sync *"))
    assert "0.240" in sync  # .95 of .2528
    assert "0.95" in sync
    assert "3 clips: 2 measured, 1 without a face, 0 in error" in lines[-1]
    assert "0.950" in lines[-2]


def test_a_report_holds_rows_a_table_and_plots(clips: list[ClipRealism], tmp_path: Path) -> None:
    folder = tmp_path / "report"
    real = [clip("r.mp4", 1.1)]
    table = summarise_realism(clips, real)
    write_report(folder, table, clips, real)
    with (folder / "realism.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["set"], row["status"]) for row in rows] == [
        ("clips", "ok"),
        ("clips", "ok"),
        ("clips", "missing"),
        ("real", "ok"),
    ]
    assert float(rows[1]["lip_sync"]) == pytest.approx(0.2528)
    assert rows[0]["lip_lag"] == ""
    assert rows[2]["lip_sync"] == ""
    assert (rows[0]["closures_seen"], rows[0]["closures_expected"]) == ("3", "4")
    assert json.loads((folder / "realism.json").read_text()) == table.to_json()
    assert read_still(folder / "distributions.png").std() > 5
    assert (folder / "distributions.svg").read_text().lstrip().startswith("<?xml")
    assert not (folder / "tracks.png").exists()
