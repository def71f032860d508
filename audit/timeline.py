"""A clip's timeline as shapes that any renderer can draw: key frames, and each face with its
scores.
"""

import dataclasses
import html
from collections.abc import Iterator

from obverse.audit.record import Record

__all__ = ["Line", "Poly", "Rect", "Shape", "Text", "Timeline", "draw", "svg"]

_WIDTH = 960.0
_LEFT, _RIGHT = 104.0, 14.0
_ROW, _FACE_ROW, _GAP = 18.0, 52.0, 8.0
_TICKS = 8  # of the axis, about
_MOST_FACES = 6
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600)
INK, SOFT, LINE, BAND, CURVE = "#1d1d1f", "#5c5c62", "#dedbd5", "#e6edf5", "#1c5d99"


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str
    width: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Poly:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1.5


@dataclasses.dataclass(frozen=True, slots=True)
class Rect:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """Words, their base line at `y`."""

    x: float
    y: float
    words: str
    colour: str = INK
    size: float = 12.0
    anchor: str = "start"  # start, middle or end


Shape = Line | Poly | Rect | Text


@dataclasses.dataclass(frozen=True, slots=True)
class Timeline:
    """Shapes on a sheet whose origin is the upper left corner."""

    width: float
    height: float
    seconds: float
    left: float  # x of second 0
    right: float  # x of the last second
    shapes: tuple[Shape, ...]
    words: str  # what it shows, for those who do not see it


def draw(record: Record) -> Timeline | None:
    """Return a record's timeline; None where the file has no duration."""
    seconds = float(record.timeline.get("seconds") or 0.0)
    if seconds <= 0:
        return None
    found = [face for face in record.faces if face["end_s"] >= face["begin_s"]]
    faces = found[:_MOST_FACES]
    right = _WIDTH - _RIGHT
    keys = [float(each) for each in record.timeline.get("key_frames") or []]
    height = 26 + _ROW + _GAP + len(faces) * (_FACE_ROW + _GAP) + 4
    scale = (right - _LEFT) / seconds
    shapes = [*_axis(seconds, scale, height), *_keys(keys, scale)]
    for index, face in enumerate(faces):
        top = 26 + _ROW + _GAP + index * (_FACE_ROW + _GAP)
        shapes += _face(face, top, scale, right)
    words = f"{seconds:.2f} seconds; key frames: {len(keys)}; faces: {len(found)}"
    if len(found) > len(faces):
        words += f", of which the first {len(faces)} are drawn"
    return Timeline(_WIDTH, height, seconds, _LEFT, right, tuple(shapes), words)


def _axis(seconds: float, scale: float, height: float) -> Iterator[Shape]:
    step = next((each for each in _STEPS if seconds / each <= _TICKS), seconds / _TICKS)
    count = int(seconds / step + 1e-9)
    yield Text(0, 14, "seconds", SOFT)
    for index in range(count + 1):
        x = _LEFT + index * step * scale
        yield Line(x, 20, x, height, LINE)
        yield Text(x, 14, f"{index * step:g}", SOFT, anchor="middle")


def _keys(keys: list[float], scale: float) -> Iterator[Shape]:
    yield Text(0, 26 + 13, "key frames", SOFT)
    for key in keys:
        x = _LEFT + key * scale
        yield Line(x, 26, x, 26 + _ROW, INK, 1.2)


def _face(face: dict[str, object], top: float, scale: float, right: float) -> Iterator[Shape]:
    begin, end = float(str(face["begin_s"])), float(str(face["end_s"]))
    x = _LEFT + begin * scale
    yield Text(0, top + 14, f"face {face['number']}")
    yield Rect(x, top, max(3.0, min(right, _LEFT + end * scale) - x), _FACE_ROW, BAND)
    times, raw = face["times"], face["raw"]
    if not isinstance(times, list) or not isinstance(raw, list) or not raw:
        yield Text(0, top + 30, "no score", SOFT, 10)
        return
    yield Text(0, top + 30, "1 is synthetic", SOFT, 10)
    yield Text(_LEFT - 5, top + 9, "1", SOFT, 10, "end")
    yield Text(_LEFT - 5, top + _FACE_ROW - 1, "0", SOFT, 10, "end")
    points = tuple(
        (round(_LEFT + float(at) * scale, 2), round(top + _FACE_ROW * (1 - float(value)), 2))
        for at, value in zip(times, raw, strict=True)
    )
    if len(points) > 1:
        yield Poly(points, CURVE)
    for across, down in points:
        yield Rect(across - 1.5, down - 1.5, 3, 3, CURVE)


def svg(timeline: Timeline) -> str:
    """Return a timeline as SVG that stands on a page; same input, same bytes."""
    parts = [
        f'<svg viewBox="0 0 {timeline.width:g} {timeline.height:g}" role="img" '
        f'aria-label="Timeline: {html.escape(timeline.words)}" class="timeline" '
        f'data-seconds="{timeline.seconds:g}" data-left="{timeline.left:g}" '
        f'data-right="{timeline.right:g}">'
    ]
    for shape in timeline.shapes:
        parts.append(_element(shape))
    return "\n".join([*parts, "</svg>"])


def _element(shape: Shape) -> str:
    if isinstance(shape, Line):
        return (
            f'<line x1="{shape.x1:.2f}" y1="{shape.y1:.2f}" x2="{shape.x2:.2f}" '
            f'y2="{shape.y2:.2f}" stroke="{shape.colour}" stroke-width="{shape.width:g}"/>'
        )
    if isinstance(shape, Poly):
        points = " ".join(f"{x:.2f},{y:.2f}" for x, y in shape.points)
        return (
            f'<polyline points="{points}" fill="none" stroke="{shape.colour}" '
            f'stroke-width="{shape.width:g}"/>'
        )
    if isinstance(shape, Rect):
        return (
            f'<rect x="{shape.x:.2f}" y="{shape.y:.2f}" width="{shape.width:.2f}" '
            f'height="{shape.height:.2f}" fill="{shape.colour}"/>'
        )
    return (
        f'<text x="{shape.x:.2f}" y="{shape.y:.2f}" fill="{shape.colour}" '
        f'font-size="{shape.size:g}" text-anchor="{shape.anchor}">{html.escape(shape.words)}</text>'
    )
