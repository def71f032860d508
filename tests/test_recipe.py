"""A recipe says which frames are looked at; crops differ where it does."""

import dataclasses

import pytest

from obverse.detector.recipe import SOUND_HZ, CropRecipe
from obverse.errors import ConfigError


def test_moments_are_the_middles_of_equal_spans() -> None:
    schedule = CropRecipe(moments=4).schedule(4.0, 25, 100)
    assert schedule == [[0.5], [1.5], [2.5], [3.5]]
    day = CropRecipe(moments=32).schedule(86400.0, 25, None)
    assert len(day) == 32
    assert day[-1][0] == pytest.approx(86400 * 31.5 / 32)


def test_a_short_film_gives_every_frame() -> None:
    assert CropRecipe().schedule(0.12, 25, 3) == [[0.0], [0.04], [0.08]]


def test_bursts_are_centred_in_their_spans_and_do_not_overlap() -> None:
    recipe = CropRecipe(moments=4, burst=5)
    schedule = recipe.schedule(4.0, 25, 100)
    assert [len(burst) for burst in schedule] == [5, 5, 5, 5]
    assert schedule[0] == pytest.approx([0.4, 0.44, 0.48, 0.52, 0.56])
    short = recipe.schedule(0.5, 25, 12)
    assert len(short) == 2
    assert short[0][-1] < short[1][0]
    (alone,) = recipe.schedule(0.12, 25, 3)
    assert alone == pytest.approx([0, 0.04, 0.08])


def test_sound_reaches_past_the_burst() -> None:
    recipe = CropRecipe(burst=25, sound=True, sound_pad_seconds=0.5)
    assert recipe.sound_samples == 2 * SOUND_HZ
    assert CropRecipe().sound_samples == 0


def test_recipes_differ_by_digest_and_survive_json() -> None:
    assert CropRecipe().digest == CropRecipe().digest
    assert CropRecipe().digest != CropRecipe(margin=1.5).digest
    recipe = CropRecipe(region="mouth", burst=3)
    assert CropRecipe.from_json(dataclasses.asdict(recipe)) == recipe


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="size_px is 8"):
        CropRecipe(size_px=8)
    with pytest.raises(ConfigError, match="face or mouth"):
        CropRecipe(region="nose")  # type: ignore[arg-type]
