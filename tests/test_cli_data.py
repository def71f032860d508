"""`obverse data`: stdout is data, the exit code is true."""

import csv
import io
import json
from pathlib import Path

import pytest
from miniatures import MINIATURES, film

from obverse.cli import main
from obverse.datasets.catalogue import ADAPTERS
from obverse.datasets.table import read_clips


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def dfdc(tmp_path: Path) -> Path:
    MINIATURES["dfdc"](tmp_path / "set")
    return tmp_path / "set"


def test_every_set_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "sets") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ADAPTERS)
    assert run("data", "sets", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["ffpp"]["official"] == ["train", "val", "test"]


def test_index_then_check_card_shards_and_table(
    dfdc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "clips.parquet"
    index = ("data", "index", "dfdc", dfdc, "-o", table)
    assert run(*index) == 0
    answer = capsys.readouterr()
    assert answer.out == (f"{table}: 6 clips (3 pristine, 3 synthetic; train 2, val 2, test 2)\n")
    assert "1 clip listed but not here, such as dfdc_train_part_0/cccccccccc.mp4" in answer.err
    assert run(*index) == 2
    assert "--force" in capsys.readouterr().err
    assert run(*index, "--force", "--hash", "--probe", "--workers", 2, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["splits"] == {"train": 2, "val": 2, "test": 2, "none": 0}
    assert report["findings"] == {"listed but not here": 1, "here but in no label file": 1}
    assert all(clip.sha256 and clip.frames == 6 for clip in read_clips(table))

    assert run("data", "check", table) == 1
    assert "wrong  DFDC has 119154 clips of split train; here are 2" in capsys.readouterr().out
    assert run("data", "check", table, "--partial", "--files", "open", "--content") == 0
    assert "right  no two clips of different splits look alike" in capsys.readouterr().out
    assert run("data", "check", table, "--json") == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert {problem["kind"] for problem in problems} == {"count"}

    assert run("data", "card", table) == 0
    assert capsys.readouterr().out.startswith("# Card of DFDC\n")
    card = tmp_path / "card.md"
    assert run("data", "card", table, "-o", card) == 0
    assert card.read_text().startswith("# Card of DFDC\n")
    assert run("data", "card", table, "-o", card) == 2
    assert run("data", "card", table, "-o", card, "--force", "--json") == 0

    capsys.readouterr()
    assert run("data", "shards", table, "-o", tmp_path / "shards", "--size", "1MB", "--json") == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 6
    (dfdc / "test/ff.mp4").unlink()
    assert run("data", "shards", table, "-o", tmp_path / "more") == 1
    assert "1 skipped" in capsys.readouterr().out

    assert run("data", "table", table) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["binary"] for row in rows].count("1") == 3
    for name in ("flat.csv", "flat.parquet"):
        assert run("data", "table", table, "-o", tmp_path / name) == 0
        assert (tmp_path / name).is_file()
    assert run("data", "table", table, "-o", tmp_path / "flat.txt") == 2
    capsys.readouterr()
    assert run("data", "table", table, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 6


def test_content_is_compared_by_what_clips_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        film(tmp_path / f"{name}.mp4")
    (tmp_path / "copy.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    rows = "a.mp4,real,train\nb.mp4,real,train\nc.mp4,real,val\ncopy.mp4,fake,test\n"
    (tmp_path / "list.csv").write_text("path,label,split\n" + rows)
    table = tmp_path / "clips.parquet"
    assert run("data", "index", "csv", tmp_path / "list.csv", "-o", table) == 0
    assert run("data", "check", table) == 0
    capsys.readouterr()
    assert run("data", "check", table, "--content") == 1
    said = capsys.readouterr().out
    assert "1 pairs of clips in different splits look alike" in said
    assert "copy.mp4" in said


def test_two_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in ("real", "fake"):
        for person in range(12):
            film(tmp_path / label / f"p{person}" / "1.mp4")
    table = tmp_path / "clips.parquet"
    folders = ("--pristine", tmp_path / "real", "--synthetic", tmp_path / "fake")
    assert run("data", "index", "folders", *folders, "--people", "-o", table) == 0
    split = {clip.identity: clip.split for clip in read_clips(table)}
    assert all(split[clip.identity] == clip.split for clip in read_clips(table))
    keep = ("--keep", "label=pristine", "--splits", "none", "--force")
    assert run("data", "index", "folders", *folders, *keep, "-o", table) == 0
    assert "12 clips (12 pristine, 0 synthetic; train 0, val 0, test 0, none 12)" in (
        capsys.readouterr().out
    )


def test_films_that_cannot_be_read_are_an_exit_code_and_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "real/1.mp4")
    (tmp_path / "fake").mkdir()
    for name in ("1.mp4", "2.mp4", "3.mp4"):
        (tmp_path / "fake" / name).write_bytes(b"no film at all" * 99)
    table = tmp_path / "clips.parquet"
    folders = ("--pristine", tmp_path / "real", "--synthetic", tmp_path / "fake")
    index = ("data", "index", "folders", *folders, "-o", table, "--splits", "none")
    assert run(*index, "--hash", "--probe") == 1
    answer = capsys.readouterr()
    assert "4 clips (1 pristine, 3 synthetic" in answer.out
    (said,) = [line for line in answer.err.splitlines() if line.startswith("obverse: ")]
    assert said.startswith(f"obverse: {tmp_path / 'fake/1.mp4'} cannot be read as video or sound (")
    assert said.endswith("; 2 more clips cannot be read either")
    assert (said.count("1.mp4"), said.count("(")) == (1, 1)
    assert len(read_clips(table)) == 4
    assert run(*index, "--force") == 0  # no file is opened


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("index", "nothing", "."), "there is no set 'nothing'; choose from ffpp"),
        (("index", "ffpp"), "name its folder after the set"),
        (("index", "folders"), "with --pristine and --synthetic"),
        (("index", "ffpp", "absent"), "does not exist"),
        (("index", "ffpp", ".", "--keep", "compression"), "give a name and values"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("data", *arguments, "-o", "clips.parquet") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert run("data", "shards", "absent.parquet", "-o", "x", "--size", "big") == 2
    assert "'big' is no size" in capsys.readouterr().err
