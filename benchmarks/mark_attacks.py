"""What happens to marked films: codecs, what platforms and editors do, and OmniSealBench's video
grid, for `benchmarks.mark_grid`.

An attack takes a film's frames one by one and yields what is left of them, so that a minute of film
need not fit in memory.
"""

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from obverse.media.colour import FrameConverter, rgb_to_yuv420
from obverse.media.priority import leave_real_time

__all__ = [
    "AFTER_RELEASE",
    "FPS",
    "ONCE",
    "RELEASE",
    "Attack",
    "Codec",
    "Frame",
    "decoded",
    "encoded",
    "undone",
]

Frame = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
Change = Callable[[Iterable[Frame]], Iterator[Frame]]
FPS = 25
_BT709, _LIMITED = 1, 1


@dataclasses.dataclass(frozen=True)
class Codec:
    """An encoder of PyAV and its settings."""

    name: str
    options: dict[str, str]
    container: str = "mp4"


def h264(crf: float, preset: str = "medium") -> Codec:
    """Return x264 at a constant rate factor."""
    return Codec("libx264", {"crf": f"{crf:g}", "preset": preset})


def h265(crf: float) -> Codec:
    """Return x265 at a constant rate factor."""
    return Codec("libx265", {"crf": f"{crf:g}", "x265-params": "log-level=none:pools=none"})


RELEASE = h264(18, "veryfast")  # as `obverse.generator.release` encodes


def encoded(planes: Iterable[Frame], codec: Codec, fps: int = FPS) -> bytes:
    """Encode pictures `[H * 3 / 2, W] uint8`, BT.709 limited-range I420."""
    data = io.BytesIO()
    with av.open(data, "w", format=codec.container) as out:
        stream: Any = out.add_stream(codec.name, rate=fps, options=codec.options)
        opened = False
        for picture in planes:
            if not opened:
                context = stream.codec_context
                context.width, context.height = picture.shape[1], picture.shape[0] * 2 // 3
                context.pix_fmt, context.thread_count = "yuv420p", 1
                context.colorspace = context.color_primaries = context.color_trc = _BT709
                context.color_range = _LIMITED
                out.start_encoding()
                leave_real_time()  # which SVT-AV1 takes
                opened = True
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="yuv420p")
            frame.colorspace, frame.color_range = _BT709, _LIMITED
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return data.getvalue()


def decoded(data: bytes) -> Iterator[Frame]:
    """Yield the frames of a film as `[H, W, 3] uint8 RGB`."""
    converter = FrameConverter()
    with av.open(io.BytesIO(data)) as film:
        stream = film.streams.video[0]
        stream.thread_count = 1
        for frame in film.decode(stream):
            yield converter.to_rgb(frame, frame.width, frame.height)


def _even(frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        height, width = (side // 2 * 2 for side in frame.shape[:2])
        yield rgb_to_yuv420(np.ascontiguousarray(frame[:height, :width]))


def _through(codec: Codec, fps: int = FPS) -> Change:
    return lambda frames: decoded(encoded(_even(frames), codec, fps))


def _each(change: Callable[[Frame], Frame]) -> Change:
    return lambda frames: (change(frame) for frame in frames)


def _then(*changes: Change) -> Change:
    def all_of_them(frames: Iterable[Frame]) -> Iterator[Frame]:
        for change in changes:
            frames = change(frames)
        return iter(frames)

    return all_of_them


def _scale(factor: float) -> Change:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC

    def change(frame: Frame) -> Frame:
        scaled = cv2.resize(frame, None, fx=factor, fy=factor, interpolation=how)
        return np.asarray(scaled, np.uint8)

    return _each(change)


def _window(share: float, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the left, top, width and height of a window of `share` of both sides, off the
    middle."""
    tall, wide = (round(side * share) // 2 * 2 for side in (height, width))
    return (width - wide) // 4, (height - tall) // 3, wide, tall


def _crop(share: float, *, enlarge: bool = False) -> Change:
    def change(frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        left, top, wide, tall = _window(share, width, height)
        window = np.ascontiguousarray(frame[top : top + tall, left : left + wide])
        if not enlarge:
            return window
        return np.asarray(cv2.resize(window, (width, height)), np.uint8)

    return _each(change)


def _warp(matrix: Callable[[int, int], Matrix]) -> Change:
    """Move a frame by the homography for its (width, height)."""

    def change(frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        moved = cv2.warpPerspective(frame, matrix(width, height), (width, height))
        return np.asarray(moved, np.uint8)

    return _each(change)


def _turned(degrees: float) -> Callable[[int, int], Matrix]:
    def matrix(width: int, height: int) -> Matrix:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        return np.vstack([turn, [0.0, 0.0, 1.0]])

    return matrix


# Where the corners go, in shares of the sides, clockwise from the top left.
_UNEVEN = ((1.0, 0.4), (-0.3, 0.9), (-0.8, -0.2), (0.2, -0.7))  # each in its own way
_FROM_BELOW = ((1.0, 0.0), (-1.0, 0.0), (0.0, 0.0), (0.0, 0.0))  # a trapezium


def _aslant(
    share: float, moves: Sequence[tuple[float, float]] = _UNEVEN
) -> Callable[[int, int], Matrix]:
    def matrix(width: int, height: int) -> Matrix:
        whole = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        moved = whole + share * np.array(moves, np.float32) * np.array([width, height], np.float32)
        return np.asarray(cv2.getPerspectiveTransform(whole, moved), np.float64)

    return matrix


def _byte(values: npt.NDArray[Any]) -> Frame:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _levels(factor: float, about: float = 0.0) -> Change:
    return _each(lambda frame: _byte((frame.astype(np.float32) - about) * factor + about))


def _saturate(factor: float) -> Change:
    def change(frame: Frame) -> Frame:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
        return _byte(grey + factor * (frame - grey))

    return _each(change)


def _hue(degrees: float) -> Change:
    def change(frame: Frame) -> Frame:
        hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees / 2)) % 180
        return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)

    return _each(change)


def _grey(frame: Frame) -> Frame:
    return np.repeat(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _jpeg(quality: int) -> Change:
    def change(frame: Frame) -> Frame:
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    return _each(change)


def _blur(pixels: int) -> Change:
    return _each(lambda frame: np.asarray(cv2.GaussianBlur(frame, (pixels, pixels), 0), np.uint8))


def _median(pixels: int) -> Change:
    return _each(lambda frame: np.asarray(cv2.medianBlur(frame, pixels), np.uint8))


def _soften(frame: Frame) -> Frame:
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), 1.0), np.uint8)


def _noisy(deviation: float) -> Change:
    def change(frames: Iterable[Frame]) -> Iterator[Frame]:
        rng = np.random.default_rng(0)
        for frame in frames:
            yield _byte(frame + rng.normal(0, deviation, frame.shape))

    return change


def _at_rate(fps: int, *, blended: bool) -> Change:
    """Go to another frame rate: the nearest frame is taken, or the two around a time are mixed."""

    def change(frames: Iterable[Frame]) -> Iterator[Frame]:
        before: Frame | None = None
        made = 0
        for number, frame in enumerate(frames):
            # All new frames up to this one's time.
            while made * FPS <= number * fps:
                share = number - made * FPS / fps  # of the frame before, [0, 1)
                if before is None or not blended:
                    yield frame if before is None or share <= 0.5 else before
                else:
                    mixed = cv2.addWeighted(before, share, frame, 1 - share, 0)
                    yield np.asarray(mixed, np.uint8)
                made += 1
            before = frame

    return change


def _dropped(share: float) -> Change:
    """Lose frames at random, as a bad line does; the first is kept."""

    def change(frames: Iterable[Frame]) -> Iterator[Frame]:
        rng = np.random.default_rng(0)
        for number, frame in enumerate(frames):
            if rng.random() >= share or number == 0:
                yield frame

    return change


def _only(first: int, count: int) -> Change:
    def change(frames: Iterable[Frame]) -> Iterator[Frame]:
        for number, frame in enumerate(frames):
            if number >= first + count:
                return
            if number >= first:
                yield frame

    return change


def _desk(height: int, width: int) -> Frame:
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    ground = 110 + 50 * np.sin(columns / 37) * np.cos(rows / 53) + 10 * np.sin(columns / 5 + rows)
    return np.repeat(_byte(ground)[..., None], 3, axis=2)


def _around(width: int, height: int) -> tuple[int, int]:
    """Return the width and height of a screen of 16:9, or 9:16, with a frame's short side."""
    short = min(height, width)
    long = short * 16 // 9 // 2 * 2
    return (long, short) if width >= height else (short, long)


def _spot(share: float, corner: bool, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the left, top, width and height of a frame on a desktop, its short side `share` of
    the desktop's."""
    over, down = _around(width, height)
    wide, tall = min(over, round(width * share)), min(down, round(height * share))
    left, top = (over - 20 - wide, 20) if corner else ((over - wide) // 2, (down - tall) // 2)
    return max(0, left), max(0, min(top, down - tall)), wide, tall


def _pasted(frame: Frame, share: float, *, corner: bool) -> Frame:
    height, width = frame.shape[:2]
    over, down = _around(width, height)
    picture = _desk(down, over)
    left, top, wide, tall = _spot(share, corner, width, height)
    shown = cv2.resize(frame, (wide, tall), interpolation=cv2.INTER_AREA)
    picture[top : top + tall, left : left + wide] = shown
    return picture


def _recorded(frame: Frame) -> Frame:
    """Show a frame in a window of a desktop: a title above, buttons below, a pointer on it."""
    out = _pasted(frame, 0.8, corner=False)
    height, width = out.shape[:2]
    bar = round(0.1 * min(height, width))
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.rectangle(out, (0, 0), (width, bar // 2), (235, 235, 235), -1)
    cv2.putText(out, "player", (8, bar // 2 - 6), font, bar / 90, (20, 20, 20), 1)
    cv2.rectangle(out, (0, height - bar // 2), (width, height), (30, 30, 34), -1)
    cv2.circle(out, (width * 3 // 5, height * 3 // 5), bar // 4, (250, 250, 250), -1)
    return out


def _captioned(frame: Frame) -> Frame:
    """Put a channel's logo and two lines of subtitles over a frame."""
    out = frame.copy()
    height, width = out.shape[:2]
    unit = min(height, width) / 512
    font = cv2.FONT_HERSHEY_SIMPLEX

    def at(left: float, top: float) -> tuple[int, int]:
        return round(left * unit), round(top * unit)

    wide, tall = width / unit, height / unit
    cv2.circle(out, at(wide - 50, 45), round(30 * unit), (255, 60, 20), -1)
    cv2.putText(out, "TV", at(wide - 70, 52), font, 0.8 * unit, (255, 255, 255), 2)
    cv2.rectangle(out, at(20, tall - 90), at(wide - 20, tall - 20), (0, 0, 0), -1)
    text = "and this is what was said"
    cv2.putText(out, text, at(40, tall - 48), font, 0.9 * unit, (255, 255, 255), 2)
    return out


_CLOSER = 1.3
_LEANS, _TURNS = _aslant(0.015), _turned(1.0)
_FILMED = _then(
    _scale(_CLOSER),
    _warp(_LEANS),
    _warp(_TURNS),
    _each(_soften),
    _levels(0.85, 20),
    _noisy(4.0),
    _through(h264(26)),
)


def _on_film(width: int, height: int) -> Matrix:
    wide, tall = round(width * _CLOSER), round(height * _CLOSER)
    closer = np.diag([_CLOSER, _CLOSER, 1.0])
    return _TURNS(wide, tall) @ _LEANS(wide, tall) @ closer


_PLATFORM = _then(_scale(0.7), _through(h264(28)))
_TWO_PLATFORMS = _then(_PLATFORM, _scale(1.4), _through(h264(30)))
_THREE_PLATFORMS = _then(_TWO_PLATFORMS, _through(h264(28)))


def _within(share: float) -> Callable[[int, int], Matrix]:
    def matrix(width: int, height: int) -> Matrix:
        left, top, _, _ = _window(share, width, height)
        return np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])

    return matrix


def _upon(share: float, *, corner: bool) -> Callable[[int, int], Matrix]:
    def matrix(width: int, height: int) -> Matrix:
        left, top, wide, tall = _spot(share, corner, width, height)
        return np.array([[wide / width, 0, left], [0, tall / height, top], [0, 0, 1]])

    return matrix


@dataclasses.dataclass(frozen=True)
class Attack:
    """Something that happens to a released film."""

    change: Change
    seconds: int = 1  # of the film that it is done to
    whole: bool = False  # also done to films of a minute
    goal: float = 1.0  # share of clips whose payload is to come back
    # Where a pixel of a film of (width, height) goes, a homography [3, 3]; None where the picture
    # stays whole and straight, whatever its size.
    place: Callable[[int, int], Matrix] | None = None


def undone(frames: Iterable[Frame], attack: Attack, width: int, height: int) -> Iterator[Frame]:
    """Yield an attacked film of (width, height) with its pixels where they were before."""
    for frame in frames:
        if attack.place is None:
            yield frame
        else:
            back = cv2.warpPerspective(
                frame,
                attack.place(width, height),
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            )
            yield np.asarray(back, np.uint8)


# Encoders that a marked film goes into at once, and the share of clips that are to come back.
ONCE: dict[str, tuple[Codec, float]] = {
    "CRF 28": (h264(28), 1.0),
    "CRF 32": (h264(32), 1.0),
    "CRF 36": (h264(36), 0.9),
    "CRF 40": (h264(40), 0.6),
}

# What is done to a film after its release, which encodes it at CRF 18.
AFTER_RELEASE: dict[str, Attack] = {
    "as released": Attack(lambda frames: iter(frames), 3, whole=True),
    "released, CRF 28": Attack(_through(h264(28)), 3),
    "released, CRF 32": Attack(_through(h264(32)), 3),
    "released, CRF 36": Attack(_through(h264(36)), 3, goal=0.9),
    "released, CRF 40": Attack(_through(h264(40)), 3, whole=True, goal=0.6),
    "H.265 CRF 28": Attack(_through(h265(28)), 3),
    "H.265 CRF 32": Attack(_through(h265(32)), 3),
    "AV1 CRF 45": Attack(
        _through(Codec("libsvtav1", {"crf": "45", "preset": "8", "svtav1-params": "lp=1"})), 3
    ),
    "VP9 CRF 36": Attack(
        _through(Codec("libvpx-vp9", {"crf": "36", "b:v": "0", "cpu-used": "5"}, "webm")), 3
    ),
    "crop .71": Attack(_crop(0.71), place=_within(0.71)),
    "crop .55": Attack(_crop(0.55), place=_within(0.55)),
    "crop .71, enlarged, CRF 28": Attack(_then(_crop(0.71, enlarge=True), _through(h264(28)))),
    "resize .71": Attack(_scale(0.71)),
    "resize .55": Attack(_scale(0.55)),
    "resize .5": Attack(_scale(0.5)),
    "resize 2": Attack(_scale(2.0)),
    "rotate 10": Attack(_warp(_turned(10.0)), place=_turned(10.0)),
    "perspective 2 %": Attack(_warp(_aslant(0.02)), place=_aslant(0.02)),
    "perspective 5 %": Attack(_warp(_aslant(0.05)), place=_aslant(0.05)),
    "trapezium 5 %": Attack(_warp(_aslant(0.05, _FROM_BELOW)), place=_aslant(0.05, _FROM_BELOW)),
    "brightness .5": Attack(_levels(0.5)),
    "brightness 1.5": Attack(_levels(1.5)),
    "contrast .5": Attack(_levels(0.5, 128)),
    "contrast 1.5": Attack(_levels(1.5, 128)),
    "saturation 1.5": Attack(_saturate(1.5)),
    "hue 36 degrees": Attack(_hue(36.0)),
    "grey": Attack(_each(_grey)),
    "JPEG 40": Attack(_jpeg(40)),
    "blur, 9 px": Attack(_blur(9)),
    "median, 5 px": Attack(_median(5)),
    "H.264, crop .71, brightness .5": Attack(
        _then(_through(h264(28)), _crop(0.71), _levels(0.5)), whole=True, place=_within(0.71)
    ),
    "mirror, CRF 28": Attack(_then(_each(lambda frame: frame[:, ::-1].copy()), _through(h264(28)))),
    "a third of the frames lost, CRF 28": Attack(_then(_dropped(1 / 3), _through(h264(28)))),
    "15 fps, CRF 28": Attack(_then(_at_rate(15, blended=False), _through(h264(28), 15))),
    "60 fps, blended, CRF 28": Attack(_then(_at_rate(60, blended=True), _through(h264(28), 60))),
    "cut to 1 s, CRF 28": Attack(_then(_only(FPS, FPS), _through(h264(28))), 3),
    # Without the frames that are marked most strongly.
    "first second cut off, CRF 36": Attack(
        _then(_only(FPS, 2 * FPS), _through(h264(36))), 3, goal=0.9
    ),
    "first second cut off, CRF 40": Attack(
        _then(_only(FPS, 2 * FPS), _through(h264(40))), 3, goal=0.6
    ),
    "one frame, CRF 28": Attack(_then(_through(h264(28)), _only(0, 1))),
    "picture in picture": Attack(
        _each(lambda frame: _pasted(frame, 0.6, corner=True)), place=_upon(0.6, corner=True)
    ),
    "picture in picture, CRF 28": Attack(
        _then(_each(lambda frame: _pasted(frame, 0.6, corner=True)), _through(h264(28))),
        place=_upon(0.6, corner=True),
    ),
    "logo and subtitles, CRF 28": Attack(_then(_each(_captioned), _through(h264(28)))),
    "screen recording, CRF 28": Attack(
        _then(_each(_recorded), _through(h264(28))), place=_upon(0.8, corner=False)
    ),
    "filmed from a screen": Attack(_FILMED, place=_on_film),
    "platform (.7x, CRF 28)": Attack(_PLATFORM, 3),
    "two platforms": Attack(_TWO_PLATFORMS, 3),
    "three platforms, 1 s": Attack(_THREE_PLATFORMS, 1),
    "three platforms, 3 s": Attack(_THREE_PLATFORMS, 3, whole=True),
}
