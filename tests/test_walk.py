"""Folders are listed in one order, and what is hidden stays so."""

from pathlib import Path

from obverse.datasets.walk import films_below, folders_in, picture_folders, pictures_in


def _touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_films_are_listed_in_order(tmp_path: Path) -> None:
    _touch(tmp_path, "b/2.MP4", "b/1.mkv", "a.mp4", "b/notes.txt", ".c/3.mp4", "b/.4.mp4")
    assert list(films_below(tmp_path)) == ["a.mp4", "b/1.mkv", "b/2.MP4"]
    assert list(films_below(tmp_path, "b")) == ["b/1.mkv", "b/2.MP4"]
    assert list(films_below(tmp_path, "nowhere")) == []
    assert folders_in(tmp_path) == ["b"]


def test_folders_of_pictures_are_found(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.png", "a/2.JPG", "a/b/1.webp", "c/1.txt")
    assert list(picture_folders(tmp_path)) == ["a", "a/b"]
    assert pictures_in(tmp_path, "a") == ["a/1.png", "a/2.JPG"]
    assert pictures_in(tmp_path / "a") == ["1.png", "2.JPG"]


def test_links_that_lead_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.mp4", "b/2.mp4", "a/3.png")
    (tmp_path / "a" / "self").symlink_to(".")
    (tmp_path / "a" / "other").symlink_to("../b")
    (tmp_path / "b" / "back").symlink_to("../a")
    (tmp_path / "b" / "nothing").symlink_to("nothing")
    expected = ["a/1.mp4", "a/other/2.mp4", "b/2.mp4", "b/back/1.mp4"]
    assert list(films_below(tmp_path)) == expected
    assert list(picture_folders(tmp_path)) == ["a", "b/back"]
