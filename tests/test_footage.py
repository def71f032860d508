"""A clip's frames and bytes are the same whether they lie in a folder or in a tar."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from miniatures import film, picture

from obverse.clip import Clip
from obverse.datasets.footage import (
    footage_bytes,
    footage_form,
    footage_sha256,
    footage_size,
    read_footage,
)
from obverse.errors import InputError
from obverse.media.still import decode_still, read_still
from obverse.weights import sha256_file


def _clip(path: str, member: str | None = None) -> Clip:
    return Clip(id="a" * 32, path=path, member=member, label="pristine", kind="camera")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Make a folder whose names are in order as numbers, not as text; and a tar of it."""
    for name in ("9", "10", "100"):
        picture(tmp_path / "seq" / f"{name}.png")
    (tmp_path / "seq" / "note.txt").write_text("no picture")
    with tarfile.open(tmp_path / "6.tar.gz", "w") as archive:
        for name in ("100", "9", "10"):
            archive.add(tmp_path / "seq" / f"{name}.png", f"6/fake/54/{name}.png")
        archive.add(tmp_path / "seq" / "9.png", "6/fake/540/1.png")
    return tmp_path


def test_pictures_come_in_the_order_of_their_numbers(pictures: Path) -> None:
    expected = [read_still(pictures / "seq" / f"{name}.png") for name in ("9", "10", "100")]
    for clip in (_clip("seq"), _clip("6.tar.gz", "6/fake/54")):
        frames = list(read_footage(clip, pictures))
        assert len(frames) == 3
        assert all(np.array_equal(*pair) for pair in zip(frames, expected, strict=True))
        assert len(list(read_footage(clip, pictures, max_frames=2))) == 2
        assert [name for name, _ in footage_bytes(clip, pictures)] == ["9.png", "10.png", "100.png"]
        assert footage_size(clip, pictures) == sum(
            path.stat().st_size for path in (pictures / "seq").glob("*.png")
        )
    packed = footage_sha256(_clip("6.tar.gz", "6/fake/54"), pictures)
    assert footage_sha256(_clip("seq"), pictures) == packed


def test_a_film_and_a_still(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    assert footage_form(_clip("a.mp4"), tmp_path) == "film"
    assert len(list(read_footage(_clip("a.mp4"), tmp_path))) == 6
    assert footage_sha256(_clip("a.mp4"), tmp_path) == sha256_file(path)
    assert [name for name, _ in footage_bytes(_clip("a.mp4"), tmp_path)] == ["a.mp4"]
    picture(tmp_path / "b.png")
    assert footage_form(_clip("b.png"), tmp_path) == "still"
    assert len(list(read_footage(_clip("b.png"), tmp_path))) == 1


@pytest.mark.parametrize(
    ("clip", "match"),
    [
        (_clip("nowhere.mp4"), "cannot be opened"),
        (_clip("empty"), "holds no pictures"),
        (_clip("broken.tar", "6"), "cannot be read as a tar"),
        (_clip("6.tar", "7"), "holds no pictures in 7"),
    ],
)
def test_what_is_not_there_is_said(clip: Clip, match: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tar").write_bytes(b"no tar" * 500)
    with tarfile.open(tmp_path / "6.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("6/notes.txt"), io.BytesIO())
    with pytest.raises(InputError, match=match):
        list(read_footage(clip, tmp_path))


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "seq").mkdir()
    (tmp_path / "seq" / "1.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(InputError, match=r"seq/1\.png"):
        list(read_footage(_clip("seq"), tmp_path))
    content = picture(tmp_path / "a.png").read_bytes()
    assert np.array_equal(decode_still(content, "a"), read_still(tmp_path / "a.png"))
    assert hashlib.sha256(content).hexdigest() == footage_sha256(_clip("a.png"), tmp_path)
