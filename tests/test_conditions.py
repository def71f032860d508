"""Grids: those that are built in, and files that say what is wrong with them."""

from pathlib import Path

import pytest

from obverse.errors import ConfigError, InputError
from obverse.eval.conditions import GRIDS, NONE, Condition, Mix, build_step, load_grid
from obverse.eval.distortions import Blur, Jpeg
from obverse.eval.encoders import Codec
from obverse.eval.marks import Marking


@pytest.mark.parametrize("name", GRIDS)
def test_every_built_in_grid_has_the_undistorted_clips_and_names_once(name: str) -> None:
    grid = load_grid(name)
    assert grid.conditions[0] == NONE
    assert len({each.name for each in grid.conditions}) == len(grid.conditions)
    digests = [each.digest for each in grid.conditions]
    assert len(set(digests)) == len(digests)


def test_deeperforensics_has_seven_distortions_at_five_levels_and_mixes() -> None:
    grid = load_grid("deeperforensics")
    families: dict[str, list[Condition]] = {}
    for each in grid.conditions[1:]:
        families.setdefault(each.family, []).append(each)
    assert {len(each) for name, each in families.items() if name != "mix"} == {5}
    assert len(families) == 8
    by_name = {each.name: each.steps for each in grid.conditions}
    assert by_name["blur-5"] == (Blur(21),)
    assert by_name["h264-3"] == (Codec(codec="h264", crf=35),)
    assert by_name["mix-4"] == (Mix(4),)


def test_a_condition_of_marks_is_of_this_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = Condition("marked", "mark", None, (Marking(True),))
    plain = Condition("blur", "blur", None, (Blur(3),))
    before = marked.digest, plain.digest
    monkeypatch.setattr("obverse.eval.conditions.MARK_ALGORITHM", "org.obverse.mark.99")
    assert marked.digest != before[0]  # rows of another mark are scored anew
    assert plain.digest == before[1]


def test_platforms_are_named_by_their_sources() -> None:
    by_name = {each.name: each for each in load_grid("platforms").conditions}
    assert by_name["hls-360p"].steps == (Codec(short_px=360, kbps=365, gop=48, sound_kbps=96),)
    assert [each.level for each in by_name.values() if each.family == "hls"] == [
        720,
        540,
        432,
        360,
        234,
    ]
    assert len(by_name["c23-twice"].steps) == 2
    assert by_name["c23-twice"].level is None  # no rung of a ladder


def test_a_mix_is_drawn_for_each_clip_and_the_same_each_time() -> None:
    mix = Condition("mix-3", "mix", 3, (Mix(3),))
    drawn = {str(mix.steps_for(f"clip{i}")) for i in range(20)}
    assert len(drawn) > 10
    steps = mix.steps_for("clip0")
    assert steps == mix.steps_for("clip0")
    assert len({type(step) for step in steps}) == 3
    assert all(type(step) is not Codec for step in steps[:-1])


def test_a_grid_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        """
include: [marks]
ladders:
  - {family: soft, do: blur, levels: {1: {kernel: 3}, 2: {kernel: 5}}}
conditions:
  - name: chat
    family: platform
    level: 1
    steps:
      - {do: codec, codec: h265, crf: 30, short_px: 480, fps: 24}
      - {do: jpeg, quality: 60}
crossed:
  - {name: soft-fakes, pristine: none, synthetic: soft-2}
"""
    )
    grid = load_grid(str(path))
    assert grid.name == "mine"
    names = [each.name for each in grid.conditions]
    assert names == ["none", "marked", "unmarked", "soft-1", "soft-2", "chat"]
    assert grid.conditions[-1].steps == (
        Codec(codec="h265", crf=30, short_px=480, fps=24),
        Jpeg(60),
    )
    assert grid.crossed[-1].synthetic == "soft-2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conditions: [{name: a, steps: [{do: blurr}]}]", "no step 'blurr'; there are saturation"),
        ("conditions: [{name: a, steps: [{do: blur}]}]", "blur lacks kernel"),
        ("conditions: [{name: a, steps: [{do: blur, kernel: 4}]}]", "it must be odd"),
        ("conditions: [{name: a, steps: [{do: blur, kernel: yes}]}]", "must be a number"),
        ("conditions: [{name: a, steps: [{do: blur, size: 3}]}]", "blur has no 'size'"),
        ("conditions: [{name: a, steps: [{do: codec, crf: 60}]}]", "1 to 51 for h264"),
        ("conditions: [{name: a, steps: [{do: codec, preset: quick}]}]", "ultrafast"),
        ("conditions: [{name: a, steps: [{do: mark, present: 1}]}]", "true or false"),
        ("conditions: [{name: a}]", "has no steps"),
        ("conditions: [{name: a b, steps: [{do: blur, kernel: 3}]}]", "letters, digits"),
        ("ladders: [{do: blur}]", "lacks levels"),
        ("ladders: [{do: blur, levels: {x: {kernel: 3}}}]", "a level is a number"),
        ("include: [everything]", "include names 'everything'; there are basic"),
        ("crossed: [{name: a, pristine: none, synthetic: b}]", "needs 'b'"),
        ("crossed: [{name: a, pristine: none}]", "lacks synthetic"),
        ("colour: red", "a grid has 'colour'; it may have name"),
        ("- 1", "must be a mapping"),
    ],
)
def test_what_is_wrong_with_a_grid_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_grid(str(path))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_grid_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no grid 'basik'; there are basic"):
        load_grid("basik")
    with pytest.raises(InputError, match="cannot be read"):
        load_grid(str(tmp_path / "absent.yaml"))
    (tmp_path / "torn.yaml").write_text("a: [")
    with pytest.raises(InputError, match="is not YAML"):
        load_grid(str(tmp_path / "torn.yaml"))
    with pytest.raises(ConfigError, match="jpeg lacks quality"):
        build_step("jpeg", {})
