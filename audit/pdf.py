"""The report as PDF, of the same record as the page; the same record gives the same bytes."""

import base64
import dataclasses
import functools
import html
import io
import itertools
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image as Picture
from reportlab.graphics.shapes import Drawing, PolyLine, String
from reportlab.graphics.shapes import Line as DrawnLine
from reportlab.graphics.shapes import Rect as DrawnRect
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from obverse.audit.likelihood import SCALE, SCALE_SOURCE
from obverse.audit.page import face_words, require_picture
from obverse.audit.record import Record
from obverse.audit.timeline import Line, Poly, Rect, Timeline, draw
from obverse.errors import AuditError, ConfigError, InputError
from obverse.media.still import decode_still

__all__ = ["pdf"]

# DejaVu comes with matplotlib: Latin, Greek, Cyrillic and more, and no system's fonts are needed.
_FONTS = {"Sans": "DejaVuSans.ttf", "SansBold": "DejaVuSans-Bold.ttf", "Mono": "DejaVuSansMono.ttf"}
# PDF's own names for East Asian fonts, which the reader brings along, and a codec that knows no
# more letters than the font.
_EAST_ASIAN = {"HeiseiKakuGo-W5": "cp932", "HYGothic-Medium": "cp949", "STSong-Light": "gbk"}
_KANA, _HANGUL = ("\u3040", "\u30ff"), ("\uac00", "\ud7a3")
_NUMBERED = "numbered"  # letters that are given by their Unicode numbers
_SIDE = 18 * mm
_PADDING = 6.0  # of reportlab's frame on each side
_WIDTH = A4[0] - 2 * _SIDE - 2 * _PADDING
_INK, _SOFT, _BAD = colors.HexColor("#1d1d1f"), colors.HexColor("#5c5c62"), "#a3211a"
_MOST_LETTERS = 2000  # of one cell, which must fit on a page


def _style(name: str, size: float, **more: Any) -> ParagraphStyle:
    values: dict[str, Any] = {"fontName": "Sans", "textColor": _INK, "leading": size * 1.38} | more
    return ParagraphStyle(name, fontSize=size, splitLongWords=1, **values)


_BODY = _style("body", 9, spaceAfter=2)
_SMALL = _style("small", 7.5, textColor=_SOFT)
_CELL = _style("cell", 8)
_NAME = _style("name", 8, textColor=_SOFT)
_HEAD = _style("head", 12.5, fontName="SansBold", spaceBefore=12, spaceAfter=4, keepWithNext=1)
_SUB = _style("sub", 9.5, fontName="SansBold", spaceBefore=6, spaceAfter=2, keepWithNext=1)
_VERDICT = _style("verdict", 17, fontName="SansBold", spaceAfter=4)
_ITEM = _style("item", 9, leftIndent=10, bulletIndent=1, spaceAfter=1)


def _register() -> None:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name, file in _FONTS.items():
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, str(folder / file)))
    pdfmetrics.registerFontFamily(
        "Sans", normal="Sans", bold="SansBold", italic="Sans", boldItalic="SansBold"
    )
    for name in _EAST_ASIAN:
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(UnicodeCIDFont(name))
        pdfmetrics.registerFontFamily(name, normal=name, bold=name, italic=name, boldItalic=name)


def pdf(record: Record) -> bytes:
    """Return the report as PDF.

    Raises:
        AuditError: the record is damaged.
    """
    _register()
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=_SIDE,
        rightMargin=_SIDE,
        topMargin=_SIDE,
        bottomMargin=_SIDE,
        title=f"Audit of {record.exhibit.get('name', '')}",
        author="obverse",
        invariant=1,  # no clock and no random identifier
    )
    try:
        digest = str(record.exhibit["sha256"])
        document.build(
            list(_story(record)),
            onFirstPage=lambda canvas, page: _foot(canvas, page, digest),
            onLaterPages=lambda canvas, page: _foot(canvas, page, digest),
        )
    except (TypeError, ValueError, KeyError, AttributeError, ConfigError, InputError) as error:
        raise AuditError(
            f"the audit's record is damaged ({error}); audit the clip again."
        ) from error
    return out.getvalue()


def _foot(canvas: Any, document: Any, digest: str) -> None:
    canvas.setFont("Sans", 7)
    canvas.setFillColor(_SOFT)
    canvas.drawString(_SIDE, 10 * mm, f"exhibit sha256 {digest}")
    canvas.drawRightString(A4[0] - _SIDE, 10 * mm, str(document.page))


def _text(words: object) -> str:
    shown = str(words)
    if len(shown) > _MOST_LETTERS:
        shown = shown[:_MOST_LETTERS] + "..."
    fonts = _east_asian_fonts(shown)
    runs = itertools.groupby(shown, lambda letter: _font_of(letter, fonts))
    return "".join(_run(font, "".join(letters)) for font, letters in runs)


def _run(font: str, letters: str) -> str:
    if font == _NUMBERED:
        return "[" + " ".join(f"U+{ord(letter):04X}" for letter in letters) + "]"
    words = html.escape(letters)
    return words if font == "Sans" else f'<font name="{font}">{words}</font>'


def _east_asian_fonts(words: str) -> tuple[str, ...]:
    """Return the fonts to try in turn: Chinese characters look as the language has them."""
    japanese, korean, chinese = _EAST_ASIAN
    if any(_KANA[0] <= letter <= _KANA[1] for letter in words):
        return japanese, chinese, korean
    if any(_HANGUL[0] <= letter <= _HANGUL[1] for letter in words):
        return korean, chinese, japanese
    return chinese, korean, japanese


def _font_of(letter: str, east_asian: tuple[str, ...]) -> str:
    """Return the font that shows a letter as it is, or that it must be numbered.

    Numbered is what no font has, what is written from right to left, for which reportlab neither
    joins nor orders letters, and what cannot be seen: a sign that turns the order of a file's
    name around is better read than obeyed.
    """
    if letter in " \t\r\n":
        return "Sans"
    if unicodedata.bidirectional(letter) in ("R", "AL", "AN") or unicodedata.category(letter) in (
        "Cc",
        "Cf",
        "Co",
        "Cs",
        "Cn",
    ):
        return _NUMBERED
    if ord(letter) in _sans_letters():
        return "Sans"
    for font in east_asian:
        try:
            letter.encode(_EAST_ASIAN[font])
        except UnicodeEncodeError:
            continue
        return font
    return _NUMBERED


@functools.cache
def _sans_letters() -> frozenset[int]:
    """Return the code points that both weights of the text's font can draw."""
    drawn = [set(pdfmetrics.getFont(name).face.charToGlyph) for name in ("Sans", "SansBold")]
    return frozenset(drawn[0] & drawn[1])


def _letters_note(record: Record) -> str:
    """Say what a reader may see in place of a stranger's letters; empty where there are none."""
    words = json.dumps(dataclasses.asdict(record), ensure_ascii=False)
    fonts = {_font_of(letter, tuple(_EAST_ASIAN)) for letter in set(words)}
    said = ""
    if fonts & set(_EAST_ASIAN):
        said += (
            "Chinese, Japanese and Korean letters are drawn with fonts of the program that shows "
            "this file; where it has none, their place is empty. "
        )
    if _NUMBERED in fonts:
        said += "Letters that this file's fonts cannot show are given by their Unicode numbers. "
    return said + "The report's HTML and JSON have all letters as they were." if said else ""


def _escaped(name: str) -> list[tuple[str, object]]:
    """Return a row with a name's letters by their numbers, where a viewer might leave any out."""
    drawn = all(_font_of(letter, ()) == "Sans" for letter in name)
    return [] if drawn else [("name, escaped", name.encode("unicode_escape").decode())]


def _rows(rows: list[tuple[str, object]]) -> Table:
    cells = [[Paragraph(_text(n), _NAME), Paragraph(_text(v), _CELL)] for n, v in rows]
    table = Table(cells, colWidths=[32 * mm, _WIDTH - 32 * mm], hAlign="LEFT")
    table.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ]
    )
    return table


def _items(words: list[str]) -> Iterator[Any]:
    for each in words:
        yield Paragraph(_text(each), _ITEM, bulletText="\N{BULLET}")


def _story(record: Record) -> Iterator[Any]:
    exhibit, times = record.exhibit, record.times
    yield Paragraph(f"Audit of {_text(exhibit['name'])}", _SMALL)
    title = _text(record.title)
    yield Paragraph(f'<font color="{_BAD}">{title}</font>' if record.wrong else title, _VERDICT)
    wrong = " The content is not what it claims to be." if record.wrong else ""
    yield Paragraph(f"Confidence: <b>{_text(record.confidence)}</b>.{wrong}", _BODY)
    yield from _items(record.reasons)
    yield Paragraph("Exhibit", _HEAD)
    yield _rows(
        [
            ("sha256", exhibit["sha256"]),
            ("name", exhibit["name"]),
            *_escaped(exhibit["name"]),
            ("size", f"{exhibit['bytes']} bytes, {exhibit['media_type']}"),
            ("file system's time", exhibit["modified"]),
            ("looked into", f"{times['started']} to {times['finished']}"),
        ]
    )
    note = _letters_note(record)
    if note:
        yield Paragraph(note, _SMALL)
    yield Paragraph("Findings", _HEAD)
    for finding in record.findings:
        rows = [(name.replace("_", " "), finding[name]) for name in _FINDING]
        yield KeepTogether([Paragraph(_text(finding["method"]), _SUB), _rows(rows)])
    timeline = draw(record)
    if timeline is not None:
        yield KeepTogether(
            [
                Paragraph("Timeline", _HEAD),
                _drawing(timeline),
                Paragraph(
                    f"{_text(timeline.words)}. The curve is the detector's raw score, which orders "
                    "moments and is no probability.",
                    _SMALL,
                ),
            ]
        )
    yield from _faces(record)
    yield from _manifests(record)
    yield Paragraph("Container and codec history", _HEAD)
    for fact in record.history:
        rows = [("is", fact["value"]), ("can say", fact["says"]), ("cannot say", fact["cannot"])]
        yield KeepTogether([Paragraph(_text(fact["name"]), _SUB), _rows(rows)])
    if not record.history:
        yield Paragraph("None could be read.", _BODY)
    yield Paragraph("Limits", _HEAD)
    yield from _items(record.limits)
    yield from _making(record)


_FINDING = ("result", "error_rate", "conditions")


def _drawing(timeline: Timeline) -> Drawing:
    scale = _WIDTH / timeline.width
    drawing = Drawing(_WIDTH, timeline.height * scale)
    top = timeline.height

    def at(x: float, y: float) -> tuple[float, float]:
        return x * scale, (top - y) * scale  # PDF counts from below

    for shape in timeline.shapes:
        colour = colors.HexColor(shape.colour)
        if isinstance(shape, Line):
            ends = (*at(shape.x1, shape.y1), *at(shape.x2, shape.y2))
            drawing.add(DrawnLine(*ends, strokeColor=colour, strokeWidth=shape.width * scale))
        elif isinstance(shape, Poly):
            points = [value for point in shape.points for value in at(*point)]
            drawing.add(PolyLine(points, strokeColor=colour, strokeWidth=shape.width * scale))
        elif isinstance(shape, Rect):
            x, y = at(shape.x, shape.y + shape.height)
            size = (shape.width * scale, shape.height * scale)
            drawing.add(DrawnRect(x, y, *size, fillColor=colour, strokeColor=None))
        else:
            x, y = at(shape.x, shape.y)
            drawing.add(
                String(
                    x,
                    y,
                    shape.words,
                    fontName="Sans",
                    fontSize=shape.size * scale,
                    fillColor=colour,
                    textAnchor=shape.anchor,
                )
            )
    return drawing


def _picture(text: object, most_height: float) -> Image:
    data = base64.b64decode(require_picture(text), validate=True)
    decode_still(data, "a picture in the audit's record")
    with Picture.open(io.BytesIO(data)) as image:
        width, height = image.size
    scale = min(_WIDTH / width, most_height / height)
    return Image(io.BytesIO(data), width * scale, height * scale)


def _faces(record: Record) -> Iterator[Any]:
    yield Paragraph("Faces", _HEAD)
    if not record.faces:
        yield Paragraph("No face was found or looked for.", _BODY)
    for face in record.faces:
        shown = [_picture(face["picture"], 80 * mm)] if face["picture"] else []
        yield KeepTogether([*shown, Paragraph(_text(face_words(face)), _SMALL), Spacer(1, 4)])
    if record.worst:
        yield Paragraph("Frames with the highest raw scores", _SUB)
    for frame in record.worst:
        yield _picture(frame, 70 * mm)
        yield Spacer(1, 4)


def _manifests(record: Record) -> Iterator[Any]:
    yield Paragraph("Manifests", _HEAD)
    yield Paragraph("In the file", _SUB)
    yield _rows(_manifest_rows(record.manifest))
    yield Paragraph("Recovered from the registry", _SUB)
    if record.recovered is None:
        yield Paragraph(_text(record.registry["why_not"] or "None."), _BODY)
    else:
        yield _rows(_manifest_rows(record.recovered))
    clip = record.registry["clip"]
    if clip is not None:
        yield _rows(
            [
                ("registered clip", clip["clip"]),
                ("its label", f"{clip['label']} in its corpus, {clip['kind']}"),
                ("registered at", clip["registered"]),
                ("released file", f"sha256 {clip['sha256']}"),
            ]
        )


def _manifest_rows(manifest: dict[str, Any]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [("state", manifest["state"])]
    names = {
        "id": "identifier",
        "signer": "signer",
        "issuer": "issuer",
        "generator": "made by",
        "digital_source_type": "source type",
        "created": "claimed time",
        "time_stamp": "time stamp",
        "payload": "names the mark",
    }
    rows += [(shown, manifest[name]) for name, shown in names.items() if manifest[name]]
    rows += [("failure", code) for code in manifest["failures"]]
    rows += [("warning", code) for code in manifest["warnings"]]
    for item in manifest["ingredients"]:
        words = f"{item['role']} ({item['relationship']})"
        words += f", sha256 {item['sha256']}" if item["sha256"] else ""
        words += f", with a manifest of its own {item['manifest']}" if item["manifest"] else ""
        words += f": {', '.join(item['failures'])}" if item["failures"] else ""
        rows.append(("ingredient", words))
    return rows


def _making(record: Record) -> Iterator[Any]:
    yield Paragraph("How this was made", _HEAD)
    scale = ", ".join(f"{words} from {least:,.0f}" for least, words in SCALE)
    yield Paragraph(
        _text(
            "Four findings go through a table that covers all of their combinations. Confidence is "
            "one of very high, high, moderate, low and none; where the verdict stands on the "
            f"detector, it is the verbal scale of {SCALE_SOURCE}: {scale}."
        ),
        _BODY,
    )
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    axes = record.axes
    yield _rows(
        [
            *((name, axes[name]) for name in ("manifest", "mark", "content", "detector")),
            ("command", record.command or "none"),
            ("versions", versions),
        ]
    )
