"""Splits keep apart what hangs together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obverse.clip import Clip
from obverse.datasets.split import Partition, assign_splits, find_leaks
from obverse.errors import ConfigError


def clip(name: str, **fields: object) -> Clip:
    return Clip(id=name, path=f"{name}.mp4", label="pristine", kind="camera").replace(**fields)


def people(count: int) -> list[Clip]:
    return [
        clip(f"{i}-{j}", identity=f"p{i}", speaker=f"v{i}") for i in range(count) for j in (0, 1)
    ]


def test_no_identity_is_in_two_splits_and_shares_are_about_right() -> None:
    clips = assign_splits(people(400))
    assert find_leaks(clips) == []
    counts = {split: sum(c.split == split for c in clips) for split in ("train", "val", "test")}
    assert counts["train"] == pytest.approx(480, abs=60)
    assert counts["val"] == pytest.approx(160, abs=45)


def test_order_and_company_do_not_move_a_clip() -> None:
    clips = people(60)
    once = {c.id: c.split for c in assign_splits(clips)}
    again = {c.id: c.split for c in assign_splits([*reversed(clips), clip("new", identity="new")])}
    assert {name: again[name] for name in once} == once
    other = {c.id: c.split for c in assign_splits(clips, seed=1)}
    assert other != once


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 4), min_size=1, max_size=40))
def test_nothing_leaks_however_clips_are_tied(rows: list[tuple[int, ...]]) -> None:
    clips = [
        clip(
            f"c{n}",
            identity=f"i{i}",
            speaker=f"v{v}",
            parents={"portrait": f"s{s}", "twin": f"c{t}"},
        )
        for n, (i, v, s, t) in enumerate(rows)
    ]
    try:
        split = assign_splits(clips, {"train": 1, "test": 1})
    except ConfigError:
        return  # all hang together
    assert [c.id for c in split] == [c.id for c in clips]
    assert find_leaks(split) == []


def test_a_clip_goes_with_its_twin() -> None:
    clips = [clip(f"a{i}") for i in range(30)]
    twins = [clip(f"b{i}", parents={"twin": f"a{i}"}) for i in range(30)]
    split = {c.id: c.split for c in assign_splits(clips + twins)}
    assert all(split[f"a{i}"] == split[f"b{i}"] for i in range(30))


def test_leaks_are_named() -> None:
    leaks = find_leaks(
        [
            clip("a", identity="p", split="train"),
            clip("b", identity="p", split="test", parents={"twin": "a"}),
            clip("c", identity="p"),
        ]
    )
    assert leaks == ["identity p is in test and train", "source a is in test and train"]
    assert find_leaks(
        [clip("a", speaker="v", split="train"), clip("b", speaker="v", split="val")]
    ) == ["voice v is in train and val"]


def test_clips_that_all_share_a_voice_cannot_be_split_by_voice() -> None:
    clips = [clip(str(i), identity=f"p{i}", speaker="v") for i in range(40)]
    with pytest.raises(ConfigError, match="1 groups"):
        assign_splits(clips)
    assert find_leaks(assign_splits(clips, ties=("identity",)), ("identity",)) == []


def test_shares_that_make_no_sense_are_refused() -> None:
    for shares in ({}, {"train": -1.0, "val": 2.0}, {"dev": 1.0}):
        with pytest.raises(ConfigError, match="shares"):
            assign_splits(people(4), shares)  # type: ignore[arg-type]


def partition(clips: list[Clip], **named: object) -> tuple[Partition, list[Clip]]:
    made = Partition(**named)  # type: ignore[arg-type]
    for each in clips:
        made.add(each)
    made.close()
    return made, [each.replace(split=made.split_of(each)) for each in clips]


def test_a_donor_is_kept_apart_as_well() -> None:
    swapped = clip("s", label="synthetic", identity="p", donor="q", split="train")
    assert find_leaks([swapped, clip("d", identity="q", split="test")]) == [
        "identity q is in test and train"
    ]


def test_people_who_meet_in_a_clip_share_its_split() -> None:
    reals = [clip(f"r{i}", identity=f"p{i}") for i in range(300)]
    fakes = [
        clip(f"f{i}", label="synthetic", identity=f"p{i}", donor=f"p{i + 1}")
        for i in range(0, 300, 2)
    ]
    made, clips = partition(reals + fakes)
    assert not made.cut
    assert find_leaks(clips) == []
    counts = {split: sum(c.split == split for c in clips) for split in ("train", "val", "test")}
    assert counts["train"] == pytest.approx(270, abs=50)
    assert min(counts.values()) > 40
    assert [c.split for c in partition((reals + fakes)[::-1])[1]][::-1] == [c.split for c in clips]
    assert partition(reals + fakes, seed=1)[1] != clips


def test_one_group_of_all_is_cut_and_what_straddles_is_left_out() -> None:
    """Celeb-DF and KoDF swap everybody with everybody: one group would be one split."""
    reals = [clip(f"r{i}", identity=f"p{i}") for i in range(60)]
    fakes = [
        clip(f"f{i}-{j}", label="synthetic", identity=f"p{i}", donor=f"p{(i + j) % 60}")
        for i in range(60)
        for j in (1, 2, 5)
    ]
    made, clips = partition(reals + fakes)
    assert made.cut
    assert find_leaks(clips) == []
    assert all(c.split is not None for c in clips[:60])
    assert 0 < sum(c.split is None for c in clips[60:]) < 180


def test_clips_of_nobody_are_tied_by_their_recordings() -> None:
    films = [clip(f"c{i}-{j}", parents={"film": f"film{i}"}) for i in range(50) for j in (0, 1)]
    copies = [clip(f"x{i}", parents={"twin": f"c{i}-0"}) for i in range(50)]
    _, clips = partition(films + copies)
    assert find_leaks(clips) == []
    assert {c.split for c in clips} == {"train", "val", "test"}


def test_people_of_one_film_share_a_split() -> None:
    pairs = [
        clip(f"c{i}-{j}", identity=f"p{i}-{j}", parents={"film": f"film{i}"})
        for i in range(60)
        for j in (0, 1)
    ]
    _, clips = partition(pairs)
    assert find_leaks(clips) == []
    assert {c.split for c in clips} == {"train", "val", "test"}
