"""Crops are kept by a film's content and recipe, and come back as they were."""

import dataclasses
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from miniatures import MINIATURES

from obverse.datasets.adapter import Place
from obverse.datasets.footage import Footage
from obverse.datasets.index import index_set
from obverse.datasets.table import read_clips
from obverse.detector.crop_store import CutJob, cut_many, kept_path, load_faces, save_faces
from obverse.detector.crops import FaceTrack, FilmFaces
from obverse.detector.recipe import CropRecipe
from obverse.errors import InputError
from obverse.faces.landmarks import Face, FaceReader
from obverse.media.still import write_still

RECIPE = CropRecipe(size_px=32, moments=3)


def track(count: int) -> FaceTrack:
    rng = np.random.default_rng(count)
    return FaceTrack(
        np.arange(count, dtype=np.float32),
        rng.uniform(0, 9, (count, 4)).astype(np.float32),
        np.arange(count, dtype=np.int32),
        rng.integers(0, 255, (count, 32, 32, 3)).astype(np.uint8),
        rng.uniform(0, 32, (count, 468, 2)).astype(np.float32),
        rng.uniform(0, 2, (count, 2, 3)).astype(np.float32),
    )


def test_faces_and_sound_come_back(tmp_path: Path) -> None:
    sound = np.arange(-6, 6, dtype=np.int16).reshape(2, 6)
    made = FilmFaces((track(3), track(2)), sound, 4.5, (640, 480))
    path = tmp_path / "deep" / "a.safetensors"
    save_faces(path, made)
    back = load_faces(path)
    assert (back.seconds, back.size, len(back.tracks)) == (4.5, (640, 480), 2)
    assert back.sound.tolist() == sound.tolist()
    for mine, other in zip(made.tracks, back.tracks, strict=True):
        for name in ("times", "boxes", "moments", "crops", "landmarks", "squares"):
            assert np.array_equal(getattr(mine, name), getattr(other, name))
    assert isinstance(back.tracks[0].crops, np.memmap)  # pixels stay on disk
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]
    save_faces(tmp_path / "b.safetensors", FilmFaces((), np.zeros((0, 0), np.int16), 1.0, (2, 2)))
    assert load_faces(tmp_path / "b.safetensors").tracks == ()


def test_damaged_crops_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0hello")
    with pytest.raises(InputError, match="remove the file"):
        load_faces(tmp_path / "a.safetensors")


@pytest.mark.usefixtures("same_face")
def test_a_film_is_cut_once(film_table: Path, tmp_path: Path) -> None:
    folder = film_table.parent
    films = [folder / f"{name}.mp4" for name in ("pristine0", "black", "damaged")]
    jobs = [CutJob(film.stem, film, RECIPE, tmp_path) for film in [*films, folder / "gone.mp4"]]
    kept, errors = cut_many(jobs)
    assert sorted(kept) == ["black", "pristine0"]
    assert sorted(errors) == ["damaged", "gone"]
    assert len(load_faces(kept["pristine0"]).tracks[0]) == 3
    assert load_faces(kept["black"]).tracks == ()
    stamps = {name: path.stat().st_mtime_ns for name, path in kept.items()}
    again, _ = cut_many(jobs)
    assert {name: path.stat().st_mtime_ns for name, path in again.items()} == stamps


def test_what_is_moved_or_packed_is_cut_once(tmp_path: Path) -> None:
    for name in ("a", "moved"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        content = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
        write_still(tmp_path / "a" / f"{number}.png", content)
        write_still(tmp_path / "moved" / f"frame{number:04}.png", content)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "a", "1/real/2")
    packed = Footage(tmp_path / "a.tar", "1/real/2")
    same = {
        kept_path(source, RECIPE, tmp_path)
        for source in (tmp_path / "a", tmp_path / "moved", packed)
    }
    assert len(same) == 1
    slower = kept_path(dataclasses.replace(packed, fps=5), RECIPE, tmp_path)
    (tmp_path / "moved" / "frame0001.png").unlink()
    shorter = kept_path(tmp_path / "moved", RECIPE, tmp_path)
    assert len(same | {slower, shorter}) == 3


class Blind(FaceReader):
    """Sees no face in anything."""

    def __init__(self, threads: int = 1) -> None:
        del threads

    def survey(self, image: npt.NDArray[np.uint8], search_px: int = 640) -> list[Face]:
        del image, search_px
        return []

    def read(self, image: npt.NDArray[np.uint8], *, drawn: bool = False) -> list[Face]:
        del image, drawn
        return []


@pytest.mark.parametrize("name", MINIATURES)
def test_every_clip_of_a_publishers_layout_can_be_cut(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("obverse.detector.crop_store.open_reader", Blind)
    MINIATURES[name](tmp_path / "set")
    index_set(name, Place(root=tmp_path / "set"), tmp_path / "clips.parquet")
    clips = read_clips(tmp_path / "clips.parquet")
    recipe = CropRecipe(moments=2, burst=2, size_px=32, sound=True)
    jobs = [CutJob(c.id, Footage.of(c, tmp_path), recipe, tmp_path / "crops") for c in clips]
    kept, errors = cut_many(jobs)
    assert errors == {}
    assert kept.keys() == {clip.id for clip in clips}
    assert {load_faces(path).tracks for path in kept.values()} == {()}
    assert {load_faces(path).size for path in kept.values()} == {(48, 48)}


def test_another_recipe_or_another_film_is_another_file(film_table: Path, tmp_path: Path) -> None:
    folder = film_table.parent
    paths = {
        kept_path(folder / f"{name}.mp4", recipe, tmp_path)
        for name in ("pristine0", "pristine1")
        for recipe in (RECIPE, CropRecipe(size_px=64))
    }
    assert len(paths) == 4
