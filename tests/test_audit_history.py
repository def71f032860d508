"""Container and codec history: what was written into a file is read out of it, and no more."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from obverse.audit.boxes import read_boxes
from obverse.audit.history import packet_periods, read_history
from obverse.errors import InputError
from obverse.media.audio import write_wav
from obverse.media.video import EncodeConfig, VideoWriter

SIZE = 96


def _film(path: Path, count: int = 40) -> Path:
    rng = np.random.default_rng(1)
    with VideoWriter(path, SIZE, SIZE, 25, EncodeConfig()) as writer:
        for _ in range(count):
            writer.write(rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _film(tmp_path_factory.mktemp("film") / "film.mp4")


def _facts(path: Path) -> dict[str, dict[str, str]]:
    return {fact["name"]: fact for fact in read_history(path)["facts"]}


def test_each_fact_says_what_it_cannot(film: Path) -> None:
    facts = _facts(film)
    assert {"container", "boxes", "stream 0", "key frames", "pace"} - set(facts) <= {"key frames"}
    for fact in facts.values():
        assert all(fact[name] for name in ("value", "says", "cannot"))
    assert "25 frames/s" in facts["pace"]["value"]
    assert "0 of" in facts["pace"]["value"]


def test_the_timeline_is_that_of_the_film(film: Path) -> None:
    timeline = read_history(film)["timeline"]
    assert timeline["kind"] == "film"
    assert timeline["seconds"] == pytest.approx(40 / 25, abs=0.05)
    assert timeline["key_frames"][0] == 0.0


def _with_encoder_name(film: Path, target: Path) -> Path:
    with av.open(str(film)) as read, av.open(str(target), "w") as write:
        stream = write.add_stream("libx264", rate=25)
        stream.width = stream.height = SIZE
        stream.options = {"g": "10", "bf": "0"}
        for frame in read.decode(video=0):
            write.mux(stream.encode(frame))
        write.mux(stream.encode(None))
    return target


def test_encoder_and_key_frames_are_named(film: Path, tmp_path: Path) -> None:
    facts = _facts(_with_encoder_name(film, tmp_path / "again.mp4"))
    assert "x264" in facts["encoder's name in the stream"]["value"]
    assert "0.40 to 0.40 s apart" in facts["key frames"]["value"]
    assert "fixed distance" in facts["key frames"]["says"]
    assert "36 P" in facts["kinds of frames"]["value"]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def _movie(elst: bytes, trailing: bytes = b"") -> bytes:
    mvhd = _box(b"mvhd", struct.pack(">IIIII", 0, 3_600_000_000, 0, 1000, 0))
    mdhd = _box(b"mdhd", struct.pack(">IIIII", 0, 0, 0, 25, 0))
    hdlr = _box(b"hdlr", b"\0" * 8 + b"vide" + b"\0" * 12 + b"Core Media Video\0")
    trak = _box(b"trak", _box(b"edts", _box(b"elst", elst)) + _box(b"mdia", mdhd + hdlr))
    parts = [_box(b"ftyp", b"isom\0\0\0\0isom"), _box(b"moov", mvhd + trak)]
    return b"".join([*parts, _box(b"free", b"\0" * 100), _box(b"mdat", b"")]) + trailing


def test_boxes_are_read_to_the_letter(tmp_path: Path) -> None:
    elst = struct.pack(">II", 0, 2) + struct.pack(">IihH", 500, -1, 1, 0)
    elst += struct.pack(">IihH", 2000, 50, 1, 0)
    path = tmp_path / "a.mp4"
    path.write_bytes(_movie(elst, trailing=b"\0\1\2\3not a box at all"))
    boxes = read_boxes(path)
    assert boxes is not None
    assert boxes.order == ["ftyp", "moov", "free", "mdat"]
    assert boxes.created == "2018-01-28T16:00:00Z"  # 3.6e9 s after 1904
    assert boxes.modified is None
    assert boxes.free_bytes == 100
    assert boxes.trailing_bytes == 20
    (track,) = boxes.tracks
    assert (track.handler, track.handler_name) == ("vide", "Core Media Video")
    assert [edit.seconds for edit in track.edits] == [0.5, 2.0]
    assert [edit.media_seconds for edit in track.edits] == [None, 2.0]


def test_a_file_of_a_million_boxes_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "many.mp4"
    path.write_bytes(_box(b"ftyp", b"isom\0\0\0\0") + _box(b"free", b"") * 100_000)
    boxes = read_boxes(path)
    assert boxes is not None
    assert not boxes.complete
    assert len(boxes.order) <= 2000


@pytest.mark.parametrize("seed", range(30))
def test_damaged_boxes_bring_nothing_down(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    data = np.frombuffer(_movie(struct.pack(">II", 1, 1 << 31)), np.uint8).copy()
    data[rng.integers(12, len(data), 12)] = rng.integers(0, 256, 12)
    (tmp_path / "a.mp4").write_bytes(data.tobytes())
    read_boxes(tmp_path / "a.mp4")


def test_an_edit_list_of_two_pieces_is_a_cut(film: Path, tmp_path: Path) -> None:
    """The film's own index with another edit list: the offsets of its samples move with it."""
    data = film.read_bytes()
    moov, mdat = data.index(b"moov") - 4, data.index(b"mdat") - 4
    assert moov < mdat  # made for streaming; 25 ticks a second
    entries = struct.pack(">IihH", 10, 0, 1, 0) + struct.pack(">IihH", 10, 6400, 1, 0)
    edts = _box(b"edts", _box(b"elst", struct.pack(">II", 0, 2) + entries))
    at = data.index(b"edts") - 4
    old = struct.unpack(">I", data[at : at + 4])[0]
    grown = len(edts) - old
    changed = bytearray(data[:at] + edts + data[at + old :])
    for name in (b"moov", b"trak"):
        place = changed.index(name) - 4
        changed[place : place + 4] = struct.pack(
            ">I", struct.unpack(">I", changed[place : place + 4])[0] + grown
        )
    place = changed.index(b"stco") + 8
    for index in range(struct.unpack(">I", changed[place : place + 4])[0]):
        here = place + 4 + 4 * index
        moved = struct.unpack(">I", changed[here : here + 4])[0] + grown
        changed[here : here + 4] = struct.pack(">I", moved)
    (tmp_path / "cut.mp4").write_bytes(changed)
    fact = _facts(tmp_path / "cut.mp4")["edit list of track 1"]
    assert "cut without being encoded anew" in fact["says"]
    assert "0.400 s from 0.000 s" in fact["value"]


def test_sound_and_stills_have_a_history_too(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(16000, np.float32), 16000)
    assert "16000 Hz" in _facts(tmp_path / "a.wav")["stream 0"]["value"]
    assert read_history(tmp_path / "a.wav")["timeline"]["kind"] == "sound"
    image = Image.new("RGB", (20, 10))
    exif = image.getexif()
    exif[0x010F], exif[0x0131] = "Maker\x1b[2J", "Editor 1.0"
    image.save(tmp_path / "a.jpg", exif=exif)
    facts = _facts(tmp_path / "a.jpg")
    assert "Editor 1.0" in facts["EXIF"]["value"]
    assert "\x1b" not in facts["EXIF"]["value"]
    assert "JPEG" in facts["picture"]["value"]


def test_what_is_no_media_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"hello" * 100)
    with pytest.raises(InputError):
        read_history(tmp_path / "a.mp4")


def test_an_old_rhythm_is_found_and_noise_has_none() -> None:
    rng = np.random.default_rng(0)
    noise = rng.lognormal(8, 0.2, 400)
    found = 0
    for _ in range(20):
        found += packet_periods(rng.lognormal(8, 0.2, 200).astype(int).tolist()) is not None
    assert found <= 1  # 20 searches at 1e-3
    rhythm = noise * np.where(np.arange(400) % 12 == 0, 2.0, 1.0)
    period = packet_periods(rhythm.astype(int).tolist())
    assert period is not None
    assert 12 / period[0] == pytest.approx(round(12 / period[0]), abs=0.05)  # 12 or a part of it
    assert packet_periods([1000] * 10) is None
    assert packet_periods([1000] * 200) is None
