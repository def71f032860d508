"""Faces are cut alike from every clip, in time and in the picture."""

import itertools
import tarfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.datasets.footage import Footage
from obverse.detector.crops import FaceTrack, cut_faces, cut_square, read_film
from obverse.detector.recipe import SOUND_HZ, CropRecipe
from obverse.errors import InputError
from obverse.faces.landmarks import Face, FaceReader
from obverse.faces.pose import canonical_face
from obverse.generator.motion import rotation_matrix
from obverse.media.still import write_still
from obverse.media.video import VideoWriter, read_frames

Image = npt.NDArray[np.uint8]


def face(x: float, y: float, size: float = 40, roll: float = 0.0) -> Face:
    """A face whose landmarks are those of the canonical one."""
    mesh = size * canonical_face().vertices @ rotation_matrix((0, 0, roll)).T + (x, y, 0)
    landmarks = np.concatenate([mesh, np.tile(mesh[:1], (10, 1))]).astype(np.float32)
    box = np.concatenate([mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)]).astype(np.float32)
    return Face(box, 0.9, landmarks, 0.99, np.zeros(52, np.float32))


class Script(FaceReader):
    """Reads what it was told, picture after picture."""

    def __init__(self, faces: list[list[Face]]) -> None:
        self.faces = iter(faces)

    def survey(self, image: Image, search_px: int = 640) -> list[Face]:
        del image, search_px
        return next(self.faces)

    def read(self, image: Image, *, drawn: bool = False) -> list[Face]:
        del image, drawn
        return []


def picture() -> Image:
    """A smooth picture, red to the right and green downwards."""
    y, x = np.mgrid[:300, :400]
    return np.stack([x * 0.6, y * 0.8, np.full_like(x, 90)], -1).astype(np.uint8)


def cut(one: Face, image: Image, recipe: CropRecipe) -> FaceTrack:
    (track,) = cut_faces([[(0.0, image)]], recipe, Script([[one]]))
    return track


def test_a_crop_is_centred_and_scaled_by_its_face() -> None:
    recipe = CropRecipe(size_px=64)
    for size in (15, 40, 70):
        one = face(200, 150, size)
        middle = (one.box[:2] + one.box[2:]) / 2
        crop = cut(one, picture(), recipe).crops[0]
        assert crop.shape == (64, 64, 3)
        assert crop[31:33, 31:33, 0].mean() == pytest.approx(middle[0] * 0.6, abs=1.5)
        assert crop[31:33, 31:33, 1].mean() == pytest.approx(middle[1] * 0.8, abs=1.5)
        side = recipe.margin * max(one.box[2:] - one.box[:2])
        slope = (float(crop[32, 48, 0]) - float(crop[32, 16, 0])) / 32 / 0.6 * 64
        assert slope == pytest.approx(side, rel=0.1)


def test_a_tilted_face_is_cut_level() -> None:
    centre = (200.0, 150.0)
    upright = cut(face(*centre), picture(), CropRecipe()).crops[0]
    matrix = cv2.getRotationMatrix2D(centre, -30, 1)
    tilted = np.asarray(cv2.warpAffine(picture(), matrix, (400, 300)), np.uint8)
    again = cut(face(*centre, roll=np.radians(30)), tilted, CropRecipe()).crops[0]
    inner = (slice(40, 184), slice(40, 184))
    assert np.abs(upright[inner].astype(float) - again[inner]).mean() < 3


def test_landmarks_and_squares_lead_back_to_the_picture() -> None:
    for region in ("face", "mouth"):
        one = face(180, 140, 50, roll=0.2)
        recipe = CropRecipe(size_px=96, region=region)
        track = cut(one, picture(), recipe)
        square = track.squares[0]
        there = track.landmarks[0] @ square[:, :2].T + square[:, 2]
        assert there == pytest.approx(one.landmarks[:468, :2], abs=1e-2)
        assert cut_square(picture(), square, 96).tolist() == track.crops[0].tolist()
    lips = track.landmarks[0][[61, 291, 0, 17]].mean(axis=0)
    assert lips == pytest.approx([47.5, 47.5], abs=1e-2)


def test_people_get_a_track_each_and_a_passer_by_none() -> None:
    left = [face(80 + 4 * i, 120, 30) for i in range(6)]
    right = [face(300 - 4 * i, 130, 40) for i in range(6)]
    seen = [[right[i], left[i]] if i % 2 else [left[i], right[i]] for i in range(6)]
    seen[3] = [left[3]]  # one looks away
    seen[5].append(face(200, 40, 8))  # a passer-by
    moments = [[(i * 0.5, picture())] for i in range(6)]
    recipe = CropRecipe(track_share=0.4, size_px=64, search_every=1)
    tracks = cut_faces(moments, recipe, Script(seen))
    assert [len(track) for track in tracks] == [6, 5]
    assert tracks[0].times.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert tracks[0].boxes[:, 0] == pytest.approx([one.box[0] for one in left])
    assert tracks[1].moments.tolist() == [0, 1, 2, 4, 5]


def test_positions_glide_through_a_burst() -> None:
    recipe = CropRecipe(burst=9, every=4, size_px=64)
    moments = [[(i / 25, picture()) for i in range(9)]]
    seen = [[face(100, 120)], [face(120, 120)], [face(140, 120, 44)]]
    (track,) = cut_faces(moments, recipe, Script(seen))
    middles = track.squares[:, 0, :] @ (31.5, 31.5, 1)
    assert np.diff(middles) == pytest.approx(5, abs=1e-3)
    sides = np.hypot(track.squares[:, 0, 0], track.squares[:, 1, 0])
    assert np.ptp(sides) < 1e-6  # one size
    assert [len(burst) for burst in track.bursts(9)] == [9]
    assert track.bursts(8) == []


def test_large_faces_are_searched_for_in_a_smaller_picture() -> None:
    asked: list[int] = []

    class Noting(Script):
        def survey(self, image: Image, search_px: int = 640) -> list[Face]:
            asked.append(search_px)
            return super().survey(image, search_px)

    large, small = face(200, 150, 60), face(60, 60, 9)
    moments = [[(float(i), picture())] for i in range(6)]
    recipe = CropRecipe(size_px=32, search_px=640, search_every=3, min_px=5)
    cut_faces(moments, recipe, Noting([[large]] * 6))
    assert asked == [640, 320, 320, 640, 320, 320]
    asked.clear()
    cut_faces(moments, recipe, Noting([[large, small]] * 6))  # small ones: always in full
    assert asked == [640] * 6
    asked.clear()
    # One that is lost is looked for in full at once.
    cut_faces(moments[:3], recipe, Noting([[large], [], [large], [large]]))
    assert asked == [640, 320, 640, 320]


def test_little_is_held_of_a_long_film() -> None:
    alive: list[int] = []

    def frames() -> Iterator[list[tuple[float, Image]]]:
        import weakref

        count = 0

        def gone() -> None:
            nonlocal count
            count -= 1

        for i in range(20):
            image = picture()
            weakref.finalize(image, gone)
            count += 1
            alive.append(count)
            yield [(float(i), image)]
            del image

    cut_faces(frames(), CropRecipe(size_px=32), Script([[face(200, 150)]] * 20))
    assert max(alive) <= 3


def film(path: Path, frames: int) -> Path:
    with VideoWriter(path, 64, 64, 25) as writer:
        for i in range(frames):
            writer.write(np.full((64, 64, 3), 2 * i, np.uint8))
    return path


def test_frames_are_spread_evenly(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mp4", 100)
    recipe = CropRecipe(moments=4, min_px=5, size_px=32)
    (track,) = read_film(whole, recipe, Script([[face(32, 32, 10)]] * 4)).tracks
    assert track.times == pytest.approx([0.48, 1.48, 2.48, 3.48])
    assert track.crops.mean(axis=(1, 2, 3)) == pytest.approx([25, 75, 125, 175], abs=4)


def test_frames_may_be_altered_before_they_are_looked_at(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mp4", 100)
    recipe = CropRecipe(moments=2, min_px=5, size_px=32)
    seen: list[float] = []

    def invert(image: Image, seconds: float) -> Image:
        seen.append(seconds)
        return 255 - image

    (track,) = read_film(whole, recipe, Script([[face(32, 32, 10)]] * 2), invert).tracks
    assert seen == pytest.approx(track.times)
    assert track.crops.mean(axis=(1, 2, 3)) == pytest.approx([205, 105], abs=4)


def test_a_larger_film_is_measured_in_its_own_pixels(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mp4", 4)
    seen = [[face(16, 16, 8)]] * 4
    half = read_film(whole, CropRecipe(longest_px=64, min_px=2), Script(seen)).tracks[0]
    found = CropRecipe(longest_px=64, min_px=2)
    assert half.boxes[0] == pytest.approx(face(16, 16, 8).box)
    from obverse.detector.crops import _stretched

    (twice,) = _stretched((half,), 2.0)
    corners = np.array([[-0.5, -0.5, 1], [223.5, 223.5, 1]])
    assert (twice.squares[0] @ corners.T + 0.5) == pytest.approx(
        2 * (half.squares[0] @ corners.T + 0.5), abs=1e-3
    )
    assert twice.boxes[0] + 0.5 == pytest.approx(2 * (half.boxes[0] + 0.5))
    assert found.longest_px == 64


def test_a_still_is_a_film_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_still(path, picture())
    faces = read_film(path, CropRecipe(size_px=64), Script([[face(200, 150)]]))
    assert (len(faces.tracks[0]), faces.size, faces.seconds) == (1, (400, 300), 0)


def as_pictures(whole: Path, folder: Path) -> tuple[Footage, Footage]:
    """Write a film's frames into a folder, and into a tar; returns both."""
    (folder / "seq").mkdir()
    for number, image in enumerate(read_frames(whole)):
        write_still(folder / "seq" / f"{number}.png", image)
    with tarfile.open(folder / "packed.tar", "w") as archive:
        archive.add(folder / "seq", "1/fake/54")
    return Footage(folder / "seq"), Footage(folder / "packed.tar", "1/fake/54")


@pytest.mark.parametrize("burst", [1, 5])
def test_pictures_are_cut_as_the_film_that_they_come_from(burst: int, tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mp4", 40)
    # Larger pictures than are looked at, so that boxes are brought back to their size.
    recipe = CropRecipe(moments=4, burst=burst, size_px=32, min_px=2, longest_px=64)
    seen: list[list[float]] = []

    def note(image: Image, seconds: float) -> Image:
        seen[-1].append(seconds)
        return 255 - image

    found = []
    for source in (whole, *as_pictures(whole, tmp_path)):
        seen.append([])
        reader = Script(list(itertools.repeat([face(32, 32, 10)], 8)))
        found.append(read_film(source, recipe, reader, note))
    assert seen[0] == pytest.approx(seen[1])
    assert seen[1] == seen[2]
    for other in found[1:]:
        assert other.size == (64, 64)
        assert other.seconds == pytest.approx(found[0].seconds)
        (mine,), (track,) = found[0].tracks, other.tracks
        assert track.crops.tolist() == mine.crops.tolist()
        assert track.boxes.tolist() == mine.boxes.tolist()
        assert track.moments.tolist() == mine.moments.tolist()


def test_of_many_pictures_few_are_read_and_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seq").mkdir()
    write_still(tmp_path / "seq" / "0.png", picture())
    for number in range(1, 300):
        (tmp_path / "seq" / f"{number}.png").hardlink_to(tmp_path / "seq" / "0.png")
    held: list[int] = []
    decoded: list[str] = []
    alive = 0

    def decode(content: bytes, name: str) -> Image:
        nonlocal alive
        import weakref

        def gone() -> None:
            nonlocal alive
            alive -= 1

        del content
        decoded.append(Path(name).stem)
        image = picture()
        weakref.finalize(image, gone)
        alive += 1
        held.append(alive)
        return image

    monkeypatch.setattr("obverse.datasets.footage.decode_still", decode)
    recipe = CropRecipe(moments=10, size_px=32)
    faces = read_film(tmp_path / "seq", recipe, Script([[face(200, 150)]] * 10))
    assert len(faces.tracks[0]) == 10
    assert sorted(set(decoded), key=int) == [str(15 + 30 * i) for i in range(10)]
    assert max(held) <= 3


def test_a_folder_of_one_picture_is_a_still(tmp_path: Path) -> None:
    (tmp_path / "seq").mkdir()
    write_still(tmp_path / "seq" / "a.png", picture())
    for burst in (1, 5):
        recipe = CropRecipe(size_px=64, burst=burst)
        faces = read_film(tmp_path / "seq", recipe, Script([[face(200, 150)]]))
        assert (len(faces.tracks[0]), faces.size, faces.seconds) == (1, (400, 300), 0)


def test_pictures_larger_than_is_looked_at_are_measured_in_their_own_pixels(
    tmp_path: Path,
) -> None:
    (tmp_path / "seq").mkdir()
    for number in range(4):
        write_still(tmp_path / "seq" / f"{number}.png", picture())
    recipe = CropRecipe(size_px=32, longest_px=200)
    (track,) = read_film(tmp_path / "seq", recipe, Script([[face(100, 75, 20)]] * 4)).tracks
    assert track.boxes[0] + 0.5 == pytest.approx(2 * (face(100, 75, 20).box + 0.5))


def test_a_film_without_a_face_has_no_track(tmp_path: Path, face_reader: FaceReader) -> None:
    assert read_film(film(tmp_path / "a.mp4", 8), CropRecipe(moments=4), face_reader).tracks == ()


def test_a_damaged_film_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"not a film at all" * 50)
    with pytest.raises(InputError):
        read_film(path, CropRecipe(), Script([]))


def test_the_sound_of_a_burst_is_where_it_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    clicks = np.zeros(2 * SOUND_HZ, np.float32)
    clicks[SOUND_HZ // 2 : SOUND_HZ // 2 + 400] = 0.8  # at .5 s
    with VideoWriter(path, 64, 64, 25, audio=clicks, audio_rate=SOUND_HZ) as writer:
        for _ in range(50):
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    recipe = CropRecipe(moments=2, burst=5, sound=True, sound_pad_seconds=0.4, size_px=32, min_px=5)
    faces = read_film(path, recipe, Script([[face(32, 32, 10)]] * 8))
    assert faces.sound.shape == (2, SOUND_HZ)
    # The first burst begins at .4 s, its sound at 0 s.
    loudest = int(np.abs(np.convolve(np.abs(faces.sound[0].astype(float)), np.ones(400))).argmax())
    assert loudest / SOUND_HZ == pytest.approx(0.525, abs=0.03)
    assert np.abs(faces.sound[1]).max() < 500
