"""Films that are edited: what is drawn, what stays, and what is refused."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError, FaceError
from obverse.faces.landmarks import Face
from obverse.faces.pose import canonical_face
from obverse.generator import editing
from obverse.generator.dub import dub
from obverse.generator.editing import redrawn
from obverse.generator.motion import EXPRESSIONS, Motion
from obverse.generator.paste import INNER_FACE, LOWER_FACE, region_mask
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.portrait import Portrait
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.speech import Speech, read_speech_features
from obverse.generator.swap import swap
from obverse.generator.voices import list_voices, voice_path
from obverse.media.audio import read_speech

Image = npt.NDArray[np.uint8]
SIDE, FRAMES = 160, 14
MESH = canonical_face().vertices * 40 + (SIDE / 2, SIDE / 2, 0)


class _Drawer:
    """Draws a grey face that never moves."""

    portrait = SimpleNamespace(rotation=np.zeros(3, np.float32))

    def points(self, *_pose: object) -> npt.NDArray[np.float32]:
        return MESH.astype(np.float32)

    def frame(self, *_pose: object) -> Image:
        drawn = np.full((SIDE, SIDE, 3), 120, np.uint8)
        drawn[70:90, 70:90] = 30
        return drawn


class _Follower:
    """Sees the face where it is drawn, but not in black frames."""

    def track(self, frames: Iterable[Image]) -> Iterator[Face | None]:
        for frame in frames:
            if frame.max() < 10:
                yield None
                continue
            landmarks = np.concatenate([MESH, MESH[:10]]).astype(np.float32)
            box = np.concatenate([MESH[:, :2].min(0), MESH[:, :2].max(0)]).astype(np.float32)
            yield Face(box, 0.9, landmarks, 0.9, np.zeros(52, np.float32))


def _edited(film: list[Image], monkeypatch: pytest.MonkeyPatch) -> list[Image]:
    monkeypatch.setattr(editing, "_reader", _Follower)
    drawer: Any = _Drawer()
    return list(redrawn(drawer, Motion.still(len(film)), lambda: iter(film), INNER_FACE))


def _film(*levels: int) -> list[Image]:
    return [np.full((SIDE, SIDE, 3), level, np.uint8) for level in levels]


@pytest.mark.parametrize("count", [1, 4, 5, 9, FRAMES])
def test_frames_come_in_their_order_whatever_their_number(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = _film(*range(100, 100 + 5 * count, 5))
    edited = _edited(film, monkeypatch)
    assert [int(frame[0, 0, 0]) for frame in edited] == [int(frame[0, 0, 0]) for frame in film]
    assert all((new != old).any() for new, old in zip(edited, film, strict=True))


def test_a_face_that_is_lost_for_a_moment_is_bridged(monkeypatch: pytest.MonkeyPatch) -> None:
    film = _film(*[150] * 8, 0, *[150] * 8)
    edited = _edited(film, monkeypatch)
    assert (edited[8] != film[8]).any()
    assert np.abs(edited[7].astype(int) - edited[9]).max() <= 1


def test_frames_before_a_face_is_seen_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    film = _film(*[0] * 6, *[150] * 30)
    edited = _edited(film, monkeypatch)
    assert np.array_equal(edited[0], film[0])
    assert (edited[-1] != film[-1]).any()


def test_a_film_that_shows_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FaceError, match="in 4 of 10 frames"):
        _edited(_film(*[150] * 4, *[0] * 6), monkeypatch)


def test_a_head_faces_where_the_films_does(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[npt.NDArray[np.float32]] = []

    class Turned(_Drawer):
        portrait = SimpleNamespace(rotation=np.array([0.0, 0.3, 0.0], np.float32))

        def frame(self, *pose: object) -> Image:
            seen.append(np.asarray(pose[1]))
            return super().frame(*pose)

    monkeypatch.setattr(editing, "_reader", _Follower)
    drawer: Any = Turned()
    own = np.zeros((6, 3), np.float32)
    own[:, 0] = np.linspace(0, 0.1, 6)
    motion = Motion(np.zeros((6, len(EXPRESSIONS)), np.float32), own, np.zeros((6, 3), np.float32))
    list(redrawn(drawer, motion, lambda: iter(_film(*[150] * 6)), LOWER_FACE))
    # The film's face looks ahead, so the still's, turned aside by 0.3, is turned back.
    assert np.allclose([turn[1] for turn in seen], -0.3, atol=0.02)
    assert np.allclose(np.diff([turn[0] for turn in seen]), 0.02, atol=0.004)


@pytest.mark.parametrize("method", [dub, swap])
def test_without_a_film_there_is_nothing_to_edit(method: Any) -> None:
    renderer: Any = _Drawer()
    speech = read_speech_features(np.zeros(16_000, np.float32))
    for given in ({}, {"driving": Motion.still(3)}, {"footage": lambda: iter(())}):
        with pytest.raises(ConfigError, match="edits a film and there is none"):
            list(method(renderer, speech, seed=0, controls=PerformanceConfig(), **given))


# --- with a portrait


@pytest.fixture(scope="module")
def spoken() -> Speech:
    return read_speech_features(read_speech(voice_path(list_voices()[0].id, 0), 16_000)[:9_600])


@pytest.fixture(scope="module")
def renderer(sitter_portrait: Portrait) -> Renderer:
    return Renderer(sitter_portrait, RenderConfig(size=256, refine=False))


@pytest.fixture(scope="module")
def motion(spoken: Speech) -> Motion:
    return perform(spoken, 3)


@pytest.fixture(scope="module")
def film(renderer: Renderer, motion: Motion) -> list[Image]:
    return list(renderer.frames(motion))


def test_a_face_swapped_for_itself_is_the_film(
    renderer: Renderer, spoken: Speech, motion: Motion, film: list[Image]
) -> None:
    made = swap(
        renderer, spoken, seed=0, controls=PerformanceConfig(), driving=motion,
        footage=lambda: iter(film),
    )  # fmt: skip
    edited = list(made)
    assert len(edited) == len(film)
    off = np.abs(np.stack(edited).astype(int) - np.stack(film))
    assert np.quantile(off, 0.99) < 20
    assert off.mean() < 0.5  # levels: within a pixel or so of where it was


def test_a_dub_changes_the_mouth_and_nothing_else(
    renderer: Renderer, spoken: Speech, motion: Motion, film: list[Image]
) -> None:
    def made(seed: int) -> list[Image]:
        return list(
            dub(
                renderer, spoken, seed=seed, controls=PerformanceConfig(), driving=motion,
                footage=lambda: iter(film),
            )
        )  # fmt: skip

    first = made(1)
    assert all(np.array_equal(one, other) for one, other in zip(first, made(1), strict=True))
    assert any((one != other).any() for one, other in zip(first, made(2), strict=True))
    mouth_moves = 0.0
    for index, (new, old) in enumerate(zip(first, film, strict=True)):
        pose = (motion.expression[index], motion.rotation[index], motion.translation[index])
        face = renderer.points(*pose)[:468, :2].astype(np.float64)
        changed = np.argwhere((new != old).any(-1))
        assert len(changed)
        assert changed[:, 0].min() > face[4, 1]  # all of it lies below the nose's tip
        assert face[234, 0] < changed[:, 1].min() < changed[:, 1].max() < face[454, 0]
        mask, (x0, y0) = region_mask(old.shape, face, face, LOWER_FACE)
        inside = (slice(y0, y0 + mask.shape[0]), slice(x0, x0 + mask.shape[1]))
        off = np.abs(new[inside].astype(int) - old[inside]).max(-1)
        mouth_moves = max(mouth_moves, float((off > 25).mean()))
    assert mouth_moves > 0.01
