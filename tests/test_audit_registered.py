"""What the registry's answers mean: copied, the same, or not to be told."""

import datetime
from typing import Any

import pytest

from obverse.audit import findings
from obverse.audit.recovery import Recovery
from obverse.audit.registered import Pose, Registered, content_finding, made_by_software
from obverse.provenance.registry import ManifestRecord
from obverse.provenance.verify import ManifestReport
from obverse.watermark.sketch import Placement

WHOLE = Placement(0.2, 0.0, 0.0, 1.0, 1.0, 0, False)


def _found(
    content: str = "matches",
    distance: float | None = 0.05,
    by: str = "mark",
    place: Placement | None = WHOLE,
    **label: Any,
) -> Recovery:
    values = {"label": "synthetic", "kind": "generated", "width": 512, "height": 512} | label
    record = ManifestRecord(
        id="urn:c2pa:1",
        clip_id="1c" * 16,
        payload=5,
        sha256="",
        created=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        manifest=b"",
        label=values,
        fingerprint=None,
    )
    return Recovery(record, by, ManifestReport("trusted"), content, place, distance, None)  # type: ignore[arg-type]


PRISTINE: dict[str, Any] = {"label": "pristine", "kind": "camera"}


@pytest.mark.parametrize(
    ("found", "pose", "content"),
    [
        ([], None, "unknown"),
        ([_found()], None, "same, AI"),
        ([_found(**PRISTINE)], None, "same, human"),
        ([_found("not comparable", None)], None, "unchecked, AI"),
        ([_found("not comparable", None, **PRISTINE)], None, "unchecked, human"),
        ([_found("does not match", 0.33)], None, "other"),
        ([_found("does not match", 0.33)], Pose(degrees=8.0), "unchecked, AI"),
        ([_found("does not match", 0.2)], Pose(), "unchecked, AI"),
        # It fits best where by the mark's geometry it cannot lie.
        ([_found("does not match", 0.2)], Pose(mirrored=True), "other"),
        (
            [_found("does not match", 0.2, place=Placement(0.2, 0.1, 0.1, 0.5, 0.5, 0, False))],
            Pose((0.7, 0.7), size=(512, 512)),  # as a mark is laid over so many pixels
            "other",
        ),
        (
            [_found("does not match", 0.2, place=Placement(0.2, 0.1, 0.1, 0.5, 0.5, 0, False))],
            Pose((0.4, 0.4), size=(512, 512)),  # a crop, enlarged
            "unchecked, AI",
        ),
        (
            [_found("does not match", 0.2, place=Placement(0.2, 0.1, 0.1, 0.5, 0.5, 0, False))],
            Pose((0.7, 0.7), size=(256, 256)),  # a crop it is
            "unchecked, AI",
        ),
        ([_found(by="picture")], None, "same, AI"),
        ([_found("does not match", 0.3, by="picture")], None, "unknown"),
        ([_found("matches", None, by="sound")], None, "unknown"),
        ([_found("does not match", 0.3, by="sound")], None, "unknown"),
    ],
)
def test_what_follows_from_what_was_found(
    found: list[Recovery], pose: Pose | None, content: str
) -> None:
    said, best = content_finding(found, pose)
    assert said == content
    assert (best is None) == (said == "unknown")


def test_the_mark_comes_before_likeness() -> None:
    like, marked = _found(by="picture", **PRISTINE), _found("does not match", 0.4)
    assert content_finding([like, marked])[0] == "other"


@pytest.mark.parametrize(
    ("label", "software"),
    [
        ({"label": "synthetic", "kind": "generated"}, True),
        ({"label": "pristine", "kind": "rendered"}, True),
        ({"label": "synthetic", "kind": "camera"}, True),
        ({"label": "pristine", "kind": "camera"}, False),
        ({"label": "pristine", "kind": "camera", "sound": "synthetic"}, True),
        ({}, False),
    ],
)
def test_rendered_sitters_are_made_by_software(label: dict[str, str], software: bool) -> None:
    assert made_by_software(label) == software


def test_a_pose_is_what_the_mark_says() -> None:
    assert Pose.of(None, None) is None
    assert Pose.of({"geometry": None}, [4, 4]) is None
    geometry = {"scale": [1.0, 0.5], "degrees": 1.5, "mirrored": True}
    assert Pose.of({"geometry": geometry}, [640, 360]) == Pose((1.0, 0.5), 1.5, True, (640, 360))


def test_how_much_of_a_picture_is_seen_follows_from_the_size_it_was_marked_at() -> None:
    large = Registered("same, AI", _found(width=1280, height=720))
    small = Registered("same, AI", _found())
    assert findings._extent([0.7, 0.7], large).startswith("this picture spans 0.70 x 0.70 of the")
    assert findings._extent([0.7, 0.35], small).startswith("this picture spans 1.00 x 0.50 of the")
    for unknown in (
        Registered("unknown"),
        Registered("same, AI", _found(width=None)),
        Registered("same, AI", _found(by="picture")),
    ):
        said = findings._extent([0.7, 0.7], unknown)
        assert "0.70 x 0.70 of the mark's square" in said
        assert "not known" in said
