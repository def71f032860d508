"""Stills: pictures as upright sRGB pixels, and pixels as a file without metadata."""

import functools
import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from obverse.errors import ConfigError, InputError
from obverse.files import write_whole
from obverse.media.container import require_file

__all__ = ["decode_still", "read_still", "write_still"]

MAX_PIXELS = 100_000_000  # a decoded picture of 300 MB; more is refused before it is decoded

# Formats decoded inside this process; EPS and WMF would start other programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000")
_SAVED_AS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@functools.cache
def _readable() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # AVIF is not in every Pillow


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Return a grey picture of 16 or 32 bits, or of floats, as 8 bits."""
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        scale = 255.0 if values.size and values.max() <= 1.0 else 1.0
    else:
        scale = 255.0 / 65535.0
    return Image.fromarray(
        np.rint(np.clip(np.nan_to_num(values * scale), 0, 255)).astype(np.uint8), "L"
    )


def _to_srgb(image: Image.Image) -> Image.Image:
    """Apply an embedded colour profile; a picture with none, or a broken one, is taken for sRGB."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "L", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return image
    return converted if converted is not None else image


def _flattened(image: Image.Image) -> Image.Image:
    """Return RGB, transparency laid over white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _to_eight_bits(image)
    if image.mode in ("PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        colour = rgba.convert("RGB")
        if "icc_profile" in image.info:
            colour.info["icc_profile"] = image.info["icc_profile"]
            colour = _to_srgb(colour)
        white = Image.new("RGB", rgba.size, (255, 255, 255))
        white.paste(colour, mask=alpha)
        return white
    return _to_srgb(image).convert("RGB")


def read_still(path: Path) -> npt.NDArray[np.uint8]:
    """Read a picture as `[H, W, 3] uint8 RGB`: upright by EXIF, transparency over white, sRGB.

    Grey, palette, CMYK and 16-bit pictures are converted; of an animation the first frame is read.

    Raises:
        InputError: the file is absent, empty, damaged, too large, or not a picture.
    """
    require_file(path)
    return _read(path, str(path))


def decode_still(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Read a picture from its bytes, as `read_still` does from a file; `name` is for errors.

    Raises:
        InputError: the bytes are damaged, too large, or no picture.
    """
    return _read(io.BytesIO(content), name)


def _read(source: Path | io.BytesIO, name: str) -> npt.NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Pillow warns of odd EXIF and of size; size is checked below
            with Image.open(source, formats=_readable()) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise InputError(
                        f"{name} has {opened.width}x{opened.height} pixels; at most "
                        f"{MAX_PIXELS // 10**6} million are read, scale it down."
                    )
                opened.load()
                image = ImageOps.exif_transpose(opened)
            return np.array(_flattened(image), np.uint8)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name} is not a picture that can be read; give a PNG, JPEG or WebP file."
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{name} has more than {MAX_PIXELS // 10**6} million pixels; scale it down."
        ) from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        TypeError,
        MemoryError,
    ) as error:
        # Pillow's readers raise all of these on broken files.
        reason = str(error).rstrip(".") or type(error).__name__
        raise InputError(
            f"{name} is damaged ({reason}); get a whole copy of the picture."
        ) from error


def write_still(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write RGB `[H, W, 3]` or grey `[H, W]` uint8 as PNG, JPEG or WebP, by the name's ending.

    No metadata is written.
    """
    kind = _SAVED_AS.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(
            f"{path} ends in {path.suffix!r}; a still is written as .png, .jpg or .webp."
        )
    shape_ok = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not shape_ok or 0 in image.shape:
        raise ConfigError(
            f"an image has shape {image.shape} and type {image.dtype}; "
            "it must be [H, W, 3] or [H, W] uint8."
        )
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}, "PNG": {}}[kind]
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, kind, **options)
    write_whole(path, encoded.getvalue())
