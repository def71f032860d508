"""Training, export and scoring from the command line: stdout is data, the exit code is true."""

import json
from pathlib import Path

import pytest

from obverse.cli import main
from obverse.datasets.table import read_scores


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
