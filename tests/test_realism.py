"""From tracks to numbers, and to none where there is nothing to measure."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from obverse.errors import ConfigError, FaceError, InputError
from obverse.eval import realism
from obverse.eval.dynamics import FPS, LOWER_LIP, UPPER_LIP
from obverse.eval.realism import (
    About,
    find_clips,
    measure_clips,
    measure_tracks,
    read_about,
)
from obverse.eval.realism_tracks import ClipTracks
from obverse.faces.pose import canonical_face
from obverse.generator.voices import list_voices, voice_path
from obverse.weights import sha256_file

FRAMES = 100


def still_tracks(width: int = 512, height: int = 512) -> ClipTracks:
    """A face that never moves, eyes 100 px apart, with a second of speech between pauses."""
    vertices = canonical_face().vertices * 100 + 256
    points = np.concatenate([vertices, np.tile(vertices[:1], (10, 1))]).astype(np.float32)
    activity = np.zeros(FRAMES * 4, np.float32)
    activity[120:220] = 1
    level = np.where(activity > 0, 0.0, -45.0).astype(np.float32)
    embedding = np.zeros((4, 128), np.float32)
    embedding[:, 0] = 1
    return ClipTracks(
        "0" * 64,
        width,
        height,
        25.0,
        np.repeat(points[None], FRAMES, axis=0),
        np.linspace(0, 1, FRAMES).astype(np.float32),
        level,
        activity,
        embedding,
        np.full(FRAMES - 1, 0.5, np.float32),
    )


def test_a_still_is_still_by_every_measure() -> None:
    found = measure_tracks(Path("still.mp4"), still_tracks())
    assert found.status == "ok"
    assert found.seconds == FRAMES / FPS
    for name in ("lip_dynamics", "head_motion", "head_smoothness", "delta_pose", "brow_dynamics"):
        assert found.values[name] == pytest.approx(0, abs=1e-3), name
    assert found.values["silent_lip"] == pytest.approx(0, abs=1e-6)
    assert found.values["blink_rate"] == 0
    assert found.values["csim"] == pytest.approx(1)
    assert found.values["background_swim"] == pytest.approx(0.5)
    for name in ("blink_duration", "lip_lag", "lip_correlation", "bilabial_closure"):
        assert math.isnan(found.values[name]), name


def test_without_sound_nothing_is_said_of_it() -> None:
    empty = np.zeros(0, np.float32)
    mute = dataclasses.replace(still_tracks(), loudness=empty, level_db=empty, activity=empty)
    found = measure_tracks(Path("mute.mp4"), mute)
    for name in ("silent_lip", "lip_sync", "lip_lag", "lip_correlation"):
        assert math.isnan(found.values[name])
    assert not math.isnan(found.values["lip_dynamics"])


def test_pixels_are_counted_in_a_square_about_the_head() -> None:
    tall = measure_tracks(Path("tall.mp4"), still_tracks(1080, 1920))
    assert tall.face_share == pytest.approx(realism.FACE_SHARE)
    square = measure_tracks(Path("square.mp4"), still_tracks())
    height = np.ptp(still_tracks().landmarks[0, :, 1])
    assert square.face_share == pytest.approx(height / 512)


def test_closures_are_those_of_the_phones() -> None:
    tracks = still_tracks()
    upper, lower = list(UPPER_LIP), list(LOWER_LIP)
    tracks.landmarks[:, lower] = tracks.landmarks[:, upper] + (0, 15, 0)  # open
    tracks.landmarks[25:28, lower] = tracks.landmarks[25:28, upper]  # but for a moment
    about = About(closures_seconds=((1.0, 1.1), (2.0, 2.06)))
    found = measure_tracks(Path("still.mp4"), tracks, about)
    assert found.closures == (1, 2)
    assert found.values["bilabial_closure"] == 0.5


def test_missing_and_damaged_films_are_counted_and_never_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path, *, cache: bool) -> ClipTracks:
        assert not cache
        if path.stem == "empty":
            raise FaceError("no face")
        if path.stem == "broken":
            raise InputError("damaged")
        if path.stem == "odd":
            raise RuntimeError("out of memory")
        return still_tracks()

    monkeypatch.setattr(realism, "read_tracks", read)
    paths = [tmp_path / f"{name}.mp4" for name in ("empty", "fine", "broken", "odd")]
    told: list[tuple[int, int, str]] = []
    found = measure_clips(paths, cache=False, progress=lambda *args: told.append(args))
    assert [item.status for item in found] == ["missing", "ok", "error", "error"]
    assert [item.path for item in found] == paths
    assert sorted(done for done, total, _ in told if total == 4) == [0, 1, 2, 3, 4]
    assert found[3].reason == "out of memory"
    with pytest.raises(ConfigError, match="jobs"):
        measure_clips(paths, jobs=0)


def test_a_portrait_that_cannot_be_compared_is_an_error_not_a_missing_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed(path: Path) -> None:
        raise FaceError(f"{path} holds no face")

    monkeypatch.setattr(realism, "read_tracks", lambda path, cache: still_tracks())
    monkeypatch.setattr(realism, "embed_still", embed)
    film = tmp_path / "talk.mp4"
    (found,) = measure_clips([film], about={film: About(portrait=tmp_path / "wall.png")})
    assert found.status == "error"
    assert found.reason is not None
    assert "wall.png" in found.reason


def test_what_lies_beside_a_film_is_read(tmp_path: Path) -> None:
    film = tmp_path / "talk.mp4"
    beside = tmp_path / "talk.realism.json"
    assert read_about(film) == About()
    phones = [["SIL", 0, 0.5], ["B", 0.5, 0.6], ["AA", 0.6, 0.8], ["M", 0.8, 0.9]]
    beside.write_text(json.dumps({"portrait": "../p.png", "phones": phones}))
    about = read_about(film)
    assert about.portrait == tmp_path / ".." / "p.png"
    assert about.closures_seconds == ((0.5, 0.6), (0.8, 0.9))
    voice = next(voice for voice in list_voices() if voice.sentences[0].phones is not None)
    beside.write_text(json.dumps({"voice": sha256_file(voice_path(voice.id, 0))}))
    closures = read_about(film).closures_seconds
    spoken = [sound for sound in voice.sentences[0].sounds() if sound.sound == "bilabial"]
    assert closures == tuple((sound.start, sound.end) for sound in spoken)
    beside.write_text(json.dumps({"voice": "f" * 64}))
    assert read_about(film).closures_seconds is None
    for text in ("[", "[1]", json.dumps({"phones": [["QQ", 0, 1]]}), json.dumps({"phones": 3})):
        beside.write_text(text)
        with pytest.raises(InputError, match=r"talk\.realism\.json"):
            read_about(film)


def test_films_are_found_in_folders_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/c.MOV", "a/notes.txt", ".hidden.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert find_clips(tmp_path) == [tmp_path / "a" / "c.MOV", tmp_path / "b.mp4"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no film"):
        find_clips(empty)
    with pytest.raises(InputError, match="no folder"):
        find_clips(tmp_path / "absent")
