"""`obverse eval metrics` and `compare`: stdout is data, the exit code is true."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from obverse.cli import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(each) for each in arguments])
    return int(caught.value.code or 0)


def scores(path: Path, *, noise: float = 1.0, missing: int = 0, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    lines = ["clip,label,score,status,identity,method"]
    for place in range(240):
        label = place % 2
        score = 1 / (1 + np.exp(-rng.normal(2 * label - 1, noise)))
        said = ",missing" if place < missing else f"{score:.6f},ok"
        method = ("talk", "swap")[place // 2 % 2] if label else ""
        lines.append(f"c{place:03d},{label},{said},p{place // 6},{method}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_metrics_are_printed_as_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scores(tmp_path / "s.csv")
    assert run("eval", "metrics", path, "--json", "--samples", 100) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    truth, score = [int(row[1]) for row in rows], [float(row[2]) for row in rows]
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(truth, score), rel=1e-14)
    assert found["ap"]["value"] == pytest.approx(average_precision_score(truth, score), rel=1e-14)
    assert found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]
    assert found["counts"] == {"ok": 240, "missing": 0, "error": 0, "absent": 0}
    assert found["coverage"] == 1
    assert found["tpr@fpr=0.01"]["value"] <= found["tpr@fpr=0.1"]["value"]
    assert found["tpr@fpr=0.001"]["value"] is None
    assert "it takes at least 1000" in captured.err
    assert {each["value"] for each in found["slices"]} == {"talk", "swap"}
    assert found["worst"]["method"] in ("talk", "swap")
    assert found["evidence"]["elub"][0] < 1 < found["evidence"]["elub"][1]


def test_a_report_is_left_and_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = scores(tmp_path / "s.csv"), tmp_path / "report"
    arguments = ("eval", "metrics", path, "-o", folder, "--samples", 50)
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert "slice" in text
    assert "method=talk" in text
    names = {file.name for file in folder.rglob("*")}
    assert {"index.html", "results.json", "results.csv", "scores.csv", "metrics.tex"} <= names
    assert {"roc.pdf", "slices.svg", "tippett.svg", "reliability.svg", "scores.svg"} <= names
    found = json.loads((folder / "results.json").read_text())
    assert found["origin"]["command"].startswith("obverse eval metrics ")
    assert run(*arguments) == 2
    assert "--force" in capsys.readouterr().err
    assert run(*arguments, "--force") == 0


def test_a_page_shows_nothing_that_so_few_clips_cannot_say(tmp_path: Path) -> None:
    path, folder = tmp_path / "few.csv", tmp_path / "few"
    lines = [f"c{n},{n % 2},{0.3 + 0.02 * n}" for n in range(24)]
    path.write_text("\n".join(["clip,label,score", *lines]))
    assert run("eval", "metrics", path, "-o", folder, "--samples", 50) == 0
    page = (folder / "index.html").read_text()
    tiles = page[page.index('class="facts"') : page.index("</ul>")]
    assert "too few" not in tiles
    assert "found at 10 % false alarms" in tiles  # 12 pristine clips do not show 1 %
    assert "over identities" not in (folder / "tables" / "metrics.csv").read_text()
    known = [f"{line},p{n // 2}" for n, line in enumerate(lines)]
    path.write_text("\n".join(["clip,label,score,identity", *known]))
    assert run("eval", "metrics", path, "-o", folder, "--samples", 50, "--force") == 0
    assert "over identities" in (folder / "tables" / "metrics.csv").read_text()


def test_ones_own_files_are_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    path = scores(folder / "scores.csv")
    before = path.read_bytes()
    assert run("eval", "metrics", path, "-o", folder, "--force") == 2
    assert "holds scores.csv and no report" in capsys.readouterr().err
    report = tmp_path / "report"
    assert run("eval", "metrics", path, "-o", report, "--samples", 50) == 0
    again = run("eval", "metrics", report / "scores.csv", "-o", report, "--force")
    assert again == 2
    assert "lies in the folder of the report" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_too_few_scores_make_the_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scores(tmp_path / "s.csv", missing=60)
    assert run("eval", "metrics", path, "--samples", 20) == 1
    captured = capsys.readouterr()
    assert "60 missing" in captured.out
    assert "wrong" in captured.out  # what it would be under another policy
    assert "75.0% of the clips have a score, below the 90.0%" in captured.err
    assert run("eval", "metrics", path, "--samples", 20, "--min-coverage", 0.7) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "nothing"], "no column 'nothing'"),
        (["--unit", "frame"], "holds no frames"),
        (["--samples", "0"], "0 samples"),
        (["--level", "95"], "confidence level is 95"),
        (["--threshold", "7"], "threshold is 7"),
        (["--detector", "x"], "no column detector"),
        (["--labels", "absent.parquet"], "does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    path, folder = scores(tmp_path / "s.csv"), tmp_path / "report"
    assert run("eval", "metrics", path, "-o", folder, *options) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not folder.exists()


def test_detectors_are_compared_from_files_and_from_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sharp, dull = scores(tmp_path / "sharp.csv", noise=0.8), scores(tmp_path / "dull.csv", noise=4)
    assert run("eval", "compare", sharp, dull, "--json", "--samples", 200) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["detectors"] == ["sharp", "dull"]
    area = next(each for each in found["differences"] if each["metric"] == "auc")
    assert area["low"] > 0
    assert area["p_holm"] < 0.01
    for path in (sharp, dull):
        folder = tmp_path / path.stem
        assert run("eval", "metrics", path, "-o", folder, "--samples", 20) == 0
    capsys.readouterr()
    report = tmp_path / "both"
    arguments = ("eval", "compare", tmp_path / "sharp", tmp_path / "dull", "--samples", 200)
    assert run(*arguments, "--metric", "auc", "-o", report) == 0
    text = capsys.readouterr().out
    assert "sharp - dull" in text
    assert "DeLong" in text
    again = json.loads((report / "results.json").read_text())
    assert again["differences"][0]["value"] == pytest.approx(area["value"])
    assert again["differences"][0]["p_holm"] == again["differences"][0]["p"]  # one test
    (tmp_path / "twin").mkdir()
    twin = scores(tmp_path / "twin" / "sharp.csv", noise=0.9, seed=1)
    assert run("eval", "compare", sharp, twin, "--json", "--samples", 20) == 0
    assert json.loads(capsys.readouterr().out)["detectors"] == [
        f"sharp in {sharp}", f"sharp in {twin}",
    ]  # fmt: skip
    assert run("eval", "compare", sharp) == 2
    assert "at least two" in capsys.readouterr().err
    assert run("eval", "compare", tmp_path, sharp) == 2
    assert "holds no scores.csv" in capsys.readouterr().err
