"""The grid of attacks does what its names say, and goes on where it was."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage

from obverse.errors import InputError

ROOT = Path(__file__).parents[1]
Frame = npt.NDArray[np.uint8]


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))  # scripts are not installed
    return __import__("benchmarks.mark_grid", fromlist=["report"])


@pytest.fixture
def attacks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return __import__("benchmarks.mark_attacks", fromlist=["undone"])


def _frames(count: int, width: int = 160, height: int = 128) -> Iterator[Frame]:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 1, (height, width, 3))
    smooth = scipy.ndimage.gaussian_filter(noise, (6, 6, 0))
    picture = 128 + 50 * smooth / smooth.std() + 3 * noise
    for number in range(count):
        yield np.clip(picture + number, 0, 255).astype(np.uint8)


def test_rates_take_the_frames_of_their_times(attacks: ModuleType) -> None:
    levels = [np.full((2, 2, 3), 10 * number, np.uint8) for number in range(26)]

    def after(fps: int, blended: bool) -> list[int]:
        return [int(frame[0, 0, 0]) for frame in attacks._at_rate(fps, blended=blended)(levels)]

    assert after(25, True) == after(25, False) == [10 * number for number in range(26)]
    assert after(15, False)[:4] == [0, 20, 30, 50]  # at 0, 1.67, 3.33 and 5 frames
    assert after(50, True)[:5] == [0, 5, 10, 15, 20]
    assert (len(after(15, False)), len(after(60, True))) == (16, 61)
    lost = list(attacks._dropped(1 / 3)(levels))
    assert lost[0] is levels[0]
    assert 10 <= len(lost) < 26


def test_what_moved_a_picture_can_be_undone(attacks: ModuleType) -> None:
    (frame,) = _frames(1, 320, 256)
    for name in ("perspective 5 %", "trapezium 5 %", "rotate 10", "crop .71", "picture in picture"):
        attack = attacks.AFTER_RELEASE[name]
        moved = attack.change([frame])
        (back,) = attacks.undone(moved, attack, 320, 256)
        seen = back.astype(float).sum(axis=2) > 0  # what was cut off is black
        seen = scipy.ndimage.binary_erosion(seen, iterations=4)
        assert seen.mean() > 0.4, name
        assert np.abs(back[seen].astype(float) - frame[seen]).mean() < 4, name


def test_cells_are_kept_and_gone_on_with(
    grid: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = __import__("benchmarks.mark_clips", fromlist=["Source"])
    source = clips.Source("drift", "made here", lambda: _frames(3, 448, 448))
    keep = tmp_path / "grid.csv"

    def go_on(*attacks: str, again: bool = False, lost: bool = False) -> None:
        options = grid.argparse.Namespace(keep=keep, again=again, lost=lost)
        grid._go_on(source, attacks, options)

    go_on("as released")
    first = keep.read_text()
    keep.write_text(first + "drift,made he")  # killed while it wrote
    go_on("as released", "crop .71")
    assert keep.read_text().startswith(first)
    rows = grid.rows_of(keep)
    assert list(rows) == [("drift", "as released"), ("drift", "crop .71")]
    assert {row["whole"] for row in rows.values()} == {"1"}
    go_on("as released", "crop .71", lost=True)
    assert grid.rows_of(keep) == rows
    # Of two rows of one cell the later one counts.
    keep.write_text(keep.read_text() + first.splitlines()[1].replace(",1,", ",0,", 1) + "\n")
    assert grid.rows_of(keep)["drift", "as released"]["whole"] == "0"
    go_on("as released", "crop .71", lost=True)
    assert grid.rows_of(keep)["drift", "as released"]["whole"] == "1"
    capsys.readouterr()


def test_a_report_holds_each_share_against_its_goal(grid: ModuleType) -> None:
    def row(clip: str, attack: str, whole: str) -> dict[str, str]:
        empty = dict.fromkeys(grid._COLUMNS, "")
        return empty | {
            "clip": clip,
            "attack": attack,
            "whole": whole,
            "z": "20",
            "told_z": "" if whole == "1" else "9.5",
        }

    rows = [row(str(clip), "CRF 40", "01"[clip < 6]) for clip in range(10)]
    rows += [row(str(clip), "CRF 28", "01"[clip < 9]) for clip in range(10)]
    result = grid.report(rows)["attacks"]
    assert (result["CRF 40"]["back"], result["CRF 40"]["met"]) == (6, True)
    assert (result["CRF 28"]["back"], result["CRF 28"]["met"]) == (9, False)
    assert result["CRF 28"]["lost"] == ["9"]
    assert result["CRF 28"]["told_z"] == {"9": 9.5}
    low, high = result["CRF 40"]["interval"]
    assert (low, high) == pytest.approx((0.313, 0.832), abs=0.001)  # Wilson (1927)


def test_a_file_of_another_kind_is_left_alone(grid: ModuleType, tmp_path: Path) -> None:
    keep = tmp_path / "grid.csv"
    keep.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no grid"):
        grid.rows_of(keep)
    assert grid.rows_of(tmp_path / "absent.csv") == {}


def test_a_folder_without_recordings_is_refused(grid: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no mp4"):
        grid.sources(tmp_path, None, 0)


def test_its_help_lists_each_attack_once(
    grid: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["mark_grid", "--help"])
    with pytest.raises(SystemExit) as ended:
        grid.main()
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert all(attack in told for attack in grid.ATTACKS)
    assert told.count("crop .55") == told.count("perspective 2 %") == 1
