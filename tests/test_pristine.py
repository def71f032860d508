"""A folder of films and pictures becomes pristine clips of two splits."""

from pathlib import Path

import numpy as np
import pytest

from obverse.detector.pristine import clips_of_folder, films_in
from obverse.errors import InputError
from obverse.media.still import write_still


def test_every_picture_is_a_clip_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "deep").mkdir()
    for number in range(12):
        place = tmp_path / "deep" if number % 2 else tmp_path
        write_still(place / f"{number}.png", rng.integers(0, 255, (8, 8, 3)).astype(np.uint8))
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    assert len(films_in(tmp_path)) == 13
    clips = clips_of_folder(tmp_path)
    assert len(clips) == 12
    assert {clip.split for clip in clips} == {"train", "val"}
    assert {clip.label for clip in clips} == {"pristine"}
    assert clips == clips_of_folder(tmp_path)


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no films"):
        clips_of_folder(tmp_path)
    write_still(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="at least 2"):
        clips_of_folder(tmp_path)
