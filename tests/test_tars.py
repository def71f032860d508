"""Shards are what WebDataset reads, the same bytes each time, and a stopped run goes on."""

import collections
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from miniatures import MINIATURES

from obverse.datasets import tars
from obverse.datasets.adapter import Place
from obverse.datasets.footage import Footage
from obverse.datasets.index import index_set
from obverse.datasets.table import read_clips
from obverse.datasets.tars import write_shards
from obverse.errors import ConfigError, InputError, OutputExistsError


def _indexed(name: str, folder: Path) -> Path:
    MINIATURES[name](folder / name)
    index_set(name, Place(root=folder / name), folder / "clips.parquet")
    return folder / "clips.parquet"


def _samples(folder: Path) -> dict[str, dict[str, bytes]]:
    """Group members as WebDataset does: one key up to the first dot of the name, in a row."""
    samples: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.glob("*.tar")):
        last = None
        with tarfile.open(path) as archive:
            for item in archive:
                key, _, extension = item.name.partition(".")
                assert key == last or key not in samples, "a sample's files lie together"
                last = key
                stream = archive.extractfile(item)
                assert stream is not None
                samples.setdefault(key, {})[extension] = stream.read()
    return samples


def test_every_clip_is_a_sample(tmp_path: Path) -> None:
    table = _indexed("ffpp", tmp_path)
    report = write_shards(table, tmp_path / "shards", shard_bytes=20_000)
    samples = _samples(tmp_path / "shards")
    clips = {clip.id: clip for clip in read_clips(table)}
    assert samples.keys() == clips.keys()
    for key, files in samples.items():
        record = json.loads(files["json"])
        assert record["id"] == key
        assert record["label"] == clips[key].label
        assert (record["binary"], record["binary_av"]) == (clips[key].binary, clips[key].binary_av)
        assert not {"path", "mask_path"} & record.keys()
        assert [content for _, content in Footage.of(clips[key], tmp_path).files()] == [
            files["mp4"]
        ]
        assert ("mask.mp4" in files) == (clips[key].mask_path is not None)
    assert report.clips == len(clips)
    assert len(report.shards) > 3
    assert all(name.partition("-")[0] in ("train", "val", "test") for name in report.shards)
    for path in (tmp_path / "shards").glob("*.tar"):
        with tarfile.open(path) as archive:
            of = {json.loads(archive.extractfile(i).read())["split"]  # type: ignore[union-attr]
                  for i in archive if i.name.endswith(".json")}  # fmt: skip
        assert of == {path.name.partition("-")[0]}
        assert path.stat().st_size <= 20_000 + 10_240  # what a tar is filled up with


def test_pictures_are_numbered_in_their_order(tmp_path: Path) -> None:
    table = _indexed("wilddeepfake", tmp_path)
    write_shards(table, tmp_path / "shards")
    counts = collections.Counter(len(files) for files in _samples(tmp_path / "shards").values())
    assert max(counts) == 3  # two pictures and the record
    files = next(iter(_samples(tmp_path / "shards").values()))
    assert {"000000.png", "json"} <= files.keys()


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    table = _indexed("dfdc", tmp_path)
    sums = []
    for name in ("a", "b"):
        report = write_shards(table, tmp_path / name)
        sums.append(
            [hashlib.sha256((tmp_path / name / s).read_bytes()).digest() for s in report.shards]
        )
    assert sums[0] == sums[1]


def test_a_stopped_run_writes_only_what_it_owes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = _indexed("ffpp", tmp_path)
    written: list[str] = []
    stop_at = 2
    write = tars._write_shard

    def count(path: Path, *rest: object) -> None:
        if len(written) == stop_at:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tars, "_write_shard", count)
    with pytest.raises(KeyboardInterrupt):
        write_shards(table, tmp_path / "shards", shard_bytes=20_000)
    first = list(written)
    written.clear()
    stop_at = 1000
    report = write_shards(table, tmp_path / "shards", shard_bytes=20_000)
    assert not set(first) & set(written)
    assert set(first) | set(written) == set(report.shards)
    assert json.loads((tmp_path / "shards/shards.json").read_text())["complete"] is True


def test_other_shards_are_not_overwritten_by_chance(tmp_path: Path) -> None:
    table = _indexed("dfdc", tmp_path)
    write_shards(table, tmp_path / "shards")
    write_shards(table, tmp_path / "shards")  # nothing to do
    index_set("dfdc", Place(root=tmp_path / "dfdc/test"), table, force=True)
    with pytest.raises(OutputExistsError, match="--force"):
        write_shards(table, tmp_path / "shards")
    report = write_shards(table, tmp_path / "shards", force=True)
    assert sorted(p.name for p in (tmp_path / "shards").glob("*.tar")) == list(report.shards)
    with pytest.raises(ConfigError, match="at least 1024"):
        write_shards(table, tmp_path / "more", shard_bytes=10)


def test_a_clip_that_is_gone_is_named_and_left_out(tmp_path: Path) -> None:
    table = _indexed("dfdc", tmp_path)
    (tmp_path / "dfdc/test/ff.mp4").unlink()
    report = write_shards(table, tmp_path / "shards")
    assert report.clips == 5
    assert len(report.skipped) == 1
    assert "ff.mp4" in report.skipped[0]


@pytest.mark.parametrize("name", ["wilddeepfake", "lav-df", "ffpp"])
def test_shards_can_be_indexed_and_read(name: str, tmp_path: Path) -> None:
    table = _indexed(name, tmp_path)
    write_shards(table, tmp_path / "shards", shard_bytes=40_000)
    index_set("shards", Place(root=tmp_path / "shards"), tmp_path / "back.parquet")
    packed = {clip.id: clip for clip in read_clips(tmp_path / "back.parquet")}
    clips = read_clips(table)
    assert packed.keys() == {clip.id for clip in clips}
    for clip in clips:
        other = packed[clip.id]
        place = {"path": clip.path, "member": clip.member, "mask_path": clip.mask_path}
        assert other.replace(**place) == clip
        mine, back = Footage.of(clip, tmp_path), Footage.of(other, tmp_path)
        assert (back.form, back.sha256()) == (mine.form, mine.sha256())
        assert back.size_bytes() == mine.size_bytes()


def test_damaged_shards_are_said(tmp_path: Path) -> None:
    shards, table = tmp_path / "shards", tmp_path / "clips.parquet"
    shards.mkdir()
    with pytest.raises(InputError, match="holds no clip of shards"):
        index_set("shards", Place(root=shards), table)
    with tarfile.open(shards / "a.tar", "w") as archive:
        for name, content in (("a.mp4", b"film"), ("a.json", b'{"id": "a"}')):
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))
    with pytest.raises(InputError, match=r"a\.json is no record of a clip"):
        index_set("shards", Place(root=shards), table)
    (shards / "a.tar").write_bytes(b"no tar" * 500)
    with pytest.raises(InputError, match="cannot be read as a tar"):
        index_set("shards", Place(root=shards), table)
