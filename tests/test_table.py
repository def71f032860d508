"""Records come back from tables as they went in."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from obverse.clip import Clip, Score
from obverse.datasets.table import (
    clip_path,
    flat_table,
    iter_clips,
    read_clips,
    read_notes,
    read_scores,
    write_clips,
    write_scores,
)
from obverse.errors import ConfigError, InputError, OutputExistsError

FULL = Clip(
    id="a" * 32,
    path="clips/a.mp4",
    member="6/fake/54",
    dataset="ffpp",
    sound="synthetic",
    sound_segments=((0.5, 1.25),),
    donor="sitter-2",
    sha256="f" * 64,
    label="synthetic",
    kind="generated",
    method="talk",
    parents={"twin": "b" * 32, "audio": "c" * 64},
    identity="sitter-1",
    speaker="rms",
    split="train",
    frames=100,
    width=512,
    height=512,
    encoder={"crf": 18},
    seed=7,
    controls={"head": 1.5},
    mark="0123456789abcdef",
    manifest="urn:c2pa:x",
    fake_segments=((0.0, 4.0),),
    mask_path="masks/a.png",
    attributes={"age": "40"},
    rights="synthetic",
    warnings=("dark",),
    tool="obverse 0.1.0",
)
BARE = Clip(id="b" * 32, path="/films/b.mp4", label="pristine", kind="camera")


def test_clips_come_back(tmp_path: Path) -> None:
    for clips in ([FULL, BARE], [BARE], [FULL], []):
        write_clips(tmp_path / "clips.parquet", clips, force=True)
        assert read_clips(tmp_path / "clips.parquet") == clips


def test_paths_start_at_the_tables_folder() -> None:
    assert clip_path(FULL, Path("corpus")) == Path("corpus/clips/a.mp4")
    assert clip_path(BARE, Path("corpus")) == Path("/films/b.mp4")


def test_scores_come_back(tmp_path: Path) -> None:
    scores = [
        Score(
            clip="a",
            detector="d",
            status="ok",
            score=0.25,
            frame_scores=(0.2, 0.3),
            times=(0.1, 0.9),
        ),
        Score(clip="b", detector="d", status="missing", reason="no face was found"),
        Score(clip="c", detector="d", status="error", reason="damaged"),
    ]
    for table in (scores, scores[1:], []):
        write_scores(tmp_path / "scores.parquet", table, force=True)
        assert read_scores(tmp_path / "scores.parquet") == table
    assert pd.read_parquet(tmp_path / "scores.parquet")["score"].dtype == "float64"


def test_a_table_is_not_overwritten_by_chance(tmp_path: Path) -> None:
    path = tmp_path / "clips.parquet"
    write_clips(path, [FULL])
    with pytest.raises(OutputExistsError, match="--force"):
        write_clips(path, [BARE])
    assert read_clips(path) == [FULL]


def test_a_failed_write_leaves_the_old_table_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "clips.parquet"
    write_clips(path, [FULL])

    def failing() -> Iterator[Clip]:
        yield BARE
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_clips(path, failing(), force=True)
    assert read_clips(path) == [FULL]
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_says_what_it_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "clips.parquet"
    assert write_clips(path, iter([FULL, BARE]), notes=lambda: {"set": "ffpp", "seed": 3}) == 2
    assert read_notes(path) == {"set": "ffpp", "seed": 3}
    assert list(iter_clips(path)) == [FULL, BARE]
    pd.DataFrame([FULL.to_row()]).to_parquet(path)
    assert read_notes(path) == {}


def test_a_table_of_an_older_version_is_read(tmp_path: Path) -> None:
    """Columns that came later are absent in it, and pandas wrote numbers as it liked."""
    path = tmp_path / "clips.parquet"
    later = ["member", "dataset", "sound", "donor", "sound_segments"]
    pd.DataFrame([FULL.to_row(), BARE.to_row()]).drop(columns=later).to_parquet(path)
    then = FULL.replace(member=None, dataset=None, sound=None, donor=None, sound_segments=())
    assert read_clips(path) == [then, BARE]


def test_pandas_finds_both_labels_and_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "clips.parquet"
    dubbed = BARE.replace(id="c" * 32, sound="synthetic", sound_segments=((0.5, 1.0),), seed=2**62)
    write_clips(path, [FULL, BARE, dubbed])
    table = pd.read_parquet(path)
    assert list(table["binary"]) == [1, 0, 0]
    assert list(table["binary_av"]) == [1, 0, 1]
    assert read_clips(path)[2].seed == 2**62


def test_a_flat_table_has_a_column_for_every_attribute() -> None:
    table = flat_table([FULL, BARE])
    assert table["attribute.age"].fillna("").tolist() == ["40", ""]
    assert table["parent.twin"].fillna("").tolist() == ["b" * 32, ""]
    assert list(table["seconds"]) == [4.0, 0.0]
    assert table["fake_segments"][0] == ((0.0, 4.0),)
    assert table.groupby("binary").size().to_dict() == {0: 1, 1: 1}


def test_two_clips_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two clips"):
        write_clips(tmp_path / "clips.parquet", [BARE, BARE])


def test_what_is_no_table_of_clips_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "clips.parquet"
    with pytest.raises(InputError, match="does not exist"):
        read_clips(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a parquet"):
        read_clips(path)
    pd.DataFrame({"id": ["a"]}).to_parquet(path)
    with pytest.raises(InputError, match="lacks the column path"):
        read_clips(path)
    pd.DataFrame({"id": ["a"], "path": ["a"], "label": ["fake"], "kind": ["camera"]}).to_parquet(
        path
    )
    with pytest.raises(InputError, match="row 1"):
        read_clips(path)
