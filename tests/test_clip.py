"""Clips and scores: what contradicts itself is refused, and tables give back what was put in."""

import dataclasses
import string
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obverse.clip import Clip, Label, Score, lineage_id
from obverse.errors import ConfigError

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT | st.floats(-1e6, 1e6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    label: Label = draw(st.sampled_from(["pristine", "synthetic"]))
    sound: Label | None = draw(st.sampled_from(["pristine", "synthetic", None]))
    bounds = draw(st.lists(st.floats(0, 600), max_size=6, unique=True).map(sorted))
    segments = tuple(zip(bounds[::2], bounds[1::2], strict=False))
    maybe_text = st.none() | TEXT.filter(bool)
    return Clip(
        id=draw(st.text("0123456789abcdef", min_size=32, max_size=32)),
        path=draw(TEXT),
        member=draw(st.none() | NAMES),
        dataset=draw(maybe_text),
        sound=sound,
        sound_segments=segments if sound == "synthetic" else (),
        donor=draw(maybe_text),
        sha256=draw(st.none() | st.text("0123456789abcdef", min_size=64, max_size=64)),
        label=label,
        kind=draw(st.sampled_from(["camera", "rendered", "generated"])),
        method=draw(maybe_text),
        parents=draw(st.dictionaries(NAMES, TEXT, max_size=3)),
        identity=draw(maybe_text),
        speaker=draw(maybe_text),
        split=draw(st.sampled_from([None, "train", "val", "test"])),
        fps=draw(st.floats(1, 240)),
        frames=draw(st.integers(0, 10**7)),
        width=draw(st.integers(0, 8192)),
        height=draw(st.integers(0, 8192)),
        encoder=draw(st.dictionaries(NAMES, JSON, max_size=3)),
        seed=draw(st.none() | st.integers(0, 2**53)),
        controls=draw(st.dictionaries(NAMES, JSON, max_size=3)),
        mark=draw(st.none() | st.text("0123456789abcdef", min_size=16, max_size=16)),
        manifest=draw(maybe_text),
        fake_segments=segments if label == "synthetic" else (),
        mask_path=draw(maybe_text),
        attributes=draw(st.dictionaries(NAMES, TEXT, max_size=3)),
        rights=draw(maybe_text),
        warnings=tuple(draw(st.lists(TEXT, max_size=3))),
        tool=draw(TEXT),
    )


@settings(deadline=None)
@given(clips())
def test_a_row_gives_the_clip_back(clip: Clip) -> None:
    row = clip.to_row()
    assert Clip.from_row(row) == clip
    assert set(row) == {field.name for field in dataclasses.fields(Clip)}
    assert not [value for value in row.values() if isinstance(value, dict | list | tuple)]


@settings(deadline=None, max_examples=40)
@given(st.lists(clips(), min_size=1, max_size=4))
def test_a_table_on_disk_gives_the_clips_back(
    tmp_path_factory: pytest.TempPathFactory, records: list[Clip]
) -> None:
    """Parquet turns absent texts into NaN or None and absent integers into floats."""
    path = tmp_path_factory.mktemp("table") / "clips.parquet"
    pd.DataFrame([clip.to_row() for clip in records]).to_parquet(path)
    table = pd.read_parquet(path)
    rows: Any = table.to_dict("records")
    read = [Clip.from_row(row) for row in rows]
    assert read == records
    assert all(type(clip.frames) is int for clip in read)
    assert all(clip.seed is None or type(clip.seed) is int for clip in read)


def _clip(**changes: Any) -> Clip:
    fields: dict[str, Any] = {
        "id": "0" * 32,
        "path": "a.mp4",
        "label": "synthetic",
        "kind": "generated",
    }
    return Clip(**(fields | changes))


def test_rows_of_older_and_newer_tables() -> None:
    row = _clip(frames=50).to_row()
    del row["warnings"]
    row["invented_later"] = 5
    assert Clip.from_row(row) == _clip(frames=50)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"label": "fake"}, "label is 'fake'; it must be one of pristine, synthetic"),
        ({"kind": "drawn"}, "kind"),
        ({"split": "dev"}, "train, val, test"),
        ({"label": "pristine", "fake_segments": ((0.0, 1.0),)}, "pristine yet has fake segments"),
        ({"fake_segments": ((1.0, 1.0),)}, "0 <= start < end"),
        ({"fake_segments": ((-1.0, 1.0),)}, "0 <= start < end"),
        ({"sound": "dubbed"}, "sound is 'dubbed'; it must be one of pristine, synthetic"),
        ({"sound_segments": ((0.0, 1.0),)}, "sound that is not called synthetic"),
        ({"sound": "synthetic", "sound_segments": ((2.0, 1.0),)}, "0 <= start < end"),
        ({"member": "6/../../etc"}, "leaves its archive"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        _clip(**changes)


def test_replace_and_seconds() -> None:
    clip = _clip(frames=50, fps=25.0)
    assert clip.seconds == 2.0
    assert clip.replace(frames=75).seconds == 3.0
    assert clip.frames == 50
    with pytest.raises(ConfigError):
        clip.replace(label="real")


@pytest.mark.parametrize(
    ("label", "sound", "picture", "either"),
    [
        ("pristine", None, 0, 0),
        ("pristine", "pristine", 0, 0),
        ("pristine", "synthetic", 0, 1),
        ("synthetic", None, 1, 1),
        ("synthetic", "pristine", 1, 1),
        ("synthetic", "synthetic", 1, 1),
    ],
)
def test_picture_and_sound_have_labels_of_their_own(
    label: Label, sound: Label | None, picture: int, either: int
) -> None:
    clip = _clip(label=label, sound=sound)
    assert (clip.binary, clip.binary_av) == (picture, either)


@given(st.dictionaries(NAMES, JSON, max_size=5), st.randoms())
def test_lineage_ids_do_not_depend_on_order(lineage: dict[str, Any], rng: Any) -> None:
    items = list(lineage.items())
    rng.shuffle(items)
    assert lineage_id(dict(items)) == lineage_id(lineage)
    assert len(lineage_id(lineage)) == 32
    assert lineage_id(lineage | {"a different key": 1}) != lineage_id(lineage)


def test_scores() -> None:
    Score(clip="a", detector="d", status="ok", score=0.5, frame_scores=(0.4, 0.6), times=(0.0, 1.0))
    Score(clip="a", detector="d", status="missing", reason="no face")
    refused: tuple[dict[str, Any], ...] = (
        {"status": "ok"},
        {"status": "missing", "score": 0.5},
        {"status": "ok", "score": 1.5},
        {"status": "ok", "score": float("nan")},
        {"status": "ok", "score": 0.5, "frame_scores": (0.5,)},
        {"status": "fine", "score": 0.5},
    )
    for bad in refused:
        with pytest.raises(ConfigError):
            Score(clip="a", detector="d", **bad)


def test_records_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        _clip().path = "b.mp4"  # type: ignore[misc]


def test_a_verdict_needs_a_score() -> None:
    said = Score(clip="a", detector="d", status="ok", score=0.9, lr=12.0, verdict="synthetic")
    assert said.verdict == "synthetic"
    with pytest.raises(ConfigError, match="verdict"):
        Score(clip="a", detector="d", status="missing", verdict="cannot tell")
    with pytest.raises(ConfigError, match="one of synthetic, pristine, cannot tell"):
        Score(clip="a", detector="d", status="ok", score=0.9, verdict="fake")  # type: ignore[arg-type]
