"""`obverse eval`: stdout is data, the exit code is true."""

import json
from pathlib import Path

import numpy as np
import pytest

from obverse.cli import main
from obverse.eval import realism_tracks
from obverse.eval.dynamics import FPS
from obverse.eval.realism import MEASURES
from obverse.eval.realism_tracks import ClipTracks
from obverse.faces.pose import canonical_face
from obverse.media.video import VideoWriter
from obverse.weights import sha256_file

FRAMES = 60


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def nodding(path: Path) -> ClipTracks:
    """What would be read of a film in which somebody sways."""
    vertices = canonical_face().vertices * 100 + 256
    points = np.concatenate([vertices, np.tile(vertices[:1], (10, 1))])
    track = np.repeat(points[None], FRAMES, axis=0)
    track[:, :, 0] += 8 * np.sin(2 * np.pi * np.arange(FRAMES) / FRAMES)[:, None]
    empty = np.zeros(0, np.float32)
    return ClipTracks(
        sha256_file(path), 512, 512, FPS, track.astype(np.float32), empty, empty, empty,
        np.zeros((0, 128), np.float32), empty,
    )  # fmt: skip


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two films that were read before."""
    folder, cache = tmp_path / "films", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    for name in ("a", "b"):
        path = folder / f"{name}.mp4"
        with VideoWriter(path, 64, 64, FPS) as writer:
            for level in range(4):
                writer.write(np.full((64, 64, 3), 40 * level + ord(name) % 7, np.uint8))
        tracks = nodding(path)
        tracks.save(cache / f"{tracks.sha256}-{realism_tracks.VERSION}.npz")
    monkeypatch.setattr(realism_tracks, "cache_directory", lambda: cache)
    return folder


def test_a_folder_is_measured(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report"
    assert run(["eval", "realism", str(films), "-o", str(report), "--tracks", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"measures", "score", "counts"}
    assert answer["counts"] == {"clips": 2, "ok": 2, "missing": 0, "error": 0}
    assert set(answer["measures"]) == {measure.name for measure in MEASURES}
    motion = answer["measures"]["head_motion"]
    assert motion["value"] == pytest.approx(np.sqrt(8**2 / 2 / 2), rel=0.02)
    assert motion["low"] <= motion["value"] <= motion["high"]
    assert motion["reference"] == pytest.approx(18.46757)
    assert answer["score"]["value"] is None  # a mute film has no silence
    assert {path.name for path in report.iterdir()} == {
        "realism.csv", "realism.json", "distributions.png", "distributions.svg", "tracks.png",
        "tracks.svg",
    }  # fmt: skip
    assert run(["eval", "realism", str(films), "-o", str(report)]) == 2
    assert "--force" in capsys.readouterr().err


def test_a_table_beside_real_clips(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "realism", str(films), "--real", str(films)]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("head_motion"))
    assert "1.00" in line  # as close as can be to itself
    assert "2 real clips, 0 of them not measured" in out


def test_a_damaged_film_is_said_and_the_exit_code_is_1(
    films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "broken.mp4").write_bytes(b"nothing" * 99)
    assert run(["eval", "realism", str(films), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["counts"]["error"] == 1
    assert "broken.mp4" in captured.err


def test_what_cannot_be_done_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", "realism", str(tmp_path / "absent")]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert run(["eval", "realism", str(tmp_path)]) == 2
    assert "holds no film" in capsys.readouterr().err


def test_what_cannot_be_written_is_refused_before_measuring(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object, **__: object) -> None:
        raise AssertionError("it was measured")

    monkeypatch.setattr("obverse.eval.realism.measure_clips", measured)
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for place in (taken, taken / "below"):
        assert run(["eval", "realism", str(films), "-o", str(place)]) == 2
        assert "is a file" in capsys.readouterr().err
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: open("/proc/none/x", "wb"))  # noqa: SIM115
    assert run(["eval", "realism", str(films), "-o", str(tmp_path / "new")]) == 2
    assert "nothing can be written" in capsys.readouterr().err
    assert run(["eval", "realism", str(films), "--seed", "-1"]) == 2
    assert "--seed" in capsys.readouterr().err


def test_it_says_why_there_is_no_score_and_which_films_tremble(
    films: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("obverse.eval.realism.UNSTEADY", -1.0)
    assert run(["eval", "realism", str(films), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["score"]["missing"] == ["silent_lip", "lip_sync"]
    assert "reference: silent_lip, lip_sync" in captured.err
    assert captured.err.count("has a jitter of") == 2
