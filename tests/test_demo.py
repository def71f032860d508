"""The demo: its plan, its contact sheet, its page, and (slowly) the whole of it."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from obverse.audit.inspection import Inspection
from obverse.cli.contact_sheet import SheetRow, contact_sheet, moments
from obverse.cli.demo import demo_plan, run_demo
from obverse.cli.demo_page import DemoClip, labels_csv, labels_html, page_html
from obverse.clip import Clip, Score
from obverse.errors import InputError, OutputExistsError
from obverse.eval.cues import ClipCues
from obverse.eval.shortcuts import audit_cues
from obverse.eval.summary import summarise
from obverse.generator.plan import lay_out
from obverse.media.video import VideoWriter
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.verify import ManifestReport
from obverse.watermark.extract import MarkReading


def test_the_plan_is_six_sitters_and_twelve_clips() -> None:
    scenes = lay_out(demo_plan())
    assert len({scene.sitter for scene in scenes}) == len({scene.voice for scene in scenes}) == 6
    assert sum(len(scene.ids()) for scene in scenes) == 12
    assert [scene.split for scene in scenes].count("test") == 2


def test_a_contact_sheet_has_a_tile_for_every_picture() -> None:
    red, blue = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = contact_sheet(
        ["a", "b"], [SheetRow("one", (red, blue)), SheetRow("two", (None, red))], 40
    )
    assert sheet.shape[0] % 2 == sheet.shape[1] % 2 == 0
    assert (sheet == (255, 0, 0)).all(-1).sum() == 2 * 40 * 40
    assert (sheet == (0, 0, 255)).all(-1).sum() == 40 * 40


def test_moments_are_spread_over_the_clip(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 64, 64, 25) as writer:
        for index in range(20):
            writer.write(np.full((64, 64, 3), 10 * index, np.uint8))
    levels = [round(float(frame.mean()) / 10) for frame in moments(path, 4)]
    assert levels == [2, 7, 12, 17]
    with pytest.raises(InputError, match="20 frames"):
        moments(path, 21)


def _shown(number: int, label: str, score: float | None) -> DemoClip:
    clip = Clip(
        id=f"{number:032x}",
        path=f"clips/{number}.mp4",
        label="pristine" if label == "pristine" else "synthetic",
        kind="rendered" if label == "pristine" else "generated",
        method=None if label == "pristine" else "talk",
        identity=f"sitter-{number // 2}",
        speaker="flite-<slt>",
        split="train" if score is None else "test",
        frames=75,
        mask_path=f"masks/{number}.png",
    )
    found = Inspection(
        Path(clip.path),
        ManifestReport(state="trusted", payload=number),
        MarkReading(True, number, 40.0, 1e-200, 75),
    )
    return DemoClip(clip, found, None if score is None else _score(clip, score))


def _score(clip: Clip, value: float) -> Score:
    return Score(clip=clip.id, detector="d", status="ok", score=value)


CLIPS = [
    _shown(0, "pristine", None),
    _shown(1, "synthetic", None),
    _shown(2, "pristine", 0.125),
    _shown(3, "synthetic", 0.875),
    _shown(4, "pristine", 0.25),
    _shown(5, "synthetic", 0.875),
]


def test_the_labels_table_can_be_read_by_a_machine() -> None:
    rows = list(csv.DictReader(labels_csv(CLIPS).splitlines()))
    assert [row["label"] for row in rows] == ["pristine", "synthetic"] * 3
    assert rows[3]["score"] == "0.875"
    assert rows[3]["mark"] == f"{3:016x}"
    assert (rows[3]["manifest"], rows[3]["match"], rows[0]["score"]) == ("trusted", "yes", "")
    assert labels_html(CLIPS).count("<tr>") == 7


def test_the_page_is_whole_and_needs_no_network(tmp_path: Path) -> None:
    scored = [item for item in CLIPS if item.score is not None]
    summary = summarise(
        [item.clip for item in scored], [item.score for item in scored if item.score is not None]
    )
    cues = [
        ClipCues(item.clip.id, "ok", {"file_size": float(item.clip.label == "synthetic")}, {})
        for item in CLIPS
    ]
    page = page_html(
        CLIPS,
        tmp_path,
        tmp_path / "corpus",
        sheet="contact-sheet.png",
        summary=summary,
        shipped=summary,
        audit=audit_cues([item.clip for item in CLIPS], cues),
        shortcuts="shortcuts/index.html",
        detector={"network": "tiny"},
        seconds=61.4,
    )
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)
    for item in CLIPS:
        assert f'src="corpus/{item.clip.path}#' in page
        assert f'href="corpus/{item.clip.mask_path}"' in page
        assert item.clip.id in page
    assert 'src="contact-sheet.png"' in page
    assert page.count("<circle") == len(scored)
    assert "flite-&lt;slt&gt;" in page
    assert "flite-<slt>" not in page
    assert summary.auc is not None
    assert str(summary.auc) in page
    assert "6 of 6" in page
    assert "61 s" in page
    assert "file_size: bytes of the file" in page
    assert 'href="shortcuts/index.html"' in page


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputExistsError, match=r"thesis\.tex"):
        run_demo(tmp_path, force=True)
    with pytest.raises(OutputExistsError, match="is a file"):
        run_demo(tmp_path / "thesis.tex")
    done = tmp_path / "done"
    done.mkdir()
    (done / "index.html").write_text("x")
    with pytest.raises(OutputExistsError, match="--force"):
        run_demo(done)
    assert (done / "index.html").read_text() == "x"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    folder = tmp_path / "demo"
    report = run_demo(folder, size=256)
    assert (report.clips, report.well, dict(report.failed)) == (12, 12, {})
    assert sorted(path.name for path in folder.iterdir()) == [
        "contact-sheet.png",
        "corpus",
        "detector",
        "index.html",
        "labels.csv",
        "labels.html",
        "scores.parquet",
        "shipped-scores.parquet",
        "shortcuts",
        "summary.json",
    ]
    page = report.page.read_text()
    for name in re.findall(r"(?:src|href)=\"([^\"]+)\"", page):
        assert (folder / name.partition("#")[0]).is_file(), name
    rows = list(csv.DictReader((folder / "labels.csv").read_text().splitlines()))
    assert [row["manifest"] for row in rows] == ["trusted"] * 12
    assert [row["match"] for row in rows] == ["yes"] * 12
    assert sum(bool(row["score"]) for row in rows) == 4
    summary = json.loads((folder / "summary.json").read_text())["trained here"]
    assert summary["auc"]["low"] <= summary["auc"]["value"] <= summary["auc"]["high"]
