"""Stills in and out of files: modes, orientation, colour profiles, transparency and damage."""

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from obverse.errors import ConfigError, InputError
from obverse.media import still
from obverse.media.still import read_still, write_still

Pixels = npt.NDArray[np.uint8]


def picture(width: int = 40, height: int = 30) -> Pixels:
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.stack([40 + 160 * x, 60 + 120 * y, 180 - 100 * x * y], -1).round().astype(np.uint8)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(width=st.integers(1, 70), height=st.integers(1, 70), grey=st.booleans())
def test_png_round_trip(tmp_path: Path, width: int, height: int, grey: bool) -> None:
    image = np.random.default_rng(width * 71 + height).integers(
        0, 256, (height, width, 3), np.uint8
    )
    if grey:
        image[:] = image[..., :1]
    write_still(tmp_path / "a.png", image[..., 0] if grey else image)
    assert np.array_equal(read_still(tmp_path / "a.png"), image)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.webp"])
def test_lossy_round_trip(tmp_path: Path, name: str) -> None:
    write_still(tmp_path / name, picture())
    read = read_still(tmp_path / name)
    assert read.shape == (30, 40, 3)
    assert np.abs(read.astype(int) - picture()).mean() < 2


def test_nothing_but_pixels_is_written(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.webp"):
        write_still(tmp_path / name, picture())
        with Image.open(tmp_path / name) as image:
            assert not image.getexif()
            assert not {"icc_profile", "Software", "comment"} & set(image.info)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_are_shown_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = picture()
    stored = {  # TIFF 6.0, tag 274: how the rows and columns of the file hang
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "a.still"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, kind, exif=exif, quality=98)
    read = read_still(path)
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).mean() < 2


@pytest.mark.parametrize(
    "mode", ["RGBA", "LA", "PA", "P with a transparent colour", "RGB with one"]
)
def test_transparency_is_laid_over_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    alpha = np.zeros((30, 40), np.uint8)
    alpha[:, 20:] = 255
    alpha[:5, :] = 128
    if mode in ("RGBA", "LA"):
        black = np.zeros((30, 40, 1 if mode == "LA" else 3), np.uint8)
        Image.fromarray(np.concatenate([black, alpha[..., None]], -1)).save(path)
    elif mode == "PA":
        path = tmp_path / "a.webp"
        black = np.zeros((30, 40, 3), np.uint8)
        Image.fromarray(np.concatenate([black, alpha[..., None]], -1)).save(path, lossless=True)
    elif mode.startswith("P "):
        palette = Image.fromarray((alpha > 200).astype(np.uint8), "L").convert("P")
        palette.putpalette([9, 9, 9, 0, 0, 0])
        palette.save(path, transparency=0)
    else:
        colours = np.full((30, 40, 3), 9, np.uint8)
        colours[alpha > 200] = 0
        Image.fromarray(colours).save(path, transparency=(9, 9, 9))
    image = read_still(path)
    assert image.shape == (30, 40, 3)
    assert (image[10:, :20] == 255).all()
    assert (image[10:, 20:] == 0).all()
    if mode in ("RGBA", "LA", "PA"):
        assert np.abs(image[:5].astype(int) - 127).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_modes(tmp_path: Path, mode: str) -> None:
    grey = np.tile(np.arange(0, 240, 6, dtype=np.uint8), (30, 1))
    source = Image.fromarray(grey)
    path = tmp_path / "a.tif"
    expected = np.repeat(grey[..., None], 3, -1).astype(int)
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif mode == "I":
        Image.fromarray(grey.astype(np.int32) * 257).save(path)
    elif mode == "F":
        Image.fromarray(grey.astype(np.float32) / 255).save(path)
    elif mode == "YCbCr":
        path = tmp_path / "a.jpg"
        source.convert("RGB").convert("YCbCr").save(path, quality=100)
    else:
        source.convert(mode).save(path)
        if mode == "1":
            expected = np.repeat(np.asarray(source.convert("1"))[..., None] * 255, 3, -1).astype(
                int
            )
    image = read_still(path)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected).max() <= 3


def test_sixteen_bit_png(tmp_path: Path) -> None:
    levels = np.tile(np.arange(0, 65536, 2048, dtype=np.uint16), (8, 1))
    Image.fromarray(levels).save(tmp_path / "a.png")
    expected = np.rint(levels / 257)
    assert np.array_equal(read_still(tmp_path / "a.png")[..., 0], expected)


def test_colour_profiles_are_applied(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(picture()).save(tmp_path / "a.png", icc_profile=lab)
    assert np.abs(read_still(tmp_path / "a.png").astype(int) - picture()).max() <= 1
    Image.fromarray(picture()).save(tmp_path / "b.png", icc_profile=b"not a profile")
    assert np.array_equal(read_still(tmp_path / "b.png"), picture())


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 10), (level, 0, 0)) for level in (255, 0)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_still(tmp_path / "a.gif")[5, 5].tolist() == [255, 0, 0]


def _refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_still(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(path) in message
    return message


def test_what_is_not_a_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("Call me Ishmael.")
    (tmp_path / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "cannot be opened" in _refused(tmp_path / "absent.png")
    assert "directory" in _refused(tmp_path)
    assert "empty" in _refused(tmp_path / "empty.png")
    assert "not a picture" in _refused(tmp_path / "text.png")
    assert "not a picture" in _refused(tmp_path / "page.eps")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9])
def test_pictures_that_break_off(tmp_path: Path, name: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    write_still(tmp_path / name, noise)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * kept)])
    _refused(tmp_path / name)


def test_bombs_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_still(tmp_path / "a.png", picture())
    monkeypatch.setattr(still, "MAX_PIXELS", 1000)
    assert "scale it down" in _refused(tmp_path / "a.png")
    claim = bytearray((tmp_path / "a.png").read_bytes())
    claim[16:24] = struct.pack(">II", 20000, 20000)  # the header's width and height
    claim[29:33] = struct.pack(">I", zlib.crc32(claim[12:29]))
    (tmp_path / "b.png").write_bytes(bytes(claim))
    assert "scale it down" in _refused(tmp_path / "b.png")


def test_stills_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ends in"):
        write_still(tmp_path / "a.bmp", picture())
    with pytest.raises(ConfigError, match="shape"):
        write_still(tmp_path / "a.png", picture()[..., :2])
    with pytest.raises(ConfigError, match="uint8"):
        write_still(tmp_path / "a.png", picture().astype(np.uint16).astype(np.int64))
    assert not list(tmp_path.iterdir())
