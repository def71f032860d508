"""The report: all that an expert asks for, same record same bytes, no markup let in."""

import dataclasses
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from audit_records import manifest, record

from obverse.audit import pdf as pdf_module
from obverse.audit.page import page
from obverse.audit.pdf import pdf
from obverse.audit.record import Record, read_record
from obverse.audit.signing import rendered
from obverse.audit.timeline import Text, draw, svg
from obverse.errors import AuditError, ConfigError

VOID = {"meta", "img", "br", "link", "input"}


class _Checked(HTMLParser):
    """Asserts that tags are closed in order, and collects them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _parsed(text: str) -> _Checked:
    checked = _Checked()
    checked.feed(text)
    assert checked.open == []
    return checked


def test_the_page_holds_what_an_expert_asks_for() -> None:
    text = page(record())
    for words in (
        "Declared as made by AI or software", "very high", "A trusted signer says so.", "cd" * 32,
        "r1", "e1", "c1", "r2", "e2", "c2", "Absence proves nothing", "urn:c2pa:1", "urn:c2pa:2",
        "portrait (inputTo)", "ab" * 32, "encoder: x", "2026-11-26T00:00:09Z", "obverse 0.1.0",
        "which is this very file", "moderate support", "ENFSI", "obverse audit clip.mp4",
    ):  # fmt: skip
        assert words in text, words
    assert not re.search(r"\d\s?% (fake|synthetic|real)", text)


def test_the_page_is_one_file_that_needs_no_network_and_no_script() -> None:
    checked = _parsed(page(record()))
    for tag, attributes in checked.seen:
        assert tag not in ("script", "link", "iframe", "form")
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
        if tag == "img":
            assert attributes["alt"]
        assert not [name for name in attributes if name.startswith("on")]


def test_a_strangers_text_is_no_markup() -> None:
    evil = '<script>alert(1)</script><img src="x">'
    made = record(
        reasons=[evil],
        manifest=manifest(signer=evil, failures=[evil]),
        history=[{"name": evil, "value": evil, "says": evil, "cannot": evil}],
        exhibit={**record().exhibit, "name": evil},
    )
    text = page(made)
    assert "<script" not in text
    assert len([tag for tag, _ in _parsed(text).seen if tag == "img"]) == 2
    assert pdf(made).startswith(b"%PDF")


@pytest.mark.parametrize("bad", ['"><script>', "a b", "", 5, None])
def test_a_picture_is_base64_or_the_record_is_refused(bad: object) -> None:
    made = record(worst=[bad])
    for make in (page, pdf):
        with pytest.raises(AuditError, match="damaged"):
            make(made)


def test_what_is_wrong_is_said_at_the_top() -> None:
    text = page(record(wrong=True, title="The manifest is broken"))
    assert text.index("The manifest is broken") < text.index("Exhibit")
    assert "the content is not what it claims to be" in text
    assert "the content is not what it claims to be" not in page(record())


@pytest.mark.parametrize("form", [".html", ".pdf", ".json"])
def test_a_record_that_was_written_and_read_gives_the_same_bytes(form: str, tmp_path: Path) -> None:
    made = record()
    (tmp_path / "r.json").write_text(made.text(), encoding="utf-8")
    assert rendered(read_record(tmp_path / "r.json"), form) == rendered(made, form)
    assert rendered(made, form) == rendered(made, form)


def test_other_forms_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\.docx"):
        rendered(record(), ".docx")


@pytest.mark.parametrize(
    "changes",
    [
        {"faces": [], "worst": [], "recovered": None, "mark": None, "history": []},
        {"timeline": {}},
        {"timeline": {"seconds": 0.0, "key_frames": [], "kind": "still"}},
        {"manifest": manifest(state="absent", id=None, ingredients=[])},
        {"registry": {"content": "not asked", "why_not": "closed", "clip": None}},
    ],
)
def test_what_was_not_found_is_left_out(changes: dict[str, object]) -> None:
    made = record(**changes)
    _parsed(page(made))
    assert pdf(made).startswith(b"%PDF")


def test_the_json_begins_as_it_is_promised() -> None:
    values = json.loads(record().text())
    assert list(values)[:5] == ["format", "verdict", "confidence", "findings", "limits"]
    assert set(values["findings"][0]) == {"method", "result", "error_rate", "conditions"}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"no json", b"[]", b"{}", b'{"format": "org.obverse.audit.1"}',
        json.dumps(record().to_json() | {"faces": "none"}).encode(),
        json.dumps(record().to_json() | {"extra": 1}).encode(),
        json.dumps(record().to_json() | {"wrong": "yes"}).encode(),
        json.dumps(record().to_json() | {"format": "org.obverse.audit.9"}).encode(),
        b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(AuditError) as caught:
        read_record(tmp_path / "r.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"faces": [{"number": 1}]},
        {"findings": [{"method": "m"}]},
        {"exhibit": {}},
        {"timeline": {"seconds": "long", "key_frames": []}},
        {"registry": {}},
    ],
)
def test_a_damaged_record_is_refused_by_every_form(changes: dict[str, object]) -> None:
    made = Record.from_json(record().to_json() | changes)
    for make in (page, pdf):
        with pytest.raises(AuditError):
            make(made)


def test_the_timeline_puts_seconds_where_they_belong() -> None:
    timeline = draw(record())
    assert timeline is not None
    text = svg(timeline)
    assert 'data-seconds="4"' in text
    half = (timeline.left + timeline.right) / 2
    assert f'x1="{half:.2f}"' in text  # the key frame at 2 of 4 s
    assert "polyline" in text
    many = [dataclasses.replace(record()).faces[0] | {"number": n} for n in range(40)]
    crowded = draw(record(faces=many))
    assert crowded is not None
    assert crowded.height < 500
    assert "faces: 40, of which the first 6 are drawn" in crowded.words


def test_no_words_of_the_timeline_lie_on_others() -> None:
    face = record().faces[0]
    faces = [face | {"number": number} for number in (1, 8, 12, 40)]
    faces.append(face | {"number": 41, "times": [], "raw": []})
    timeline = draw(record(faces=faces))
    assert timeline is not None
    boxes = []
    for shape in timeline.shapes:
        if isinstance(shape, Text):
            wide = 0.65 * shape.size * len(shape.words)  # of a wide font
            left = shape.x - {"start": 0, "middle": wide / 2, "end": wide}[shape.anchor]
            boxes.append((left, left + wide, shape.y - 0.8 * shape.size, shape.y, shape.words))
    for one, other in itertools.combinations(boxes, 2):
        apart = one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]
        assert apart, (one[4], other[4])
    on_bands = [box for box in boxes if box[2] > 40 and box[1] > timeline.left]
    assert not on_bands


@pytest.mark.parametrize(
    ("name", "markup"),
    [
        ("plain é ж.mp4", "plain é ж.mp4"),
        ("a<b>&.mp4", "a&lt;b&gt;&amp;.mp4"),
        ("讲话.mp4", '<font name="STSong-Light">讲话</font>.mp4'),
        ("講カメラ", '<font name="HeiseiKakuGo-W5">講カメラ</font>'),
        (
            "강의 講",
            '<font name="HYGothic-Medium">강의</font> <font name="HYGothic-Medium">講</font>',
        ),
        ("ab محا.mp4", "ab [U+0645 U+062D U+0627].mp4"),
        ("of\u202egpm.exe", "of[U+202E]gpm.exe"),
        ("हि\x00", "[U+0939 U+093F U+0000]"),
        ("\U00020000", "[U+20000]"),
    ],
)
def test_letters_are_drawn_or_numbered(name: str, markup: str) -> None:
    pdf_module._register()
    assert pdf_module._text(name) == markup


def test_foreign_names_make_a_report_and_a_note() -> None:
    plain = record()
    assert pdf_module._letters_note(plain) == ""
    foreign = record(exhibit=dict(plain.exhibit) | {"name": "講" * 1500 + " 강의 محا.mp4"})
    report = pdf(foreign)
    assert report == pdf(foreign)
    assert b"HYGothic-Medium" in report
    assert b"HYGothic-Medium" not in pdf(plain)
    note = pdf_module._letters_note(foreign)
    assert "Korean" in note
    assert "Unicode numbers" in note
