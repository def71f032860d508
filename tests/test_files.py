"""A file is whole or not there, with the rights that it should have."""

import os
import re
import stat
from pathlib import Path

import pytest

from obverse.files import draft_of, write_whole


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _fail(path: Path, error: type[BaseException]) -> None:
    with draft_of(path) as draft:
        draft.write_text("half")
        raise error


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_written_and_replaced(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"\x00\r\n", durable=durable)
    assert path.read_bytes() == b"\x00\r\n"
    write_whole(path, "é\n", durable=durable)
    assert path.read_bytes() == b"\xc3\xa9\n"
    assert _names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    for there in ({}, {"a.npz": "old"}):
        for name, content in there.items():
            (tmp_path / name).write_text(content)
        with pytest.raises(error):
            _fail(tmp_path / "a.npz", error)
        assert {name: (tmp_path / name).read_text() for name in _names(tmp_path)} == there


def test_a_draft_is_told_by_its_name(tmp_path: Path) -> None:
    # Not met by who looks for pictures, unless a writer goes by the ending; of any length.
    for name, ending in (("a.png", ".tmp"), ("x" * 250 + ".png", ".png"), ("bare", "")):
        with draft_of(tmp_path / name, ending=ending) as draft:
            assert draft.parent == tmp_path
            assert re.fullmatch(rf"\.draft-[0-9a-f]{{8}}{re.escape(ending)}", draft.name)
            assert not (tmp_path / name).exists()
        assert (tmp_path / name).exists()


@pytest.mark.skipif(os.name == "nt", reason="rights are POSIX's")
def test_a_file_has_the_rights_that_others_get(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "open", b"")
        write_whole(tmp_path / "private", b"", private=True)
    finally:
        os.umask(before)
    rights = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in _names(tmp_path)}
    assert rights == {"open": 0o640, "private": 0o600}


@pytest.mark.skipif(os.name == "nt", reason="pipes are POSIX's")
def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(tmp_path / "pipe", b"abc")
        assert os.read(reader, 9) == b"abc"
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, b"")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "a.json"
    with pytest.raises(FileNotFoundError) as raised:
        write_whole(path, b"")
    assert raised.value.filename == str(path)
