"""Label files are read as publishers write them; what is wrong with one is said in a sentence."""

import json
from pathlib import Path

import pytest

from obverse.datasets import label_files
from obverse.datasets.label_files import (
    find_label_file,
    read_csv,
    read_json,
    read_list,
    read_segments,
    stream_json_rows,
)
from obverse.errors import InputError


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_a_list_is_streamed_whatever_the_pieces(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_files, "_CHUNK", chunk)
    rows = [{"file": f"{n}.mp4", "text": 'a "]" and }, é', "list": [[0.5, 1]]} for n in range(20)]
    for indent in (None, 2):
        (tmp_path / "a.json").write_text(json.dumps(rows, indent=indent), encoding="utf-8")
        assert list(stream_json_rows(tmp_path / "a.json")) == rows
    (tmp_path / "a.json").write_text(" [ ] ")
    assert list(stream_json_rows(tmp_path / "a.json")) == []


@pytest.mark.parametrize("text", ['[{"a": 1}', '[{"a": 1', "{}", "", "[1]", '[{"a": 1} x]'])
def test_a_list_that_breaks_off_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json .*copy it anew"):
        list(stream_json_rows(tmp_path / "a.json"))


def test_json_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    assert read_json(tmp_path / "a.json", list) == [1]
    with pytest.raises(InputError, match="holds a list and not a dict"):
        read_json(tmp_path / "a.json", dict)
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_json(tmp_path / "a.json", dict)


def test_csv_loses_its_blanks_and_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfid ,set \r\n id1 ,dev \r\n\r\n")
    assert list(read_csv(path, ("id", "set"))) == [{"id": "id1", "set": "dev"}]
    with pytest.raises(InputError, match="lacks the column name; it has id, set"):
        list(read_csv(path, ("name",)))
    assert list(read_csv(path, fields=("a", "b", "c"))) == [{"a": "id1", "b": "dev", "c": ""}]


def test_lists_skip_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n two \n")
    assert list(read_list(tmp_path / "a.txt")) == ["one", "two"]
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot be read as text"):
        list(read_list(tmp_path / "a.txt"))


def test_a_label_file_is_looked_for_in_turn(tmp_path: Path) -> None:
    (tmp_path / "b.txt").touch()
    assert find_label_file(tmp_path, ["a.txt", "b.txt"], "Set") == tmp_path / "b.txt"
    with pytest.raises(InputError, match=r"lacks c\.txt, a label file of Set; copy it there"):
        find_label_file(tmp_path, ["c.txt"], "Set")
    with pytest.raises(InputError, match="is no folder"):
        find_label_file(tmp_path / "x", ["c.txt"], "Set")


def test_segments_are_pairs_of_seconds(tmp_path: Path) -> None:
    values = [[0, 1.5], (2, 2), [3, 4]]
    assert read_segments(values, tmp_path, "a.mp4") == ((0.0, 1.5), (3.0, 4.0))
    assert read_segments(None, tmp_path, "a.mp4") == ()
    for wrong in (5, [[1]], [["a", "b"]], [[1, 2, 3]], "12"):
        with pytest.raises(InputError, match=r"gives a\.mp4 the segments"):
            read_segments(wrong, tmp_path, "a.mp4")


def test_a_row_that_is_short_lacks_its_last_values(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,c\n1\n")
    assert list(read_csv(tmp_path / "a.csv")) == [{"a": "1", "b": "", "c": ""}]
