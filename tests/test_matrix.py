"""Trained on, tried on: cells and costs with closed forms."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from obverse.cli import main
from obverse.errors import ConfigError, InputError
from obverse.eval.matrix import format_matrix, matrix_csv, matrix_of
from obverse.eval.metrics import auc
from obverse.eval.score_table import ScoreTable, read_score_table

METHODS = ("talk", "swap")


def table(folder: Path, name: str, known: tuple[str, ...], seed: int = 0) -> ScoreTable:
    """Write and read scores of a detector that tells the methods it knows, and guesses others."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, str | None, float]] = []
    for person in range(12):
        rows.append((f"p{person}", "pristine", None, 0.3 + 0.1 * rng.random()))
        for method in METHODS:
            score = 0.8 if method in known else 0.3 + 0.1 * rng.random()
            rows.append((f"{method}{person}", "synthetic", method, score))
    frame = pd.DataFrame(rows, columns=["clip", "label", "method", "score"])
    frame["status"] = "ok"
    frame["identity"] = [f"i{i // 3}" for i in range(len(frame))]
    frame.loc[0, ["score", "status"]] = [None, "missing"]
    path = folder / f"{name}.csv"
    frame.to_csv(path, index=False)
    return read_score_table(path)


def test_cells_are_aucs_of_one_method_against_all_pristine_clips(tmp_path: Path) -> None:
    talk, swap = table(tmp_path, "a", ("talk",)), table(tmp_path, "b", ("swap",), 1)
    found = matrix_of({"talk": talk, "swap": swap}, {}, None, samples=200)
    assert found.columns == ("swap", "talk")
    by = {(cell.trained_on, cell.tried_on): cell for cell in found.cells}
    seen, unseen = by["talk", "talk"], by["talk", "swap"]
    assert seen.auc is not None
    assert seen.auc.value == 1
    assert seen.auc.low < 1  # the closed form has a width where the bootstrap has none
    assert unseen.auc is not None
    chosen = np.array([m in ("swap", None) for m in talk.groups["method"]]) & talk.ok
    assert unseen.auc.value == auc(talk.truth[chosen], talk.score[chosen])
    assert unseen.auc.low < unseen.auc.value < unseen.auc.high
    assert (seen.synthetic, seen.pristine, seen.without) == (12, 11, 1)
    lines = matrix_csv(found).splitlines()
    assert len(lines) == 1 + 4
    assert "1.000" in format_matrix(found)


def test_what_leaving_a_method_out_costs(tmp_path: Path) -> None:
    whole, without = table(tmp_path, "w", METHODS), table(tmp_path, "l", ("talk",), 2)
    found = matrix_of({}, {"swap": without}, whole, samples=200)
    (cost,) = found.left_out
    assert cost.seen == 1
    assert cost.cost.value == pytest.approx(cost.seen - cost.unseen)
    assert cost.cost.low <= cost.cost.value <= cost.cost.high
    assert cost.cost.value > 0.2
    assert "identities" in cost.cost.method
    same = matrix_of({}, {"swap": whole}, whole, samples=200).left_out[0]
    assert (same.cost.value, same.cost.low, same.cost.high) == (0, 0, 0)


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    one = table(tmp_path, "a", METHODS)
    with pytest.raises(ConfigError, match="--whole"):
        matrix_of({}, {"swap": one}, None)
    with pytest.raises(ConfigError, match="no scores"):
        matrix_of({}, {}, None)
    with pytest.raises(InputError, match="'dance' was left out"):
        matrix_of({}, {"dance": one}, one)
    with pytest.raises(InputError, match="name no dataset"):
        matrix_of({"all": one}, {}, None, by="dataset")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, known in (("a", METHODS), ("b", ("talk",))):
        table(tmp_path, name, known)
    a, b, out = str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), tmp_path / "cells.csv"
    command = ["eval", "matrix", "--whole", a, "--left-out", f"swap={b}", "-o", str(out), "--json"]
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert not caught.value.code
    answer = json.loads(capsys.readouterr().out)
    assert [cell["trained_on"] for cell in answer["cells"]] == ["all"] * 2 + ["all but swap"] * 2
    assert len(out.read_text().splitlines()) == 5
    for more, said in (
        (command, "--force"),
        (["eval", "matrix", "--trained-on", a], "give NAME=FILE"),
        (["eval", "matrix", "--trained-on", f"x={a}", "--trained-on", f"x={b}"], "twice"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(more)
        assert caught.value.code == 2
        assert said in capsys.readouterr().err
