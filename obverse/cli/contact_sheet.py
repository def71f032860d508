"""A contact sheet: rows of stills taken from clips, each with a caption."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from obverse.errors import InputError
from obverse.media.video import probe, read_frames

__all__ = ["SheetRow", "contact_sheet", "moments"]

_GAP_PX = 6
_HEADING_PX = 30  # of a line of text
_GROUND = (250, 250, 248)
_INK = (30, 30, 30)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SheetRow:
    """A caption and pictures of one height, left to right; None leaves a gap."""

    caption: str
    pictures: tuple[npt.NDArray[np.uint8] | None, ...]


def moments(path: Path, count: int) -> tuple[npt.NDArray[np.uint8], ...]:
    """Return `count` frames `[H, W, 3] uint8 RGB` spread evenly over a clip.

    Raises:
        InputError: the clip cannot be read or is shorter than that.
    """
    frames = probe(path).frames or 0
    wanted = {round((index + 0.5) * frames / count - 0.5): index for index in range(count)}
    if len(wanted) < count:
        raise InputError(f"{path} has {frames} frames; {count} are needed.")
    return tuple(frame for index, frame in enumerate(read_frames(path)) if index in wanted)


def contact_sheet(
    headings: Sequence[str], rows: Sequence[SheetRow], tile_px: int = 180
) -> npt.NDArray[np.uint8]:
    """Lay rows of pictures out under headings, one heading a picture; returns `[H, W, 3] uint8
    RGB`.
    """
    columns = max(len(row.pictures) for row in rows)
    step = tile_px + _GAP_PX
    width = columns * step + _GAP_PX
    height = _HEADING_PX + len(rows) * (step + _HEADING_PX) + _GAP_PX
    sheet = Image.new("RGB", (width // 2 * 2, height // 2 * 2), _GROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for column, heading in enumerate(headings):
        draw.text((_GAP_PX + column * step, 7), heading, fill=_INK, font=font)
    for number, row in enumerate(rows):
        top = _HEADING_PX + number * (step + _HEADING_PX)
        draw.text((_GAP_PX, top + 6), row.caption, fill=_INK, font=font)
        for column, picture in enumerate(row.pictures):
            if picture is not None:
                tile = cv2.resize(picture, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
                sheet.paste(Image.fromarray(tile), (_GAP_PX + column * step, top + _HEADING_PX))
    return np.array(sheet)
