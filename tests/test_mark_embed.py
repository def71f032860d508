"""What marking does to frames: how much, where, and nothing more."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError
from obverse.media.colour import planes_of, rgb_to_yuv420
from obverse.watermark.carriers import TORUS_PX, pattern
from obverse.watermark.embed import Embedder, MarkConfig, place

PAYLOAD = 0x0123456789ABCDEF
Frame = npt.NDArray[np.uint8]


def _half_textured(size: int = 256) -> Frame:
    """Flat grey on the left, noise on the right."""
    rng = np.random.default_rng(0)
    frame = np.full((size, size, 3), 128, np.uint8)
    frame[:, size // 2 :] = rng.integers(60, 200, (size, size // 2, 1), np.uint8)
    return frame


def _change(frame: Frame, marked: Frame) -> npt.NDArray[np.float64]:
    return marked.astype(np.float64) - frame


def test_psnr_is_kept() -> None:
    rng = np.random.default_rng(1)
    frame = cv2.resize(rng.integers(30, 220, (128, 160, 3), np.uint8), (320, 256))
    for psnr_db in (40.0, 44.0, 48.0):
        config = MarkConfig(psnr_db=psnr_db, onset_db=0.0, texture_share=1.0)
        marked = Embedder(PAYLOAD, config=config).embed_frame(frame)
        error = float(np.mean(_change(frame, marked) ** 2))
        assert 10 * np.log10(255**2 / error) == pytest.approx(psnr_db, abs=0.5)


def test_texture_is_spared_and_flat_places_have_a_limit() -> None:
    def strengths(frame: Frame) -> tuple[float, float]:
        config = MarkConfig(onset_db=0.0)
        change = _change(frame, Embedder(PAYLOAD, config=config).embed_frame(frame))
        return float(change[:, 20:100].std()), float(change[:, 156:236].std())

    flat, textured = strengths(_half_textured())
    assert flat <= MarkConfig().most_levels + 0.1  # of which rounding is a part
    assert 0.3 * flat < textured < 0.7 * flat
    # Where nearly all is texture, flat places get no more, and texture a larger share.
    frame = np.concatenate([_half_textured(), *[_half_textured()[:, 128:]] * 5], axis=1)
    flat, textured = strengths(np.ascontiguousarray(frame))
    assert flat <= MarkConfig().most_levels + 0.1  # of which rounding is a part
    assert textured > 0.4 * flat


def test_scenes_begin_with_a_stronger_mark() -> None:
    rng = np.random.default_rng(8)
    scenes = [cv2.resize(rng.integers(30, 220, (8, 8, 3), np.uint8), (256, 256)) for _ in range(2)]
    frames = [scenes[0]] * 30 + [scenes[1]] * 30
    embedder = Embedder(PAYLOAD)
    strength = []
    for frame in frames:
        embedder.embed_frame(frame)
        strength.append(embedder.strength)
    onset = 10 ** (MarkConfig().onset_db / 20)
    for begins in (0, 30):
        assert strength[begins] == pytest.approx(onset * strength[begins + 29], rel=0.02)
        assert (np.diff(strength[begins : begins + 30]) < 0).all()
    # Motion that goes on is no cut.
    wide = cv2.resize(rng.integers(30, 220, (16, 32, 3), np.uint8), (512, 256))
    embedder = Embedder(PAYLOAD, config=MarkConfig(motion_db=0.0))
    moving = [embedder.embed_frame(wide[:, 8 * n : 8 * n + 256].copy()) for n in range(25)]
    assert len(moving) == 25
    assert embedder.strength < 1.2 * strength[29]


def test_the_first_frame_chooses_where_the_mark_lies() -> None:
    rng = np.random.default_rng(4)
    scenes = [
        cv2.GaussianBlur(rng.integers(0, 255, (256, 256, 3), np.uint8), (0, 0), 1.0)
        for _ in range(12)
    ]
    changes = [
        _change(scene, Embedder(PAYLOAD).embed_frame(scene))[..., 0].ravel() for scene in scenes
    ]
    # Clips of one payload lie apart, and their mean keeps little of any.
    mean = np.mean(changes, axis=0)
    assert max(float(np.corrcoef(mean, one)[0, 1]) for one in changes) < 0.5
    # The mark agrees with what was there before it.
    for scene, change in zip(scenes, changes, strict=True):
        luma = cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY).astype(np.float32)
        detail = (luma - cv2.GaussianBlur(luma, (0, 0), 2.4)).ravel()
        assert float(np.corrcoef(detail, change)[0, 1]) > 0.0
    # A clip keeps the place that its first frame chose.
    embedder = Embedder(PAYLOAD)
    first, second = (_change(scene, embedder.embed_frame(scene)) for scene in scenes[:2])
    assert float(np.corrcoef(first.ravel(), second.ravel())[0, 1]) > 0.9


def test_the_mark_is_on_luma_alone() -> None:
    change = _change(_half_textured(), Embedder(PAYLOAD).embed_frame(_half_textured()))
    assert (change[..., 0] == change[..., 1]).all()
    assert (change[..., 0] == change[..., 2]).all()


def test_black_and_white_do_not_wrap_around() -> None:
    frame = np.zeros((128, 128, 3), np.uint8)
    frame[:64] = 255
    change = _change(frame, Embedder(PAYLOAD, config=MarkConfig(psnr_db=35.0)).embed_frame(frame))
    assert float(np.abs(change).max()) < 30


def test_frames_stream_and_the_input_is_untouched() -> None:
    frames = [_half_textured() for _ in range(3)]
    before = frames[0].copy()
    stream = Embedder(PAYLOAD).embed(iter(frames))
    first = next(stream)
    assert first.dtype == np.uint8
    assert first.shape == before.shape
    assert (frames[0] == before).all()
    assert len(list(stream)) == 2


def test_the_mark_stands_still() -> None:
    frame = _half_textured()
    config = MarkConfig(onset_db=0.0)
    marked = list(Embedder(PAYLOAD, config=config).embed([frame] * 4))
    assert all((one == marked[0]).all() for one in marked)
    # Where a scene begins it is stronger, and lies where it does afterwards.
    first, *_, last = (_change(frame, one).ravel() for one in Embedder(PAYLOAD).embed([frame] * 9))
    assert float(np.corrcoef(first, last)[0, 1]) > 0.9


def test_motion_lets_the_mark_be_stronger() -> None:
    rng = np.random.default_rng(5)
    wide = cv2.resize(rng.integers(30, 220, (64, 128, 3), np.uint8), (1024, 512))
    still = [wide[:, :512].copy()] * 30
    moving = [wide[:, 8 * n : 8 * n + 512].copy() for n in range(30)]
    psnr_db = []
    for frames in (still, moving):
        last = list(Embedder(PAYLOAD).embed(frames))[-1]
        psnr_db.append(10 * np.log10(255**2 / float(np.mean(_change(frames[-1], last) ** 2))))
    assert psnr_db[0] - psnr_db[1] == pytest.approx(MarkConfig().motion_db, abs=0.5)
    assert psnr_db[1] > 44


def _photo(width: int, height: int) -> Frame:
    rng = np.random.default_rng(2)
    coarse = rng.integers(30, 220, (height // 16, width // 16, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    return np.asarray(np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255), np.uint8)


@pytest.mark.parametrize(("width", "height"), [(512, 512), (320, 480), (256, 256)])
def test_marked_planes_carry_the_mark_of_the_frame(width: int, height: int) -> None:
    frame = _photo(width, height)
    plain = planes_of(rgb_to_yuv420(frame))
    config = MarkConfig(psnr_db=47.3, onset_db=0.0)
    marked = planes_of(Embedder(PAYLOAD, config=config).embed_planes(frame))
    by_frame = planes_of(rgb_to_yuv420(Embedder(PAYLOAD, config=config).embed_frame(frame)))
    assert (marked[1] == plain[1]).all()
    assert (marked[2] == plain[2]).all()
    change, expected = (plane[0].astype(np.float64) - plain[0] for plane in (marked, by_frame))
    assert np.corrcoef(change.ravel(), expected.ravel())[0, 1] > 0.85
    assert float(change.std()) == pytest.approx(float(expected.std()), rel=0.1)
    # A level of limited-range luma is 255 / 219 grey levels: the PSNR of RGB is kept. Both planes
    # were rounded, which is no part of the mark.
    error = (float(np.mean(change**2)) - 2 / 12) * (255 / 219) ** 2
    assert 10 * np.log10(255**2 / error) > config.psnr_db - 0.5


def test_marked_planes_reuse_a_buffer_and_follow_the_clip() -> None:
    frames = [_photo(256, 256), _half_textured(), _photo(256, 256)]
    one, other = Embedder(PAYLOAD), Embedder(PAYLOAD)
    buffer = np.empty((384, 256), np.uint8)
    for frame in frames:
        fresh = one.embed_planes(frame)
        assert other.embed_planes(frame, buffer) is buffer
        assert (fresh == buffer).all()


@pytest.mark.parametrize(("width", "height"), [(512, 512), (512, 910), (256, 256), (1920, 1080)])
def test_the_short_side_spans_the_torus_once(width: int, height: int) -> None:
    torus = pattern(PAYLOAD)
    laid = place(torus, width, height)
    assert laid.shape == (height, width)
    if min(width, height) >= TORUS_PX:
        assert float(laid.std()) == pytest.approx(1, abs=0.1)
    centre = float(laid[height // 2, width // 2])
    assert centre == pytest.approx(float(torus[0, 0]), abs=0.5)


@pytest.mark.parametrize(
    "settings",
    [
        {"psnr_db": 10.0},
        {"onset_db": -1.0},
        {"texture_share": 0.0},
        {"inertia": 1.0},
        {"most_levels": 0.01},
        {"motion_db": -1.0},
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        MarkConfig(**settings)
