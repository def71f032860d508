"""A photograph held still is a film whose frames are that photograph."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from obverse.generator.photograph_films import hold_photograph, main
from obverse.media.still import write_still
from obverse.media.video import probe, read_frames


def test_every_frame_is_the_photograph(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    picture = rng.integers(40, 200, (9, 11, 3)).astype(np.uint8)
    picture = np.asarray(cv2.resize(picture, (101, 121)), np.uint8)
    write_still(tmp_path / "a.png", picture)
    hold_photograph(tmp_path / "a.png", tmp_path / "a.mp4", 0.8, np.random.default_rng(1))
    about = probe(tmp_path / "a.mp4")
    assert (about.width, about.height, about.has_audio) == (100, 120, True)
    frames = list(read_frames(tmp_path / "a.mp4"))
    assert len(frames) == 20
    shown = picture[:120, :100].astype(float)
    assert max(np.abs(frame - shown).mean() for frame in frames) < 3


def test_the_rest_is_linked_and_no_photograph_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    write_still(photographs / "a.png", np.full((64, 64, 3), 90, np.uint8))
    kept = (photographs / "a.png").read_bytes()
    command = ["films", str(photographs), "-o", str(tmp_path / "films"), "--count", "0", "--rest"]
    for _ in range(2):  # links of a run before are made anew
        monkeypatch.setattr("sys.argv", [*command, str(tmp_path / "rest")])
        main()
        assert (tmp_path / "rest" / "a.png").read_bytes() == kept
    monkeypatch.setattr("sys.argv", [*command, str(photographs)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert (photographs / "a.png").read_bytes() == kept
