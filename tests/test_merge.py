"""Tables of several sets become one: paths still lead to files, and nothing is there twice."""

from pathlib import Path

import pytest
from miniatures import MINIATURES

from obverse.cli import main
from obverse.datasets.adapter import Findings, Place
from obverse.datasets.check import CheckConfig, check_tables
from obverse.datasets.index import IndexConfig, index_set
from obverse.datasets.merge import merge_tables
from obverse.datasets.set_card import set_card
from obverse.datasets.table import clip_path, read_clips
from obverse.errors import ConfigError, InputError, OutputExistsError


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Return the tables of FaceForensics++ and of DeeperForensics with its pristine clips."""
    for name in ("ffpp", "deeperforensics"):
        MINIATURES[name](tmp_path / name)
    place = Place(root=tmp_path / "deeperforensics", pristine=tmp_path / "ffpp")
    index_set("ffpp", Place(root=tmp_path / "ffpp"), tmp_path / "ffpp" / "clips.parquet")
    keep = {"split": ("train", "val", "test")}  # the targets of the list
    table = tmp_path / "deeper.parquet"
    index_set("deeperforensics", place, table, IndexConfig(keep=keep))
    return [tmp_path / "ffpp" / "clips.parquet", table]


def test_clips_of_both_are_found_and_shared_ones_are_taken_once(
    tables: list[Path], tmp_path: Path
) -> None:
    output, findings = tmp_path / "out" / "both.parquet", Findings()
    count = merge_tables(tables, output, findings)
    clips = read_clips(output)
    one, other = (read_clips(table) for table in tables)
    shared = {clip.id for clip in one} & {clip.id for clip in other}
    assert len(shared) == 3
    assert count == len(clips) == len(one) + len(other) - 3
    assert sum(findings.counts.values()) == 3
    assert all(clip_path(clip, output.parent).is_file() for clip in clips)
    assert all(clip.mask_path is None or Path(clip.mask_path).is_file() for clip in clips)
    assert set_card(output).startswith("# Card of DeeperForensics-1.0, FaceForensics++\n")
    report = check_tables([output], CheckConfig(partial=True))
    assert report.problems == ()
    assert merge_tables(tables, tmp_path / "again.parquet", Findings()) == count


def test_tables_that_contradict_one_another_are_not_merged(
    tables: list[Path], tmp_path: Path
) -> None:
    place = Place(root=tmp_path / "ffpp")
    index_set("ffpp", place, tables[0], IndexConfig(splits="disjoint", seed=5), force=True)
    with pytest.raises(InputError, match="index both with the same --splits"):
        merge_tables(tables, tmp_path / "both.parquet", Findings())
    assert not (tmp_path / "both.parquet").exists()


def test_published_splits_are_not_asked_of_splits_that_were_drawn(
    tables: list[Path], tmp_path: Path
) -> None:
    MINIATURES["wilddeepfake"](tmp_path / "wild")
    drawn = tmp_path / "wild.parquet"
    index_set("wilddeepfake", Place(root=tmp_path / "wild"), drawn, IndexConfig(splits="disjoint"))
    output = tmp_path / "both.parquet"
    merge_tables([tables[1], drawn], output, Findings())
    assert not any("split" in problem.text for problem in check_tables([output]).problems)


def test_nothing_is_overwritten_by_chance(tables: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is one of the tables"):
        merge_tables(tables, tables[0], Findings(), force=True)
    (tmp_path / "both.parquet").touch()
    with pytest.raises(OutputExistsError, match="--force"):
        merge_tables(tables, tmp_path / "both.parquet", Findings())


def test_the_command(
    tables: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "merge", *map(str, tables), "-o", str(tmp_path / "both.parquet")]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    printed = capsys.readouterr()
    assert printed.out.endswith("clips of 2 tables\n")
    assert "3 clips in two of the tables, taken once" in printed.err
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--force", "--json"])
    assert ended.value.code == 0
