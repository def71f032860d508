"""Films to train the learned mark on: unmarked, of several sides, and made again alike."""

from pathlib import Path

import numpy as np
import pytest

from obverse.generator.mark_films import SIDES_PX, film_sitter, handheld, main, spread
from obverse.media.still import write_still
from obverse.media.video import read_frames
from obverse.watermark.geometry import SIZES, size_for


def test_no_photograph_is_one_of_the_benchmarks() -> None:
    for total in (300, 571, 1000):
        taken = spread(total, 48)
        assert len(set(taken)) == 48
        assert 0 <= min(taken) <= max(taken) < total
        assert not set(taken) & {total * number // 6 for number in range(6)}


def test_sides_have_marks_of_every_size() -> None:
    assert {size_for(side, side) for side in SIDES_PX} == set(SIZES)


def test_a_hand_strays_and_shows_no_border() -> None:
    side = 96
    ramp = np.add.outer(np.arange(side), np.arange(side)) + 20
    still = np.repeat(ramp.astype(np.uint8)[..., None], 3, 2)
    seen = [list(handheld([still] * 60, np.random.default_rng(seed))) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.abs(np.subtract(seen[0][0], seen[0][-1], dtype=int)).max() >= 1
    assert np.abs(np.subtract(seen[0][-1], seen[2][-1], dtype=int)).max() >= 1
    for frame in seen[0]:
        # A ramp stays one: what a border would bring in runs the other way.
        assert (np.diff(frame[..., 0].astype(int), axis=0) >= 0).all()
        assert (np.diff(frame[..., 0].astype(int), axis=1) >= 0).all()


def test_films_are_written_and_a_photograph_that_cannot_be_moved_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("obverse.generator.mark_films.FRAMES", 3)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    write_still(photographs / "wall.png", np.full((256, 256, 3), 90, np.uint8))
    folder = tmp_path / "films"
    command = ["films", str(photographs), "-o", str(folder), "--sitters", "1", "--count"]
    monkeypatch.setattr("sys.argv", [*command, "1"])
    main()
    assert "wall.png was left out" in capsys.readouterr().err
    (film,) = folder.iterdir()
    frames = list(read_frames(film))
    assert len(frames) == 3
    assert frames[0].shape == (SIDES_PX[0], SIDES_PX[0], 3)
    # What the camera, the hand and the encoder leave of the sitter.
    drawn = next(iter(film_sitter(1, SIDES_PX[0])))
    assert np.corrcoef(frames[0].ravel(), drawn.ravel())[0, 1] > 0.8
    monkeypatch.setattr("sys.argv", [*command, "2"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "lower --count" in capsys.readouterr().err
