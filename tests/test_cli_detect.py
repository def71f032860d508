"""Training, export and scoring from the command line: stdout is data, the exit code is true."""

import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from obverse.cli import main
from obverse.datasets.footage import read_footage
from obverse.datasets.table import read_clips, read_scores, write_clips
from obverse.media.still import write_still


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


BRIEF = ["--epochs", "1", "--steps", "2", "--pairs", "2", "--crop", "32", "--frames", "2"]
TINY = ["--backbone", "test_resnet", *BRIEF]


@pytest.mark.usefixtures("same_face")
def test_train_export_then_detect(
    film_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder, table = tmp_path / "run", tmp_path / "scores.parquet"
    train = ["train", "detector", "--data", str(film_table), "-o", str(run_folder), *TINY]
    assert run([*train, "--json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["clips"] == {"train": 6, "val": 2}
    assert "not calibrated" in captured.err
    bars = re.findall(r"(\w+): 100%", captured.err)  # each closed when its work is done
    assert list(dict.fromkeys(bars)) == ["cut", "train"]
    assert run(train) == 2
    assert "--force" in capsys.readouterr().err

    model = tmp_path / "model.onnx"
    assert run(["export", str(run_folder), "-o", str(model)]) == 0
    assert "crops [N, 32, 32, 3]" in capsys.readouterr().out
    assert run(["export", str(run_folder), "-o", str(model), "--json", "--force"]) == 0
    assert json.loads(capsys.readouterr().out)["difference"] < 1e-3

    detect = ["detect", str(film_table), "--run", str(run_folder)]
    assert (
        run([*detect, "--split", "test", "-o", str(table), "--json"]) == 1
    )  # one missing, one error
    answer = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in answer["scores"]] == ["ok"] * 4 + ["missing", "error"]
    assert answer["summary"]["missing"] == answer["summary"]["errors"] == 1
    assert answer["summary"]["auc"]["low"] <= answer["summary"]["auc"]["value"]
    assert [score.status for score in read_scores(table)] == ["ok"] * 4 + ["missing", "error"]
    assert run([*detect, "-o", str(table)]) == 2

    capsys.readouterr()
    assert run([*detect, "--split", "val"]) == 0
    assert "AUC" in capsys.readouterr().out
    assert run([*detect, "--split", "test"]) == 1
    (damaged,) = [line for line in capsys.readouterr().out.splitlines() if "error: " in line]
    assert damaged.startswith("damaged.mp4  error: ")
    assert damaged.count("damaged.mp4") == 1
    assert str(film_table.parent) not in damaged
    film = film_table.parent / "pristine0.mp4"
    why = tmp_path / "why"
    assert run(["detect", str(film), "--run", str(model), "--json", "--explain", str(why)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert 0 <= row["score"] <= 1
    assert (row["status"], row["verdict"], row["lr"]) == ("ok", "cannot tell", None)
    assert row["path"] == str(film)
    assert (why / "timeline.png").is_file()


@pytest.mark.usefixtures("same_face")
def test_a_folder_is_scored_and_a_pristine_one_learned_from(
    film_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(4):
        name = f"pristine{number}.mp4"
        (films / name).write_bytes((film_table.parent / name).read_bytes())
    run_folder = tmp_path / "run"
    train = ["train", "detector", "--data", str(films), "-o", str(run_folder), *TINY]
    assert run(train) == 2
    assert "is a folder" in capsys.readouterr().err
    assert run([*train, "--kind", "selfblend"]) == 0
    capsys.readouterr()
    assert run(["detect", str(films), "--run", str(run_folder), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["scores"]) == 4
    assert answer["summary"] is None


def _as_pictures(film_table: Path, folder: Path) -> Path:
    """Write the films' frames as pictures, of every other clip into a tar; returns the table."""
    clips = []
    for number, clip in enumerate(read_clips(film_table)):
        place = folder / f"frames/{clip.id}"
        place.mkdir(parents=True)
        if clip.id == "damaged":
            (place / "1.png").write_bytes(b"not a picture at all")
        else:
            for index, image in enumerate(read_footage(clip, film_table.parent)):
                write_still(place / f"{index + 8}.png", image)
        where: dict[str, str] = {"path": f"frames/{clip.id}"}
        if number % 2:
            with tarfile.open(folder / "wild.tar", "a") as archive:
                archive.add(place, f"1/{clip.label}/{number}")
            shutil.rmtree(place)
            where = {"path": "wild.tar", "member": f"1/{clip.label}/{number}"}
        clips.append(clip.replace(**where))
    write_clips(folder / "wild.parquet", clips)
    return folder / "wild.parquet"


@pytest.mark.usefixtures("same_face")
def test_pictures_in_folders_tars_and_shards_are_clips_as_films_are(
    film_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, run_folder, crops = _as_pictures(film_table, tmp_path), tmp_path / "run", tmp_path / "c"
    train = ["train", "detector", "--data", str(table), "-o", str(run_folder), *TINY]
    assert run([*train, "--json", "--crops", str(crops)]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == {"train": 6, "val": 2}

    def scored(given: Path, *more: str) -> list[dict[str, Any]]:
        arguments = ["detect", str(given), "--run", str(run_folder), "--json", *more]
        assert run(arguments) == 1  # one missing, one error
        rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["scores"]
        return sorted(rows, key=lambda row: str(row["clip"]))

    films = scored(film_table)
    wild = scored(table, "--crops", str(crops))
    assert [row["score"] for row in wild] == [row["score"] for row in films]
    assert [row["status"] for row in wild] == [row["status"] for row in films]
    by_clip = {row["clip"]: row for row in wild}
    assert by_clip["black"]["status"] == "missing"
    assert "1.png" in by_clip["damaged"]["reason"]
    assert by_clip["synthetic0"]["path"] == "wild.tar/1/synthetic/1"
    kept = sorted(crops.rglob("*.safetensors"))
    assert len(kept) == 13

    assert run(["data", "shards", str(table), "-o", str(tmp_path / "shards")]) == 0
    packed = tmp_path / "packed.parquet"
    assert run(["data", "index", "shards", str(tmp_path / "shards"), "-o", str(packed)]) == 0
    capsys.readouterr()
    why = ["--explain", str(tmp_path / "why")]
    again = scored(packed, "--crops", str(crops), *why)
    assert [row["score"] for row in again] == [row["score"] for row in films]
    assert sorted(crops.rglob("*.safetensors")) == kept  # packed, and cut already
    assert (tmp_path / "why" / "synthetic0" / "worst-0.png").is_file()


def test_what_cannot_be_done_is_said_in_a_sentence(
    film_table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("obverse.detector.runs.SHIPPED", ())
    film = str(film_table.parent / "pristine0.mp4")
    folder = str(tmp_path / "run")
    for arguments, said in (
        (["detect", "absent.mp4", "--run", str(tmp_path)], "absent.mp4"),
        (["detect", film], "no trained detector ships"),
        (["detect", film, "--run", str(tmp_path)], "no finished training run"),
        (["detect", film, "--run", str(tmp_path), "--split", "test"], "films have no split"),
        (["detect", str(film_table), film, "--run", str(tmp_path)], "score it alone"),
        (["detect", str(tmp_path), "--run", str(tmp_path)], "holds no films"),
        (["train", "detector", "--data", film, "-o", folder], "not a parquet"),
        (
            ["train", "detector", "--data", str(film_table), "-o", folder, "--member", "a"],
            "for a fusion",
        ),
        (
            ["train", "detector", "--data", str(film_table), "-o", folder, "--kind", "fusion"],
            "two or more",
        ),
        (["train", "calibration", folder, "--data", str(film_table)], "no finished"),
        (["export", folder, "-o", "x.onnx"], "no finished"),
    ):
        assert run(arguments) == 2, arguments
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.out == ""
