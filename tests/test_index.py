"""A set becomes a table: paths, splits, readings, and a run that goes on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from miniatures import MINIATURES, film

from obverse.datasets import readings
from obverse.datasets.adapter import Place
from obverse.datasets.footage import Footage
from obverse.datasets.index import IndexConfig, field_of, index_set
from obverse.datasets.split import find_leaks
from obverse.datasets.table import clip_path, read_clips, read_notes
from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.weights import sha256_file


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            MINIATURES[name](made[name])
        return made[name]

    return make


@pytest.mark.parametrize("name", MINIATURES)
def test_every_clip_of_the_table_is_found_from_it(
    name: str, miniature: Callable[[str], Path], tmp_path: Path
) -> None:
    report = index_set(name, Place(root=miniature(name)), tmp_path / "clips.parquet")
    clips = read_clips(tmp_path / "clips.parquet")
    assert report.clips == len(clips) == sum(report.labels.values()) == sum(report.splits.values())
    for clip in clips:
        assert clip_path(clip, tmp_path).exists()
        assert clip.mask_path is None or Path(clip.mask_path).exists()


@pytest.mark.parametrize("name", [n for n in MINIATURES if not n.startswith("celeb-df")])
def test_nobody_is_in_two_splits(
    name: str, miniature: Callable[[str], Path], tmp_path: Path
) -> None:
    for splits in ("official", "disjoint"):
        table = tmp_path / f"{splits}.parquet"
        config = IndexConfig(splits=splits)
        index_set(name, Place(root=miniature(name)), table, config)
        assert find_leaks(read_clips(table)) == []


def test_celeb_dfs_own_test_list_shares_people_and_ours_does_not(
    miniature: Callable[[str], Path], tmp_path: Path
) -> None:
    place = Place(root=miniature("celeb-df-v2"))
    index_set("celeb-df-v2", place, tmp_path / "a.parquet")
    assert "identity celebdf:id2 is in test and train" in find_leaks(
        read_clips(tmp_path / "a.parquet")
    ) or "identity celebdf:id2 is in test and val" in find_leaks(read_clips(tmp_path / "a.parquet"))
    index_set("celeb-df-v2", place, tmp_path / "b.parquet", IndexConfig(splits="disjoint"))
    assert find_leaks(read_clips(tmp_path / "b.parquet")) == []


def test_official_splits_are_kept_and_completed(
    miniature: Callable[[str], Path], tmp_path: Path
) -> None:
    place = Place(root=miniature("voxceleb2"))
    for seed in (0, 1):
        table = tmp_path / f"{seed}.parquet"
        report = index_set("voxceleb2", place, table, IndexConfig(seed=seed))
        assert report.splits["test"] == 1  # the publisher's
        assert report.splits["val"] > 0
    plain = index_set("voxceleb2", place, tmp_path / "c.parquet", IndexConfig(splits="none"))
    assert plain.splits == {"train": 28, "test": 1}
    assert [c.split for c in read_clips(tmp_path / "0.parquet")] != [
        c.split for c in read_clips(tmp_path / "1.parquet")
    ]
    assert read_notes(tmp_path / "1.parquet")["seed"] == 1


def test_a_table_beside_its_films_may_move_with_them(tmp_path: Path) -> None:
    root = tmp_path / "set"
    MINIATURES["ffpp"](root)
    index_set("ffpp", Place(root=root), root / "clips.parquet")
    shutil.move(root, tmp_path / "moved")
    clips = read_clips(tmp_path / "moved" / "clips.parquet")
    assert all(clip_path(clip, tmp_path / "moved").is_file() for clip in clips)
    assert not any(Path(clip.path).is_absolute() for clip in clips)
    assert {c.mask_path for c in clips} == {
        None,
        "manipulated_sequences/Deepfakes/masks/videos/071_054.mp4",
    }


def test_only_what_is_asked_for_is_kept(miniature: Callable[[str], Path], tmp_path: Path) -> None:
    place = Place(root=miniature("ffpp"))
    keep = {"compression": ("c23",), "method": ("Deepfakes", "None")}
    nothing = IndexConfig(keep={"compression": ("c41",)})
    with pytest.raises(ConfigError, match="no clip of ffpp has compression c41"):
        index_set("ffpp", place, tmp_path / "a.parquet", nothing)
    assert not (tmp_path / "a.parquet").exists()
    index_set("ffpp", place, tmp_path / "a.parquet", IndexConfig(keep=keep))
    found = {(c.method, c.encoder["compression"]) for c in read_clips(tmp_path / "a.parquet")}
    assert found == {("Deepfakes", "c23")}
    keep = {"compression": ("c23",)}
    index_set("ffpp", place, tmp_path / "b.parquet", IndexConfig(keep=keep))
    clip = read_clips(tmp_path / "b.parquet")[0]
    assert (field_of(clip, "compression"), field_of(clip, "method")) == ("c23", None)


def test_files_are_hashed_and_looked_at_only_when_asked(
    miniature: Callable[[str], Path], tmp_path: Path
) -> None:
    place = Place(root=miniature("wilddeepfake"))
    index_set("wilddeepfake", place, tmp_path / "a.parquet")
    assert {clip.sha256 for clip in read_clips(tmp_path / "a.parquet")} == {None}
    config = IndexConfig(sha256=True, details=True, workers=2)
    index_set("wilddeepfake", place, tmp_path / "b.parquet", config)
    clips = read_clips(tmp_path / "b.parquet")
    assert len({clip.sha256 for clip in clips}) == len(clips)
    assert {(clip.width, clip.height) for clip in clips} == {(48, 48)}
    assert all(clip.frames for clip in clips)
    root = miniature("dfdc")
    index_set("dfdc", Place(root=root), tmp_path / "c.parquet", config)
    first = read_clips(tmp_path / "c.parquet")[0]
    assert first.sha256 == sha256_file(clip_path(first, tmp_path))
    assert (first.frames, first.fps, first.width) == (6, 25.0, 48)
    assert [path.name for path in tmp_path.glob(".*")] == []  # readings are thrown away at the end


def test_a_run_that_was_stopped_reads_no_file_twice(
    miniature: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, table = Place(root=miniature("dfdc")), tmp_path / "clips.parquet"
    config = IndexConfig(sha256=True)
    read: list[str] = []

    hash_of = Footage.sha256

    def count(footage: Footage) -> str:
        read.append(str(footage.path))
        return hash_of(footage)

    def stop(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Footage, "sha256", count)
    monkeypatch.setattr(readings, "_AHEAD", 1)
    with pytest.raises(KeyboardInterrupt):
        index_set("dfdc", place, table, config, progress=stop)
    assert not table.exists()
    first = set(read)
    with (tmp_path / ".clips.parquet.readings-sha256.jsonl").open("a") as lines:
        lines.write('{"id": "half')  # as a kill would leave it
    read.clear()
    index_set("dfdc", place, table, config)
    assert len(first & set(read)) <= 1  # the one that was in flight
    assert len(first | set(read)) == 6
    assert all(clip.sha256 for clip in read_clips(table))


def test_a_file_that_cannot_be_read_is_counted_and_kept(tmp_path: Path) -> None:
    for name in ("1", "2"):
        film(tmp_path / "real" / f"{name}.mp4")
    (tmp_path / "real" / "3.mp4").write_bytes(b"not a film at all" * 50)
    place = Place(root=tmp_path, pristine=tmp_path / "real")
    table = tmp_path / "clips.parquet"
    report = index_set("folders", place, table, IndexConfig(details=True))
    assert report.findings.counts == {"that cannot be read": 1}
    assert [clip.frames for clip in read_clips(table)] == [6, 6, 0]


def test_a_list_that_states_splits_means_them(tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        film(tmp_path / f"{number}.mp4")
        rows.append(f"{number}.mp4,real,p{number},{'train' if number < 6 else ''}\n")
    (tmp_path / "a.csv").write_text("path,label,identity,split\n" + "".join(rows))
    report = index_set("csv", Place(root=tmp_path / "a.csv"), tmp_path / "a.parquet")
    assert report.splits == {"train": 6, "none": 6}
    (tmp_path / "b.csv").write_text((tmp_path / "a.csv").read_text().replace("train", ""))
    report = index_set("csv", Place(root=tmp_path / "b.csv"), tmp_path / "b.parquet")
    assert "none" not in report.splits


def test_our_own_corpus_stays_what_it_is(film_table: Path, tmp_path: Path) -> None:
    index_set("corpus", Place(root=film_table.parent), tmp_path / "clips.parquet")
    before, after = read_clips(film_table), read_clips(tmp_path / "clips.parquet")
    assert [(c.id, c.split, c.label) for c in after] == [(c.id, c.split, c.label) for c in before]


def test_what_cannot_be_indexed_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no set 'x'"):
        index_set("x", Place(root=tmp_path), tmp_path / "clips.parquet")
    with pytest.raises(InputError, match="does not exist"):
        index_set("ffpp", Place(root=tmp_path / "x"), tmp_path / "clips.parquet")
    (tmp_path / "clips.parquet").touch()
    with pytest.raises(OutputExistsError, match="--force"):
        index_set("ffpp", Place(root=tmp_path), tmp_path / "clips.parquet")
    with pytest.raises(ConfigError, match="splits is 'mine'"):
        IndexConfig(splits="mine")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="workers is 0"):
        IndexConfig(workers=0)


def test_the_table_says_how_it_was_made(miniature: Callable[[str], Path], tmp_path: Path) -> None:
    index_set("dfd", Place(root=miniature("dfd")), tmp_path / "clips.parquet")
    notes = read_notes(tmp_path / "clips.parquet")
    assert notes["set"] == "dfd"
    assert notes["findings"] == [
        "1 clip not named as the set names its clips, such as "
        "manipulated_sequences/DeepFakeDetection/c23/videos/notes.mp4"
    ]
    assert notes["tool"].startswith("obverse ")
    assert json.dumps(notes)


@pytest.mark.parametrize("name", ["ffpp", "deeperforensics", "folders", "csv"])
def test_folders_may_be_named_from_where_one_is(
    name: str,
    miniature: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A relative path of the command line and one of the set are not mixed up."""
    (tmp_path / "here").mkdir()
    (tmp_path / "tables").mkdir()
    for inner in ("ffpp", "deeperforensics"):
        shutil.copytree(miniature(inner), tmp_path / "here" / inner)
    film(tmp_path / "here" / "real" / "a.mp4")
    (tmp_path / "here" / "list.csv").write_text("path,label\nreal/a.mp4,real\n")
    monkeypatch.chdir(tmp_path / "here")
    places = {
        "ffpp": Place(root=Path("ffpp")),
        "deeperforensics": Place(root=Path("deeperforensics"), pristine=Path("ffpp")),
        "folders": Place(root=Path("real"), pristine=Path("real")),
        "csv": Place(root=Path("list.csv")),
    }
    for table in (Path("clips.parquet"), Path("../tables/clips.parquet")):
        index_set(name, places[name], table)
        clips = read_clips(table)
        assert clips
        assert all(clip_path(clip, table.parent).is_file() for clip in clips)
        assert all(Path(clip.path).is_absolute() for clip in clips) == (".." in str(table))
