"""A film of a still that is pushed about is read as what it is, once."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import FaceError, InputError
from obverse.eval import realism_tracks
from obverse.eval.dynamics import FPS
from obverse.eval.realism_tracks import ClipTracks, embed_still, read_tracks
from obverse.faces.likeness import csim
from obverse.generator.portrait import Portrait
from obverse.media.still import write_still
from obverse.media.video import VideoWriter

SIZE = 256
FRAMES = 50
SWAY_PX = 6.0
RATE_HZ = 16_000

Image = npt.NDArray[np.uint8]


def pushed(image: Image, x: float) -> Image:
    matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, 0.0]])
    size = (image.shape[1], image.shape[0])
    flags = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    return np.asarray(cv2.warpAffine(image, matrix, size, **flags), np.uint8)


def sway(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return SWAY_PX * np.sin(2 * np.pi * 0.5 * seconds)


def write_film(path: Path, still: Image, fps: float, frames: int, sound: bool) -> None:
    """The still sways; a tone is heard in the second half."""
    time = np.arange(round(frames / fps * RATE_HZ)) / RATE_HZ
    tone = (0.3 * np.sin(2 * np.pi * 220 * time) * (time > frames / fps / 2)).astype(np.float32)
    heard = (tone, RATE_HZ) if sound else (None, None)
    with VideoWriter(path, SIZE, SIZE, fps, None, *heard) as writer:
        for x in sway(np.arange(frames) / fps):
            writer.write(pushed(still, float(x)))


@pytest.fixture(scope="module")
def still(sitter_portrait: Portrait) -> Image:
    return np.asarray(
        cv2.resize(sitter_portrait.picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8
    )


@pytest.fixture(scope="module")
def film(still: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "sway.mp4"
    write_film(path, still, FPS, FRAMES, sound=True)
    return path


@pytest.fixture(scope="module")
def tracks(film: Path) -> ClipTracks:
    return read_tracks(film, cache=False)


def test_the_landmarks_follow_the_push(tracks: ClipTracks) -> None:
    assert tracks.frames == FRAMES
    assert tracks.seen.all()
    assert (tracks.width, tracks.height, tracks.source_fps) == (SIZE, SIZE, FPS)
    x = tracks.landmarks[:, :, 0].mean(axis=1)
    expected = sway(np.arange(FRAMES) / FPS)
    assert x - x.mean() == pytest.approx(expected - expected.mean(), abs=1.0)


def test_sound_is_heard_where_it_is(tracks: ClipTracks) -> None:
    assert len(tracks.loudness) == FRAMES
    assert tracks.loudness[:20].max() < 0.01
    assert tracks.loudness[30:48] == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    assert len(tracks.level_db) == len(tracks.activity) == FRAMES * 4
    assert tracks.level_db.min() >= realism_tracks.LEVEL_FLOOR_DB


def swim_of(frames: list[Image]) -> list[float]:
    watch = realism_tracks._Watch(FPS)
    assert len(list(watch.watch(iter(frames)))) == len(frames)
    return watch.swim


def test_a_background_that_stretches_swims_and_one_that_moves_as_one_does_not(
    sitter_portrait: Portrait,
) -> None:
    noise = np.random.default_rng(0).normal(128, 400, (SIZE, SIZE, 3))
    wall = np.clip(cv2.GaussianBlur(noise, (0, 0), 4), 0, 255)
    size = (SIZE, SIZE)
    person = cv2.resize(sitter_portrait.picture, size, interpolation=cv2.INTER_AREA)
    matte = cv2.resize(sitter_portrait.matte, size, interpolation=cv2.INTER_AREA)[..., None]

    def before(picture: npt.NDArray[np.float64]) -> Image:
        return np.asarray(person * matte + picture * (1 - matte), np.uint8)

    moving = [pushed(before(wall), x) for x in np.arange(8.0)]
    assert np.mean(swim_of(moving)) < 0.25  # px of 512, where the camera's push is 2
    stretched = []
    for index in range(8):
        factor = 1 + 0.01 * index  # about the middle: 1.28 px a frame at the sides, .64 on average
        matrix = np.array([[factor, 0, (1 - factor) * SIZE / 2], [0, 1.0, 0]])
        stretched.append(before(cv2.warpAffine(wall, matrix, size)))
    assert np.mean(swim_of(stretched)) > 0.8
    assert swim_of([before(np.full_like(wall, 90.0))] * 4) == []  # nothing to be seen there


def test_each_frame_is_like_the_still(tracks: ClipTracks, still: Image, tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    write_still(path, still)
    embedded = embed_still(path)
    assert len(tracks.embeddings) == 5  # every twelfth of 50: two a second
    assert min(csim(embedded, each) for each in tracks.embeddings) > 0.9
    write_still(path, np.full((64, 64, 3), 128, np.uint8))
    with pytest.raises(FaceError, match="holds no face"):
        embed_still(path)


def test_another_frame_rate_is_the_same_motion(still: Image, tmp_path: Path) -> None:
    path = tmp_path / "thirty.mp4"
    write_film(path, still, 30.0, 36, sound=False)
    tracks = read_tracks(path, cache=False)
    assert tracks.frames == 30  # 1.2 s, to the last frame's time
    x = tracks.landmarks[:, :, 0].mean(axis=1)
    expected = sway(np.arange(30) / FPS)
    assert x - x.mean() == pytest.approx(expected - expected.mean(), abs=1.0)
    assert len(tracks.loudness) == len(tracks.level_db) == len(tracks.activity) == 0


def test_what_was_read_is_kept_and_a_broken_copy_is_read_again(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracks: ClipTracks
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    kept = folder / f"{tracks.sha256}-{realism_tracks.VERSION}.npz"
    tracks.save(kept)
    calls = []

    def read(path: Path, sha256: str) -> ClipTracks:
        calls.append(path)
        assert sha256 == tracks.sha256
        return tracks

    monkeypatch.setattr(realism_tracks, "_read", read)
    again = read_tracks(film, cache_folder=folder)
    assert not calls
    assert np.array_equal(again.landmarks, tracks.landmarks)
    assert np.array_equal(again.embeddings, tracks.embeddings)
    kept.write_bytes(kept.read_bytes()[:1000])
    read_tracks(film, cache_folder=folder)
    assert len(calls) == 1
    assert np.array_equal(ClipTracks.load(kept).swim, tracks.swim)
    read_tracks(film, cache=False, cache_folder=folder)
    assert len(calls) == 2


def test_a_film_without_a_face_and_what_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "grey.mp4"
    with VideoWriter(path, SIZE, SIZE, FPS) as writer:
        for _ in range(5):
            writer.write(np.full((SIZE, SIZE, 3), 90, np.uint8))
    with pytest.raises(FaceError, match="0% of its frames"):
        read_tracks(path, cache=False)
    path.write_bytes(b"nothing" * 99)
    with pytest.raises(InputError):
        read_tracks(path, cache=False)
    with pytest.raises(InputError):
        read_tracks(tmp_path / "absent.mp4", cache=False)
