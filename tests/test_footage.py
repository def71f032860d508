"""A clip's frames and bytes are the same whether they lie in a folder or in a tar."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from miniatures import film, picture

from obverse.clip import Clip
from obverse.datasets.footage import Footage, footage_at, read_footage
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
        assert [name for name, _ in Footage.of(clip, pictures).files()] == [
            "9.png",
            "10.png",
            "100.png",
        ]
        assert Footage.of(clip, pictures).size_bytes() == sum(
            path.stat().st_size for path in (pictures / "seq").glob("*.png")
        )
    packed = Footage.of(_clip("6.tar.gz", "6/fake/54"), pictures).sha256()
    assert Footage.of(_clip("seq"), pictures).sha256() == packed


def test_a_film_and_a_still(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    assert Footage.of(_clip("a.mp4"), tmp_path).form == "film"
    assert len(list(read_footage(_clip("a.mp4"), tmp_path))) == 6
    assert Footage.of(_clip("a.mp4"), tmp_path).sha256() == sha256_file(path)
    assert [name for name, _ in Footage.of(_clip("a.mp4"), tmp_path).files()] == ["a.mp4"]
    picture(tmp_path / "b.png")
    assert Footage.of(_clip("b.png"), tmp_path).form == "still"
    assert len(list(read_footage(_clip("b.png"), tmp_path))) == 1


@pytest.mark.parametrize(
    ("clip", "match"),
    [
        (_clip("nowhere.mp4"), "cannot be opened"),
        (_clip("empty"), "holds no pictures"),
        (_clip("broken.tar", "6"), "cannot be read as a tar"),
        (_clip("6.tar", "7"), "holds no pictures in 7"),
        (_clip("6.tar", "7.mp4"), "holds no pictures in 7.mp4"),
    ],
)
def test_what_is_not_there_is_said(clip: Clip, match: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tar").write_bytes(b"no tar" * 500)
    with tarfile.open(tmp_path / "6.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("6/notes.txt"), io.BytesIO())
    with pytest.raises(InputError, match=match):
        list(read_footage(clip, tmp_path))


def test_a_film_in_a_tar(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    with tarfile.open(tmp_path / "films.tar", "w") as archive:
        archive.add(path, "./deep/a.mp4")
        archive.addfile(tarfile.TarInfo("deep/b.mp4"), io.BytesIO())
    packed = Footage.of(_clip("films.tar", "deep/a.mp4"), tmp_path)
    assert packed.form == "film"
    assert packed.sha256() == sha256_file(path)
    assert packed.size_bytes() == path.stat().st_size
    assert list(packed.files()) == [("a.mp4", path.read_bytes())]
    pairs = zip(packed.frames(), footage_at(path).frames(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)
    with packed.film() as copy:
        assert copy.is_file()
    assert not copy.exists()
    empty = Footage(tmp_path / "films.tar", "deep/b.mp4")
    with pytest.raises(InputError, match=r"films\.tar/deep/b\.mp4 is empty"):
        list(empty.frames())


def test_moments_are_those_of_a_film(pictures: Path) -> None:
    with Footage(pictures / "seq", fps=10).pictures() as shown:
        assert len(shown) == 3
        assert shown.seconds == pytest.approx(0.3)
        times = [0.0, 0.05, 0.06, 0.1, 5.0]  # a tie keeps the earlier; the last stays
        found = list(shown.moments(times))
        assert [round(time * 10) for time, _ in found] == [0, 0, 1, 1, 2]
        assert np.array_equal(found[4][1], read_still(pictures / "seq" / "100.png"))
    with (
        pytest.raises(InputError, match="0 pictures a second"),
        Footage(pictures / "seq", fps=0).pictures(),
    ):
        pass


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "seq").mkdir()
    (tmp_path / "seq" / "1.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(InputError, match=r"seq/1\.png"):
        list(read_footage(_clip("seq"), tmp_path))
    content = picture(tmp_path / "a.png").read_bytes()
    assert np.array_equal(decode_still(content, "a"), read_still(tmp_path / "a.png"))
    assert hashlib.sha256(content).hexdigest() == Footage.of(_clip("a.png"), tmp_path).sha256()
