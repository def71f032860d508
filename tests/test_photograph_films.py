"""A photograph held still is a film whose frames are that photograph."""

from pathlib import Path

import cv2
import numpy as np

from obverse.generator.photograph_films import hold_photograph
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
