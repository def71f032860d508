"""What files say is read in order, over threads, and kept for a run that goes on."""

import json
import os
import threading
from pathlib import Path

import pytest
from miniatures import film, picture

from obverse.clip import Clip
from obverse.datasets.adapter import Findings
from obverse.datasets.readings import probe_footage, read_each, with_readings
from obverse.errors import InputError


def _clips(folder: Path, count: int) -> list[Clip]:
    for number in range(count):
        film(folder / f"{number}.mp4")
    return [
        Clip(id=f"{n:032x}", path=f"{n}.mp4", label="pristine", kind="camera") for n in range(count)
    ]


def test_order_is_kept_whatever_the_threads(tmp_path: Path) -> None:
    clips = _clips(tmp_path, 12)
    seen: set[int] = set()

    def read(clip: Clip, _folder: Path) -> dict[str, str]:
        seen.add(threading.get_ident())
        return {"name": clip.path}

    for workers in (1, 3):
        found = list(read_each(clips, tmp_path, read, workers=workers))
        assert [clip for clip, _ in found] == clips
        assert [reading["name"] for _, reading in found] == [clip.path for clip in clips]
    assert threading.main_thread().ident not in seen


def test_a_reading_counts_while_its_file_is_unchanged(tmp_path: Path) -> None:
    clips = _clips(tmp_path, 3)
    kept = tmp_path / "kept.jsonl"
    read: list[str] = []

    def note(clip: Clip, folder: Path) -> dict[str, int]:
        read.append(clip.path)
        return {"bytes": (folder / clip.path).stat().st_size}

    assert len(list(read_each(clips, tmp_path, note, kept=kept))) == 3
    assert len(kept.read_text().splitlines()) == 3
    assert len(list(read_each(clips, tmp_path, note, kept=kept))) == 3
    assert read == ["0.mp4", "1.mp4", "2.mp4"]  # once
    (tmp_path / "1.mp4").write_bytes(b"other")
    os.utime(tmp_path / "2.mp4", ns=(1, 1))
    assert [r["bytes"] for _, r in read_each(clips, tmp_path, note, kept=kept)][1] == 5
    assert read[3:] == ["1.mp4", "2.mp4"]


def test_errors_are_told_and_not_kept(tmp_path: Path) -> None:
    clips = _clips(tmp_path, 2)
    (tmp_path / "1.mp4").unlink()

    def broken(clip: Clip, _folder: Path) -> dict[str, str]:
        raise InputError(f"{clip.path} is damaged.")

    kept = tmp_path / "kept.jsonl"
    (_, damaged), (_, absent) = read_each(clips, tmp_path, broken, kept=kept)
    assert damaged == {"error": "0.mp4 is damaged."}
    assert "1.mp4 cannot be opened" in absent["error"]
    assert kept.read_text() == ""


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    clips = _clips(tmp_path, 1)
    kept = tmp_path / "kept.jsonl"
    for text in ('{"id": "0', "[1]\n", json.dumps({"no": "id"}) + "\n"):
        kept.write_text(text)
        ((_, reading),) = read_each(clips, tmp_path, lambda *_: {"fresh": True}, kept=kept)
        assert reading["fresh"]


@pytest.mark.parametrize("form", ["film", "folder", "still"])
def test_rate_length_and_size(form: str, tmp_path: Path) -> None:
    path = {"film": "a.mp4", "folder": "seq", "still": "a.png"}[form]
    if form == "film":
        film(tmp_path / path)
    else:
        for name in ("1.png", "2.png"):
            picture(tmp_path / "seq" / name)
        picture(tmp_path / "a.png")
    clip = Clip(id="a" * 32, path=path, label="pristine", kind="camera")
    found = probe_footage(clip, tmp_path)
    assert (found["width"], found["height"]) == (48, 48)
    assert found["frames"] == {"film": 6, "folder": 2, "still": 1}[form]
    findings = Findings()
    (read,) = with_readings(
        [clip], tmp_path, findings, sha256=True, details=True, kept=tmp_path / ".kept"
    )
    assert read.sha256
    assert read.width == 48
    assert not findings.counts
