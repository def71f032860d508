"""`obverse train detector` and `obverse detect`: stdout is data, the exit code is true."""

import json
from pathlib import Path

import pytest

from obverse.cli import main
from obverse.datasets.table import read_scores


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


@pytest.mark.usefixtures("same_face")
def test_train_then_detect(
    film_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder, table = tmp_path / "run", tmp_path / "scores.parquet"
    brief = ["--epochs", "1", "--steps", "2", "--pairs", "2", "--crop", "32", "--frames", "2"]
    train = ["train", "detector", "--data", str(film_table), "-o", str(run_folder)]
    assert run([*train, *brief, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["clips"] == {"train": 6, "val": 2}
    assert run([*train, *brief]) == 2
    assert "--force" in capsys.readouterr().err

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
    assert run(["detect", str(film), "--run", str(run_folder), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["scores"]
    assert 0 <= row["score"] <= 1
    assert row["path"] == str(film)


def test_what_cannot_be_done_is_said_in_a_sentence(
    film_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = str(film_table.parent / "pristine0.mp4")
    for arguments, said in (
        (["detect", "absent.mp4", "--run", str(tmp_path)], "absent.mp4"),
        (["detect", film, "--run", str(tmp_path)], "no finished training run"),
        (["detect", film, "--run", str(tmp_path), "--split", "test"], "films have no split"),
        (["detect", str(film_table), film, "--run", str(tmp_path)], "score it alone"),
        (["train", "detector", "--data", film, "-o", str(tmp_path / "run")], "not a parquet"),
    ):
        assert run(arguments) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.out == ""
