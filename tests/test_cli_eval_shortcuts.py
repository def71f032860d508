"""`obverse eval shortcuts`: what parts the labels is said, and the exit code says that it was."""

import json
from pathlib import Path

import numpy as np
import pytest

from obverse.cli import main
from obverse.clip import Clip
from obverse.datasets.table import read_clips, write_clips
from obverse.eval import cues
from obverse.media.video import EncodeConfig, VideoWriter

SIDE = 24  # too small for a mark, which would take time to look for


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(each) for each in arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of films whose synthetic half was encoded worse."""
    monkeypatch.setattr(cues, "cache_directory", lambda: tmp_path / "cache")
    rng = np.random.default_rng(0)
    folder = tmp_path / "corpus"
    folder.mkdir()
    clips = []
    for place in range(16):
        synthetic = place % 2 == 1
        path = folder / f"{place:02d}.mp4"
        config = EncodeConfig(crf=40 if synthetic else 18)
        with VideoWriter(path, SIDE, SIDE, 25, config) as writer:
            for _ in range(6):
                writer.write(rng.integers(90, 160, (SIDE, SIDE, 3)).astype(np.uint8))
        clips.append(
            Clip(
                id=f"c{place}",
                path=path.name,
                label="synthetic" if synthetic else "pristine",
                kind="generated" if synthetic else "camera",
                identity=f"p{place // 2}",
                split="test" if place < 8 else "train",
            )
        )
    write_clips(folder / "clips.parquet", clips)
    return folder


def test_a_shortcut_is_found_and_said(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report"
    assert run("eval", "shortcuts", corpus, "--json", "-o", report) == 1
    found = json.loads(capsys.readouterr().out)
    assert {"file_size", "bitrate", "sharpness"} <= set(found["flagged"])
    bitrate = found["cues"]["bitrate"]
    assert bitrate["auc"]["value"] == 0
    assert bitrate["direction"] == "lower in synthetic"
    assert found["cues"]["fps"]["flagged"] is False
    assert found["cues"]["codec"]["flagged"] is False
    assert found["counts"] == {"pristine": 8, "synthetic": 8, "error": 0}
    names = {path.name for path in report.rglob("*")}
    assert {"index.html", "results.csv", "shortcuts.tex", "shortcuts.svg"} <= names
    # The same from what was kept, as a table, of the table.
    assert run("eval", "shortcuts", corpus / "clips.parquet") == 1
    text = capsys.readouterr().out
    assert "SHORTCUT" in text
    assert "cues tell the labels of 8 pristine and 8 synthetic clips apart" in text
    assert run("eval", "shortcuts", corpus, "-o", report) == 2
    assert "--force" in capsys.readouterr().err


def test_sound_is_judged_where_it_is_asked_for(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = corpus / "clips.parquet"
    clips = [
        clip.replace(label="pristine", sound=clip.label, kind="camera")
        for clip in read_clips(table)
    ]
    write_clips(table, clips, force=True)
    assert run("eval", "shortcuts", corpus) == 2
    assert "--sound counts forged sound" in capsys.readouterr().err
    assert run("eval", "shortcuts", corpus, "--sound", "--json") == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["counts"] == {"pristine": 8, "synthetic": 8, "error": 0}
    assert found["judges"] == "picture and sound"
    assert "bitrate" in found["flagged"]
    assert "0/16" in captured.err  # a bar begins with nothing done


def test_a_clip_that_cannot_be_read_is_said(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (corpus / "03.mp4").write_bytes(b"nothing" * 99)
    assert run("eval", "shortcuts", corpus, "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["errors"] == {"pristine": 0, "synthetic": 1}
    assert "03.mp4" in captured.err


def test_what_cannot_be_done_is_said_in_a_sentence(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        ([tmp_path], "holds no clips.parquet"),
        ([tmp_path / "absent.parquet"], "does not exist"),
        ([corpus, "--split", "val"], "no clip is of the split val"),
        ([corpus, "--jobs", "0"], "0 jobs"),
        ([corpus, "--level", "95"], "confidence level"),
    ):
        assert run("eval", "shortcuts", *arguments) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.out == ""
